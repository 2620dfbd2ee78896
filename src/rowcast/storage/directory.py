"""Opening a data directory: data.db, auxiliary.db and storage/.

Owns which files there are and what is said about those that can't be opened.
Looks at a database without changing it before it opens it for writing, so that a
file that is not ours stays as it is. Finishes a restore that a crash cut short.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from rowcast.ciphers import SealError, SettingsKey, environment_key
from rowcast.config import Settings
from rowcast.errors import DataDirError
from rowcast.schema.catalog import Catalog
from rowcast.storage import Storage, StorageError, sources
from rowcast.storage.catalog_rows import load_catalog
from rowcast.storage.ddl import table_names
from rowcast.storage.migrations import SYSTEM_TABLES, check_migrations, check_tables, create_auxiliary, create_data
from rowcast.storage.occupancy import Occupancy
from rowcast.storage.settings_rows import load_settings, save_settings
from rowcast.storage.sqlite import SQLiteStorage
from rowcast.storage.sqlite_readers import inspect
from rowcast.storage.swap import TEMPORARY, Swap

_log = logging.getLogger("rowcast.storage")


@dataclass(frozen=True, slots=True)
class DataDir:
    """An open data directory and what it held when it was opened."""

    path: Path
    data: Storage
    auxiliary: Storage
    catalog: Catalog
    settings: Settings
    key: SettingsKey
    occupancy: Occupancy

    @property
    def files(self) -> Path:
        """The directory of the records' files."""
        return self.path / "storage"

    @property
    def temporary(self) -> Path:
        """The directory of what need not survive this process."""
        return self.path / TEMPORARY

    @property
    def held(self) -> Path:
        """Where files go instead of being deleted, if it is there: while a backup runs."""
        return self.temporary / "held"

    def optimize(self) -> None:
        """Empty the logs of both databases into their files and refresh the planner's statistics; waits for readers."""
        for storage in (self.data, self.auxiliary):
            storage.checkpoint()
        self.data.optimize()

    def close_databases(self) -> None:
        """Close both databases, but stay in the directory. May be called again without effect."""
        self.data.close()
        self.auxiliary.close()

    def close(self) -> None:
        """Close both databases and leave the directory. May be called again without effect."""
        self.close_databases()
        self.occupancy.leave()


@dataclass(frozen=True, slots=True)
class Opening:
    """How a directory is opened: see `Config` for what the options mean."""

    budget_s: float = 0.002
    query_timeout_s: float = 30.0
    allow_unknown_migrations: bool = False
    encryption_env: str = ""
    database: str = ""


def open_directory(
    path: str | Path,
    *,
    budget_s: float = 0.002,
    query_timeout_s: float = 30.0,
    allow_unknown_migrations: bool = False,
    encryption_env: str = "",
    database: str = "",
) -> DataDir:
    """Open a data directory, or make a new one where there is none or an empty one.

    `encryption_env` names the environment variable with the key of the settings, `database` is
    the URL of a PostgreSQL database that takes the place of data.db and auxiliary.db.
    Raises DataDirError with a text for the person who runs the server: not a
    database, another or a newer format, locked, read-only, disk full, damaged,
    being replaced by another process.
    """
    return open_with(Path(path), Opening(budget_s, query_timeout_s, allow_unknown_migrations, encryption_env, database))


def open_with(root: Path, opening: Opening) -> DataDir:
    """Do what `open_directory` does."""
    occupancy = enter_directory(root)
    try:
        if not occupancy.is_alone:
            return open_inside(occupancy, opening)
        return _open_alone(occupancy, opening)
    except BaseException:
        occupancy.leave()
        raise


def enter_directory(root: Path) -> Occupancy:
    """Make a data directory where there is none, and come in. Raises DataDirError."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        return Occupancy(root)
    except OSError as error:
        raise DataDirError(f"the data directory {root} can't be made: {error.strerror}") from error


def _open_alone(occupancy: Occupancy, opening: Opening) -> DataDir:
    """Finish what a process that crashed has left, open the directory and let others in."""
    swap = Swap(occupancy.root)
    try:
        recover(swap)
        try:
            opened = open_inside(occupancy, opening)
        except DataDirError as error:
            if swap.step != "trial":
                raise
            _log.error("the restored data can't be opened, so the former state comes back: %s", error)
            swap.undo()
            opened = open_inside(occupancy, opening)
        if swap.step == "trial":
            swap.settle()
    except OSError as error:
        raise DataDirError(f"a restore in {occupancy.root} can't be finished: {error.strerror}") from error
    swap.clean()
    occupancy.share()
    return opened


def recover(swap: Swap) -> None:
    """Finish an exchange that was cut short and delete what is left of others. Raises OSError."""
    if swap.step is not None:
        _log.warning("a restore was interrupted; it is being finished")
        swap.resume()
    swap.clean()
    shutil.rmtree(swap.root / TEMPORARY, ignore_errors=True)


def open_inside(occupancy: Occupancy, opening: Opening) -> DataDir:
    """Open a directory that this process is in already. Raises DataDirError."""
    root = occupancy.root
    try:
        key = environment_key(opening.encryption_env)
    except SealError as error:
        raise DataDirError(str(error)) from error
    opened: list[Storage] = []
    try:
        if opening.database:
            opened.append(data := _open_database(opening))
            auxiliary = data
        else:
            opened.append(data := _open(root / "data.db", opening))
            opened.append(auxiliary := _open(root / "auxiliary.db", opening))
        create_auxiliary(auxiliary)
        create_data(data, key)
        catalog, settings = _load(data, key, opening.allow_unknown_migrations)
        sources.mend(data, catalog)
    except BaseException as error:
        for storage in opened:
            storage.close()
        if isinstance(error, StorageError):
            what = "database" if opening.database else f"data directory {root}"
            raise DataDirError(f"the {what} can't be opened: {error}") from error
        raise
    return DataDir(root, data, auxiliary, catalog, settings, key, occupancy)


def _open_database(opening: Opening) -> Storage:
    """Open a database on a server; many processes may do so at once."""
    try:
        from rowcast.storage.postgres import PostgresStorage  # noqa: PLC0415 - an extra that only its users install
    except ImportError as error:
        raise DataDirError("PostgreSQL needs the extra of this name: pip install 'rowcast[postgres]'") from error
    storage = PostgresStorage(opening.database, query_timeout_s=opening.query_timeout_s)
    try:
        with storage.read() as reader:
            tables = table_names(reader)
        if tables & SYSTEM_TABLES:
            check_tables(tables)
    except BaseException:
        storage.close()
        raise
    return storage


def _open(file: Path, opening: Opening) -> Storage:
    try:
        tables = inspect(file)
        if tables and file.name == "data.db":
            check_tables(tables)
        return SQLiteStorage(file, budget_s=opening.budget_s, query_timeout_s=opening.query_timeout_s, create=True)
    except (StorageError, DataDirError) as error:
        raise DataDirError(f"{file} can't be opened: {error}") from error


def _load(data: Storage, key: SettingsKey, allow_unknown_migrations: bool) -> tuple[Catalog, Settings]:
    with data.read() as reader:
        if not allow_unknown_migrations:
            check_migrations(reader)
        catalog, settings = load_catalog(reader), load_settings(reader, key)
    if settings is None:
        settings = Settings()
        with data.write() as transaction:
            save_settings(transaction, settings, key)
    return catalog, settings
