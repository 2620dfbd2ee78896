"""A whole database from one engine to another: schema, settings, records and the log of requests.

Everything is written in one transaction, so that what fails leaves the target empty. Rows are
read in batches and keep their order. Values go through the fields of their collection,
which gives them the form that the target stores; of that form each table has a count and a
sum, which are taken while it is written and again of what was stored. Files are not
touched, nor is the log of changes: positions of streams end with a copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from rowcast.admin import views
from rowcast.admin.activity_backlog import Backlog
from rowcast.admin.views import ViewError
from rowcast.errors import RowcastError
from rowcast.schema import jsontext
from rowcast.schema.collection import Collection
from rowcast.schema.fields import JSONField
from rowcast.sql import SQLValue, quote
from rowcast.storage import Reader, Storage, StorageError, Transaction, ddl, sources
from rowcast.storage.catalog_rows import load_catalog
from rowcast.storage.migrations import SYSTEM_TABLES, create_auxiliary, create_system_tables

Progress = Callable[[str, int], None]
"""Is told the name of a table and how many of its rows are written."""

_BATCH = 1_000
_SUM_BITS = 1 << 128
_COLUMNS = {
    "_migrations": ("file", "applied"),
    "_params": ("id", "value", "created", "updated"),
    "_collections": (
        *("id", "system", "type", "name", "fields", "indexes", "listRule", "viewRule", "createRule", "updateRule"),
        *("deleteRule", "options", "created", "updated"),
    ),
}
_LOG = ("id", "level", "message", "data", "created")
_encode = msgspec.json.Encoder().encode


class CopyError(RowcastError):
    """A copy can't be made, or is not what it was made from."""


@dataclass(slots=True)
class Sum:
    """How many rows there are, and what their values come to, in whatever order."""

    count: int = 0
    total: int = 0

    def add(self, row: Sequence[SQLValue]) -> None:
        """Count a row in."""
        digest = hashlib.blake2b(_encode(row), digest_size=16).digest()
        self.count += 1
        self.total = (self.total + int.from_bytes(digest)) % _SUM_BITS


@dataclass(slots=True)
class Report:
    """What was copied: a sum for each table, and the views that the target does not understand."""

    tables: dict[str, Sum] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table with its columns. `plain` gives a row in one form for both engines, `stored` what is written of it.

    `is_adopted` says that the source has no numbers for the rows: they get theirs in the order of their ids.
    """

    name: str
    columns: tuple[str, ...]
    plain: Callable[[Sequence[SQLValue]], list[SQLValue]]
    stored: Callable[[list[SQLValue]], list[SQLValue]]
    is_adopted: bool = False


def copy_database(
    source: Storage,
    target: Storage,
    *,
    source_log: Storage | None = None,
    target_log: Storage | None = None,
    progress: Progress = lambda _table, _count: None,
) -> Report:
    """Copy everything into an empty database and compare the two. Raises CopyError and StorageError.

    `source_log` and `target_log` hold the log of requests, where it is in a database of its own.
    """
    report = Report()
    source_log, target_log = source_log or source, target_log or target
    with source.read() as reader, target.write() as tx:
        tx.serialize()
        if ddl.table_names(tx) & SYSTEM_TABLES:
            raise CopyError("the target is not empty")
        create_system_tables(tx)
        catalog = load_catalog(reader)
        tables = [_system_table(name, columns, tx) for name, columns in _COLUMNS.items()]
        adopted = {source.collection for source in sources.all_sources(reader) if source.is_adopted}
        tables += [
            _record_table(collection, tx, collection.id in adopted) for collection in catalog if not collection.is_view
        ]
        for collection in catalog:
            if not collection.is_view:
                ddl.create_table(tx, collection)
        for table in tables:
            report.tables[table.name] = _fill(reader, tx, table, progress)
        for table in tables:
            _compare(tx, table, report.tables[table.name])
        for view in catalog:
            if view.view is not None and (reason := _refused(tx, view.name, view.view.view_query)):
                report.views[view.name] = reason
    _copy_log(source_log, target_log, report, progress)
    return report


def _refused(tx: Transaction, name: str, query: str) -> str:
    """Create a view and return why it can't be, "" where it can."""
    try:
        with tx.savepoint():
            views.create_view(tx, name, query)
    except (StorageError, ViewError) as error:
        return str(error)
    return ""


