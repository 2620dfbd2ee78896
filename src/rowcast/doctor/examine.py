"""The order of the checks of a data directory, and what follows where one can't be made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rowcast.doctor import databases, files, machine
from rowcast.doctor.findings import Finding, ok, problem
from rowcast.errors import RowcastError
from rowcast.storage import StorageError
from rowcast.storage.ddl import table_names
from rowcast.storage.migrations import check_tables
from rowcast.storage.sqlite_inspection import Inspection, inspecting


def directory(path: Path, *, streams: int, fix: bool = False) -> Iterator[Finding]:
    """Check a data directory and its machine. With `fix`, delete what nobody can miss."""
    if not (path / "data.db").is_file():
        mend = "name the directory of the server with --dir; `rowcast serve` makes a new one"
        yield problem("directory", f"There is no data directory at {path}.", mend)
        yield from machine.open_files(streams)
        return
    yield from machine.permissions(path)
    yield machine.disk(path)
    yield from machine.open_files(streams)
    for name in ("data.db", "auxiliary.db"):
        file = path / name
        if not file.is_file():
            yield problem("directory", f"There is no {name}.", "start the server once; it makes it")
            continue
        yield databases.log_size(file)
        try:
            with inspecting(file) as reader:
                yield from databases.whole(reader, name)
                if name == "data.db":
                    yield from _data(reader, path / "storage", fix=fix)
        except StorageError as error:
            yield problem(f"{name} integrity", f"{name} can't be read: {error}.", "restore a backup")


def _data(reader: Inspection, storage: Path, *, fix: bool) -> Iterator[Finding]:
    yield machine.versions(str(reader.value("SELECT sqlite_version()")))
    try:
        check_tables(table_names(reader))
    except RowcastError as error:
        yield problem("tables", f"{str(error)[:1].upper()}{str(error)[1:]}.", "name another directory with --dir")
        return
    settings, said = databases.settings_of(reader)
    yield said
    catalog, said = databases.catalog_of(reader)
    yield said
    if catalog is None:
        return
    yield from databases.agreement(reader, catalog)
    if settings is not None and settings.s3.enabled:
        yield ok("files", "The files are in a bucket, which is not looked at.")
        return
    found = files.compare(reader, catalog, storage)
    yield from files.judge(found)
    if fix:
        yield files.repair(found)
