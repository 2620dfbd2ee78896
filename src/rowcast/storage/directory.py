"""Opening a data directory: data.db, auxiliary.db and storage/.

Owns which files there are and what is said about those that can't be opened.
Looks at a database without changing it before it opens it for writing, so that a
file that is not ours stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rowcast.ciphers import SealError, SettingsKey, environment_key
from rowcast.config import Settings
from rowcast.errors import DataDirError
from rowcast.schema.catalog import Catalog
from rowcast.storage import StorageError
from rowcast.storage.catalog_rows import load_catalog
from rowcast.storage.migrations import check_migrations, check_tables, create_auxiliary, create_data
from rowcast.storage.settings_rows import load_settings, save_settings
from rowcast.storage.sqlite import SQLiteStorage
from rowcast.storage.sqlite_readers import inspect


@dataclass(frozen=True, slots=True)
class DataDir:
    """An open data directory and what it held when it was opened."""

    path: Path
    data: SQLiteStorage
    auxiliary: SQLiteStorage
    catalog: Catalog
    settings: Settings
    key: SettingsKey

    @property
    def files(self) -> Path:
        """The directory of the records' files."""
        return self.path / "storage"

    def optimize(self) -> None:
        """Empty the logs of both databases into their files and refresh the planner's statistics; waits for readers."""
        for storage in (self.data, self.auxiliary):
            storage.checkpoint()
        self.data.optimize()

    def close(self) -> None:
        """Close both databases. May be called again without effect."""
        self.data.close()
        self.auxiliary.close()


def open_directory(
    path: str | Path,
    *,
    budget_s: float = 0.002,
    query_timeout_s: float = 30.0,
    allow_unknown_migrations: bool = False,
    encryption_env: str = "",
) -> DataDir:
    """Open a data directory, or make a new one where there is none or an empty one.

    `encryption_env` names the environment variable with the key of the settings.
    Raises DataDirError with a text for the person who runs the server: not a
    database, another or a newer format, locked, read-only, disk full, damaged.
    """
    root = Path(path)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataDirError(f"the data directory {root} can't be made: {error.strerror}") from error
    try:
        key = environment_key(encryption_env)
    except SealError as error:
        raise DataDirError(str(error)) from error
    opened: list[SQLiteStorage] = []
    try:
        opened.append(data := _open(root / "data.db", budget_s, query_timeout_s))
        opened.append(auxiliary := _open(root / "auxiliary.db", budget_s, query_timeout_s))
        create_auxiliary(auxiliary)
        create_data(data, key)
        catalog, settings = _load(data, key, allow_unknown_migrations)
    except BaseException as error:
        for storage in opened:
            storage.close()
        if isinstance(error, StorageError):
            raise DataDirError(f"the data directory {root} can't be opened: {error}") from error
        raise
    return DataDir(root, data, auxiliary, catalog, settings, key)


def _open(file: Path, budget_s: float, query_timeout_s: float) -> SQLiteStorage:
    try:
        tables = inspect(file)
        if tables and file.name == "data.db":
            check_tables(tables)
        return SQLiteStorage(file, budget_s=budget_s, query_timeout_s=query_timeout_s, create=True)
    except (StorageError, DataDirError) as error:
        raise DataDirError(f"{file} can't be opened: {error}") from error


def _load(data: SQLiteStorage, key: SettingsKey, allow_unknown_migrations: bool) -> tuple[Catalog, Settings]:
    with data.read() as reader:
        if not allow_unknown_migrations:
            check_migrations(reader)
        catalog, settings = load_catalog(reader), load_settings(reader, key)
    if settings is None:
        settings = Settings()
        with data.write() as transaction:
            save_settings(transaction, settings, key)
    return catalog, settings
