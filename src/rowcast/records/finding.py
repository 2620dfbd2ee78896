"""Records by id or by the values of fields, whatever the rules.

For code that acts on its own account (sign-in, tokens, cascades), never for what
a client asks: nothing here looks at who asks. What a transaction finds here nobody
else changes before it ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rowcast.records.shapes import shape_of
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.indexes import unique_index
from rowcast.schema.jsontext import dump
from rowcast.schema.record import Record
from rowcast.schema.rows import from_row
from rowcast.sql import SQLValue, quote
from rowcast.storage import Reader

_NO_LIMIT = 2**63 - 1


def find(reader: Reader, collection: Collection, record_id: str) -> Record | None:
    """Return the record of this id."""
    row = reader.row(shape_of(collection, reader.dialect).find, [record_id])
    return from_row(collection, row) if row is not None else None


def find_first(reader: Reader, collection: Collection, field: str, value: SQLValue) -> Record | None:
    """Return the first record whose field has this value, in column form."""
    found = find_all(reader, collection, {field: value}, limit=1)
    return found[0] if found else None


def find_unique(reader: Reader, collection: Collection, field: str, value: str) -> Record | None:
    """Return the record whose unique field has this text, in any letter case if its index says so.

    Copies core/record_query.go, FindAuthRecordByEmail.
    """
    index = unique_index(collection.indexes, field)
    in_any_case = index is not None and index.columns[0].collate.lower() == "nocase"
    same = reader.dialect.in_any_case if in_any_case else "{} = {}"
    shape = shape_of(collection, reader.dialect)
    condition = same.format(_column(collection, field), "?")
    row = reader.row(f"SELECT {shape.columns} FROM {shape.table} WHERE {condition} LIMIT 1{shape.lock}", [value])
    return from_row(collection, row) if row is not None else None


def find_all(
    reader: Reader,
    collection: Collection,
    equal: Mapping[str, SQLValue],
    *,
    newest_first: bool = False,
    limit: int = _NO_LIMIT,
) -> list[Record]:
    """Return the records whose fields have these values, in column form; `newest_first` orders by "created"."""
    shape = shape_of(collection, reader.dialect)
    where = " AND ".join(f"{_column(collection, name)} = ?" for name in equal) or reader.dialect.true
    orders = ['"created" DESC'] if newest_first else []
    order = f" ORDER BY {', '.join(orders)}" if (orders := [*orders, *filter(None, [shape.order])]) else ""
    rows = reader.rows(
        f"SELECT {shape.columns} FROM {shape.table} WHERE {where}{order} LIMIT ?{shape.lock}", [*equal.values(), limit]
    )
    return [from_row(collection, row) for row in rows]


def count(reader: Reader, collection: Collection) -> int:
    """Return the number of records of a collection, none of which goes away before a transaction ends."""
    source = quote(collection.name)
    if reader.dialect.lock:
        source = f"(SELECT 1 FROM {source}{reader.dialect.lock})"
    total = reader.value(f"SELECT COUNT(*) FROM {source}")
    return total if isinstance(total, int) else 0


class StoredRows:
    """What the validation of a record asks the database (`schema.fields.Lookup`)."""

    def __init__(self, reader: Reader, catalog: Catalog) -> None:
        self.catalog = catalog
        self._reader = reader

    def has_id(self, collection: Collection, record_id: str) -> bool:
        """Whether a record has this id, in any letter case."""
        same = self._reader.dialect.in_any_case.format('"id"', "?")
        sql = f"SELECT 1 FROM {quote(collection.name)} WHERE {same} LIMIT 1"
        return self._reader.row(sql, [record_id]) is not None

    def count_ids(self, collection: Collection, ids: Sequence[str]) -> int:
        """Return how many of `ids` are ids of records."""
        table, dialect = quote(collection.name), self._reader.dialect
        lock = "" if collection.is_view else dialect.key_lock
        if len(ids) == 1:
            return int(self._reader.row(f'SELECT 1 FROM {table} WHERE "id" = ? LIMIT 1{lock}', [ids[0]]) is not None)
        condition = f'"id" IN (SELECT value FROM {dialect.bound_items.format("?")})'
        if lock:
            # What a record refers to must not be deleted before it is stored.
            return len(set(self._reader.rows(f'SELECT "id" FROM {table} WHERE {condition}{lock}', [dump(list(ids))])))
        total = self._reader.value(f'SELECT COUNT(DISTINCT "id") FROM {table} WHERE {condition}', [dump(list(ids))])
        return total if isinstance(total, int) else 0


def _column(collection: Collection, name: str) -> str:
    """Return the quoted name of a field. Raises ValueError: SQLite takes an unknown quoted name for a text."""
    if collection.field(name) is None:
        raise ValueError(f"{collection.name} has no field {name}")
    return quote(name)
