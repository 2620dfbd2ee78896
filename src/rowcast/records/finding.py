"""Records by id or by the values of fields, whatever the rules.

For code that acts on its own account (sign-in, tokens, cascades), never for what
a client asks: nothing here looks at who asks.
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


def find(reader: Reader, collection: Collection, record_id: str) -> Record | None:
    """Return the record of this id."""
    row = reader.row(shape_of(collection).find, [record_id])
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
    collation = " COLLATE NOCASE" if index is not None and index.columns[0].collate.lower() == "nocase" else ""
    shape = shape_of(collection)
    row = reader.row(
        f"SELECT {shape.columns} FROM {shape.table} WHERE {_column(collection, field)} = ?{collation} LIMIT 1", [value]
    )
    return from_row(collection, row) if row is not None else None


def find_all(
    reader: Reader,
    collection: Collection,
    equal: Mapping[str, SQLValue],
    *,
    newest_first: bool = False,
    limit: int = -1,
) -> list[Record]:
    """Return the records whose fields have these values, in column form; `newest_first` orders by "created"."""
    shape = shape_of(collection)
    where = " AND ".join(f"{_column(collection, name)} = ?" for name in equal) or "1"
    order = ' ORDER BY "created" DESC' if newest_first else ""
    rows = reader.rows(
        f"SELECT {shape.columns} FROM {shape.table} WHERE {where}{order} LIMIT ?", [*equal.values(), limit]
    )
    return [from_row(collection, row) for row in rows]


def count(reader: Reader, collection: Collection) -> int:
    """Return the number of records of a collection."""
    total = reader.value(f"SELECT COUNT(*) FROM {quote(collection.name)}")
    return total if isinstance(total, int) else 0


class StoredRows:
    """What the validation of a record asks the database (`schema.fields.Lookup`)."""

    def __init__(self, reader: Reader, catalog: Catalog) -> None:
        self.catalog = catalog
        self._reader = reader

    def has_id(self, collection: Collection, record_id: str) -> bool:
        """Whether a record has this id, in any letter case."""
        sql = f'SELECT 1 FROM {quote(collection.name)} WHERE "id" = ? COLLATE NOCASE LIMIT 1'
        return self._reader.row(sql, [record_id]) is not None

    def count_ids(self, collection: Collection, ids: Sequence[str]) -> int:
        """Return how many of `ids` are ids of records."""
        table = quote(collection.name)
        if len(ids) == 1:
            return int(self._reader.row(f'SELECT 1 FROM {table} WHERE "id" = ? LIMIT 1', [ids[0]]) is not None)
        sql = f'SELECT COUNT(DISTINCT "id") FROM {table} WHERE "id" IN (SELECT value FROM json_each(?))'
        total = self._reader.value(sql, [dump(list(ids))])
        return total if isinstance(total, int) else 0


def _column(collection: Collection, name: str) -> str:
    """Return the quoted name of a field. Raises ValueError: SQLite takes an unknown quoted name for a text."""
    if collection.field(name) is None:
        raise ValueError(f"{collection.name} has no field {name}")
    return quote(name)
