"""Checks of storage/: files that no record names, records that name files which are gone, leftovers.

A file that was written or changed a moment ago is left out: a server may be about to
commit the record that names it.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rowcast.doctor.findings import Finding, ok, problem, some, warning
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.fields import FileField
from rowcast.schema.sqltext import quoted
from rowcast.sql import Reader

_YOUNG_S = 600.0
_LEFTOVER = re.compile(r"\.[0-9a-f]{16}\.tmp")
"""The name of a file that is not whole yet (see `blobs`)."""

_ATTRS, _THUMBS = ".attrs", "thumbs_"


@dataclass(slots=True)
class Storage:
    """What is wrong below storage/. `missing` are keys, all others are paths."""

    missing: list[str] = field(default_factory=list)
    orphans: list[Path] = field(default_factory=list)
    thumbs: list[Path] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)
    files: int = 0


def compare(reader: Reader, catalog: Catalog, root: Path, *, now: float | None = None) -> Storage:
    """Compare the files below `root` with what the records name. `now` is a Unix time in seconds."""
    found = Storage()
    oldest = (time.time() if now is None else now) - _YOUNG_S
    known = {collection.id: collection for collection in catalog if not collection.is_view}
    for collection in known.values():
        named = _named(reader, collection)
        _look(found, root / collection.id, named, oldest)
        for record_id, names in named.items():
            folder = root / collection.id / record_id
            found.missing += [f"{collection.id}/{record_id}/{name}" for name in names if not (folder / name).is_file()]
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.name not in known and folder.is_dir():
            _look(found, folder, {}, oldest)
    return found


def judge(found: Storage) -> Iterator[Finding]:
    """Return what is to be said of the files."""
    if found.missing:
        mend = "restore these files from a backup, or take their names out of the records"
        yield problem(
            "files", f"{len(found.missing)} files are named by records but gone: {some(found.missing)}.", mend
        )
    if found.orphans:
        mend = "delete them, if no program of yours put them there"
        names = some([path.name for path in found.orphans])
        yield warning("files", f"{len(found.orphans)} files in storage belong to no record: {names}.", mend)
    if found.thumbs:
        mend = "rowcast doctor --fix deletes them; they only take room"
        yield warning("thumbs", f"{len(found.thumbs)} folders of thumbs belong to no file.", mend)
    if found.leftovers:
        mend = "rowcast doctor --fix deletes them; they only take room"
        yield warning(
            "leftovers", f"{len(found.leftovers)} files were never finished, since a server was killed.", mend
        )
    if not (found.missing or found.orphans or found.thumbs or found.leftovers):
        yield ok("files", f"All {found.files} files belong to records, and none is missing.")


def repair(found: Storage) -> Finding:
    """Delete what nobody can miss: unfinished files, and thumbs of files that are gone."""
    for path in found.leftovers:
        path.unlink(missing_ok=True)
    for path in found.thumbs:
        shutil.rmtree(path, ignore_errors=True)
    return ok("fix", f"Deleted {len(found.leftovers)} unfinished files and {len(found.thumbs)} folders of thumbs.")


def _named(reader: Reader, collection: Collection) -> dict[str, set[str]]:
    """Return the names of files by record id."""
    fields = [field for field in collection.fields if isinstance(field, FileField)]
    named: dict[str, set[str]] = {}
    there = {str(row[0]) for row in reader.rows("SELECT name FROM pragma_table_info(?)", (collection.name,))}
    fields = [field for field in fields if field.name in there]
    if not fields:
        return named
    columns = ", ".join(quoted(field.name) for field in fields)
    for record_id, *values in reader.rows(f"SELECT id, {columns} FROM {quoted(collection.name)}"):
        names = {name for field, value in zip(fields, values, strict=True) for name in _names(field.from_db(value))}
        if names:
            named[str(record_id)] = names
    return named


def _names(value: object) -> list[str]:
    if isinstance(value, list):
        return [str(name) for name in value]
    return [value] if isinstance(value, str) and value else []


def _look(found: Storage, root: Path, named: dict[str, set[str]], oldest: float) -> None:
    """Look through the files of one collection."""
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        names = named.get(here.name, set()) if here.parent == root else set()
        for name in [name for name in folders if name.startswith(_THUMBS)]:
            original = name.removeprefix(_THUMBS)
            folders.remove(name)
            if original not in names and not (here / original).exists() and _is_old(here / name, oldest):
                found.thumbs.append(here / name)
        for name in files:
            path = here / name
            if _LEFTOVER.fullmatch(name):
                if _is_old(path, oldest):
                    found.leftovers.append(path)
                continue
            if name.removesuffix(_ATTRS) in names:
                found.files += not name.endswith(_ATTRS)
            elif _is_old(path, oldest):
                found.orphans.append(path)


def _is_old(path: Path, oldest: float) -> bool:
    try:
        return path.stat().st_mtime < oldest
    except OSError:
        return False
