"""Making an archive of a data directory that is in use.

The databases are copied first, each in one read transaction, while writers go on.
The files follow: those that the copied records name, whether they are deleted
meanwhile or not (deleted ones move to the directory `held`, see `LocalBlobs`), and
whatever else was there before. What belongs to no copied record and is as young as
the backup is left out: its record came later, or never.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rowcast.backups.archive import ArchiveError, Progress, Writer, reason_of
from rowcast.records.finding import find
from rowcast.schema.fields import FileField
from rowcast.storage import StorageError
from rowcast.storage.catalog_rows import load_catalog
from rowcast.storage.directory import DataDir
from rowcast.storage.sqlite import SQLiteStorage
from rowcast.storage.swap import NOT_CONTENT

_DATABASES = ("data.db", "auxiliary.db")
_STORAGE = "storage"
_YOUNG_S = 60.0
"""A file is stored before its transaction commits; a transaction that takes longer than this does not happen."""


def write_archive(directory: DataDir, target: Path, work: Path, progress: Progress) -> bytes:
    """Write an archive of a directory to a new file and return its MD5. `work` is an empty directory on the same disk.

    Raises ArchiveError, and leaves no file.
    """
    try:
        with _holding(directory.held, work) as held:
            started = time.time()
            for storage, name in zip((directory.data, directory.auxiliary), _DATABASES, strict=True):
                storage.copy(work / name, lambda done, total: progress("copy", done, total))
            with Writer(target, progress) as out:
                _add_others(out, directory.path)
                for name in _DATABASES:
                    out.add(work / name, name)
                _add_files(out, directory.files, held, _Named(work / _DATABASES[0]), started)
    except (OSError, StorageError, ArchiveError) as error:
        target.unlink(missing_ok=True)
        said = reason_of(error) if isinstance(error, OSError) else str(error)
        raise ArchiveError(f"the backup can't be made: {said}") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return out.md5


@contextmanager
def _holding(held: Path, work: Path) -> Iterator[Path]:
    """Keep the files that are deleted while the block runs. Only one such block runs at a time."""
    # What a process that was killed has left.
    shutil.rmtree(held, ignore_errors=True)
    held.mkdir()
    try:
        yield held
    finally:
        # At once, so that nobody puts anything there while it is being deleted.
        held.rename(work / held.name)


def _add_others(out: Writer, root: Path) -> None:
    """Add what the reference or somebody else keeps in the directory besides."""
    for entry in sorted(root.iterdir()):
        if entry.name in NOT_CONTENT or entry.name == _STORAGE or entry.name.startswith(_DATABASES):
            continue
        for path in _plain_files(entry) if entry.is_dir() else [entry]:
            if path.is_file():
                _add(out, path, path.relative_to(root).as_posix())


def _add_files(out: Writer, storage: Path, held: Path, named: _Named, started: float) -> None:
    with named:
        for path in _plain_files(storage):
            key = path.relative_to(storage).as_posix()
            if named.is_named(key) is not False or _is_older(path, started - _YOUNG_S):
                _add(out, path, f"{_STORAGE}/{key}")
        for path in _plain_files(held):
            key = path.relative_to(held).as_posix()
            if named.is_named(key) and not out.holds(f"{_STORAGE}/{key}"):
                _add(out, path, f"{_STORAGE}/{key}")


def _add(out: Writer, path: Path, name: str) -> None:
    try:
        out.add(path, name)
    except FileNotFoundError:
        return  # Deleted since: if it is needed, it is among those held.


def _plain_files(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            # Nobody needs a file that is being written.
            if not (name.startswith(".") and name.endswith(".tmp")) and (path := Path(here, name)).is_file():
                yield path


def _is_older(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime < moment
    except FileNotFoundError:
        return False


class _Named:
    """The files that the records of a copied database name."""

    def __init__(self, database: Path) -> None:
        self._storage = SQLiteStorage(database)
        with self._storage.read() as reader:
            self._catalog = load_catalog(reader)
        self._record: tuple[str, str] = ("", "")
        self._names: frozenset[str] = frozenset()

    def __enter__(self) -> _Named:
        return self

    def __exit__(self, *_: object) -> None:
        self._storage.close()

    def is_named(self, key: str) -> bool | None:
        """Whether a record names a file, or that of which it is a part (a thumb, attributes); None: no record could."""
        collection_id, _, rest = key.partition("/")
        record_id, _, rest = rest.partition("/")
        name, _, below = rest.partition("/")
        if not name:
            return None
        name = name.removeprefix("thumbs_") if below else name.removesuffix(".attrs")
        names = self._of(collection_id, record_id)
        return None if names is None else name in names

    def _of(self, collection_id: str, record_id: str) -> frozenset[str] | None:
        """Return the names of the files of a record; None where there is no such collection."""
        collection = self._catalog.find(collection_id)
        if collection is None or collection.is_view:
            return None
        if self._record != (collection_id, record_id):
            with self._storage.read() as reader:
                record = find(reader, collection, record_id)
            fields = [field for field in collection.fields if isinstance(field, FileField)]
            self._names = frozenset(name for field in fields if record for name in record.texts(field.name))
            self._record = (collection_id, record_id)
        return self._names