def _copy_log(source: Storage, target: Storage, report: Report, progress: Progress) -> None:
    create_auxiliary(target)
    Backlog(source).settle()
    log = _system_table("_logs", _LOG, target)
    with source.read() as reader, target.write() as tx:
        if "_logs" not in ddl.table_names(reader):
            return
        if tx.value('SELECT 1 FROM "_logs" LIMIT 1') is not None:
            raise CopyError("the log of the target is not empty")
        report.tables[log.name] = _fill(reader, tx, log, progress)
        _compare(tx, log, report.tables[log.name])


def _system_table(name: str, columns: tuple[str, ...], target: Reader | Storage) -> _Table:
    # SQLite keeps the settings as the reference does, as bytes.
    is_bytes = name == "_params" and target.dialect.engine == "sqlite"

    def plain(row: Sequence[SQLValue]) -> list[SQLValue]:
        return [value.decode() if isinstance(value, bytes) else value for value in row]

    def stored(row: list[SQLValue]) -> list[SQLValue]:
        return [row[0], str(row[1]).encode(), *row[2:]] if is_bytes else row

    return _Table(name, columns, plain, stored)


def _record_table(collection: Collection, target: Reader, is_adopted: bool) -> _Table:
    fields = collection.fields
    texts = [index for index, one in enumerate(fields) if isinstance(one, JSONField)]
    has_types = target.dialect.engine == "sqlite"

    def plain(row: Sequence[SQLValue]) -> list[SQLValue]:
        return [one.to_db(one.from_db(value)) for one, value in zip(fields, row, strict=True)]

    def stored(row: list[SQLValue]) -> list[SQLValue]:
        if not has_types:
            for index in texts:
                value = row[index]
                row[index] = jsontext.go_number(value) if isinstance(value, int | float) else value
        return row

    return _Table(collection.name, tuple(one.name for one in fields), plain, stored, is_adopted)


def _fill(reader: Reader, tx: Transaction, table: _Table, progress: Progress) -> Sum:
    found = Sum()

    def rows() -> Iterator[list[SQLValue]]:
        for number, row in _by_id(reader, table) if table.is_adopted else _rows(reader, table):
            values = table.plain(row)
            found.add(values)
            yield [number, *table.stored(values)]
            if found.count % _BATCH == 0:
                progress(table.name, found.count)

    tx.load(table.name, ("_rowid_", *table.columns), rows())
    progress(table.name, found.count)
    return found


def _compare(reader: Reader, table: _Table, expected: Sum) -> None:
    """Raise CopyError where a table does not hold what was written."""
    found = Sum()
    for _, row in _rows(reader, table):
        found.add(table.plain(row))
    if found != expected:
        text = f"{found.count} rows with the sum {found.total:032x}, not {expected.count} with {expected.total:032x}"
        raise CopyError(f"the copy of {table.name} is not like the original: {text}")


def _by_id(reader: Reader, table: _Table) -> Iterator[tuple[SQLValue, Sequence[SQLValue]]]:
    """Give the rows of an adopted table by their ids, with numbers."""
    select = f"SELECT {','.join(map(quote, table.columns))} FROM {quote(table.name)}"
    place, number = table.columns.index("id"), 0
    rows = reader.rows(f'{select} ORDER BY "id" LIMIT {_BATCH}')
    while rows:
        for row in rows:
            number += 1
            yield number, row
        rows = reader.rows(f'{select} WHERE "id" > ? ORDER BY "id" LIMIT {_BATCH}', [rows[-1][place]])


def _rows(reader: Reader, table: _Table) -> Iterator[tuple[SQLValue, Sequence[SQLValue]]]:
    """Give the rows of a table in their order, with their numbers."""
    names = ",".join(map(quote, table.columns))
    sql = (
        f"SELECT _rowid_, {names} FROM {quote(table.name)} WHERE _rowid_ > CAST(? AS bigint)"
        f" ORDER BY _rowid_ LIMIT {_BATCH}"
    )
    last: SQLValue = -(2**63)
    while rows := reader.rows(sql, [last]):
        for number, *row in rows:
            yield number, row
        last = rows[-1][0]
