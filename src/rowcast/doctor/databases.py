"""Checks of data.db and auxiliary.db: are they whole, and do tables and collections agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from rowcast.config import Settings
from rowcast.doctor.findings import Finding, ok, problem, some, warning
from rowcast.errors import RowcastError
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.indexes import parse_index
from rowcast.schema.sqltext import quoted
from rowcast.sql import Reader
from rowcast.storage import StorageError, sources
from rowcast.storage.catalog_rows import load_catalog
from rowcast.storage.migrations import SYSTEM_TABLES
from rowcast.storage.settings_rows import load_settings

_OWN_TABLES = frozenset({"_rowcast_changes", "_rowcast_logs", sources.SOURCES_TABLE})
_BIG_LOG_BYTES = 200_000_000
_RESTORE = "restore a backup, or save what can be saved with: sqlite3 data.db .recover"


def whole(reader: Reader, name: str) -> Iterator[Finding]:
    """Check that a database is not damaged."""
    try:
        rows = [str(row[0]) for row in reader.rows("PRAGMA integrity_check(20)")]
        dangling = reader.rows("PRAGMA foreign_key_check")
    except StorageError as error:
        yield problem(f"{name} integrity", f"{name} is damaged: {error}.", _RESTORE)
        return
    if rows != ["ok"]:
        yield problem(f"{name} integrity", f"{name} is damaged: {some(rows)}.", _RESTORE)
    else:
        yield ok(f"{name} integrity", f"{name} is whole.")
    if dangling:
        tables = sorted({str(row[0]) for row in dangling})
        yield problem(
            f"{name} foreign keys", f"{len(dangling)} rows of {some(tables)} refer to rows that are gone.",
            "delete these rows, or bring back what they refer to",
        )  # fmt: skip


def settings_of(reader: Reader) -> tuple[Settings | None, Finding]:
    """Read the settings, and say whether that went well."""
    try:
        settings = load_settings(reader)
    except (RowcastError, msgspec.MsgspecError) as error:
        mend = "start the server with the key that they were encrypted with, or restore a backup"
        return None, problem("settings", f"The settings can't be read: {error}", mend)
    if settings is None:
        return None, warning("settings", "There are no settings yet.", "start the server once; it makes them")
    return settings, ok("settings", "The settings are readable.")


def catalog_of(reader: Reader) -> tuple[Catalog | None, Finding]:
    """Read the collections, and say whether that went well."""
    try:
        catalog = load_catalog(reader)
    except (RowcastError, msgspec.MsgspecError) as error:
        return None, problem(
            "collections", f"The collections can't be read: {error}.", "use the version that wrote them"
        )
    return catalog, ok("collections", f"There are {len(list(catalog))} collections.")


def agreement(reader: Reader, catalog: Catalog) -> Iterator[Finding]:
    """Check that every collection has its table, columns and indexes, and that no table is a stranger."""
    kinds = {str(name): str(kind) for name, kind in reader.rows("SELECT name, type FROM sqlite_schema")}
    adopted = {source.collection: source.table for source in sources.all_sources(reader) if source.is_adopted}
    findings: list[Finding] = []
    for collection in catalog:
        if collection.name not in kinds:
            what = "view" if collection.is_view else "table"
            mend = f"restore the {what} from a backup, or delete the collection"
            findings.append(problem("tables", f"The collection {collection.name} has no {what}.", mend))
        elif collection.is_view or collection.id in adopted:
            findings += _view(reader, collection, adopted.get(collection.id, ""))
        else:
            findings += _columns(reader, collection)
            findings += _indexes(reader, collection)
    known = {collection.name for collection in catalog} | SYSTEM_TABLES | _OWN_TABLES | set(adopted.values())
    strangers = sorted(
        name for name, kind in kinds.items()
        if kind in {"table", "view"} and name not in known and not name.startswith("sqlite_")
    )  # fmt: skip
    if strangers:
        mend = "nothing, where a program of yours made them; else drop them after a backup"
        findings.append(warning("tables", f"No collection has the tables {some(strangers)}.", mend))
    yield from findings or [ok("tables", "Tables, columns and indexes are those of the collections.")]


def log_size(file: Path) -> Finding:
    """Check that the write-ahead log of a database is emptied now and then."""
    log = file.with_name(file.name + "-wal")
    size = log.stat().st_size if log.exists() else 0
    if size > _BIG_LOG_BYTES:
        mend = "restart the server; if it grows again a program keeps the database open, or the disk is too slow"
        return warning("write-ahead log", f"{log.name} has {size // 1_000_000} MB and slows reads down.", mend)
    return ok("write-ahead log", f"{log.name} has {size / 1_000_000:.1f} MB.")


def _view(reader: Reader, collection: Collection, adopted: str) -> Iterator[Finding]:
    """Check a view, that of a collection over an `adopted` table among them."""
    try:
        reader.rows(f"SELECT * FROM {quoted(collection.name)} LIMIT 0")
    except StorageError as error:
        mend = (
            f"bring the table {adopted} back, or delete the collection"
            if adopted
            else "correct its query in the dashboard"
        )
        yield problem("tables", f"The view {collection.name} can't be read: {error}.", mend)


def _columns(reader: Reader, collection: Collection) -> Iterator[Finding]:
    there = {str(row[0]) for row in reader.rows("SELECT name FROM pragma_table_info(?)", (collection.name,))}
    wanted = {field.name for field in collection.fields}
    if missing := sorted(wanted - there):
        mend = "restore a backup, or delete these fields and make them again"
        yield problem("columns", f"The table {collection.name} lacks the columns {some(missing)}.", mend)
    if strange := sorted(there - wanted):
        mend = "nothing, where a program of yours added them; else drop them after a backup"
        yield warning("columns", f"The table {collection.name} has columns of no field: {some(strange)}.", mend)


def _indexes(reader: Reader, collection: Collection) -> Iterator[Finding]:
    sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL"
    there = {str(name).lower(): str(text) for name, text in reader.rows(sql, (collection.name,))}
    mend = "save the collection again in the dashboard, which makes its indexes anew"
    for text in collection.indexes:
        index = parse_index(text)
        found = there.pop(index.name.lower(), None)
        if found is None:
            yield problem("indexes", f"The index {index.name} of {collection.name} is missing.", mend)
        elif parse_index(found).on(collection.name).to_sql() != index.on(collection.name).to_sql():
            yield warning(
                "indexes", f"The index {index.name} of {collection.name} is not as the collection says.", mend
            )
    if there:
        strange = "nothing, where you made them by hand: they cost writes, and the dashboard does not show them"
        names = some(sorted(there))
        yield warning(
            "indexes", f"The table {collection.name} has indexes that its collection does not name: {names}.", strange
        )
