"""The SQL of one collection, worked out once.

A `Shape` holds statements and the expression with which SQLite writes the JSON of
a row. It belongs to one `Collection` value and lives in its `caches`. It runs
nothing. What `json_sql` gives must be what `schema.public` gives for the same row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from rowcast.schema.collection import Collection
from rowcast.schema.fields import Field, FileField
from rowcast.schema.rows import select_columns
from rowcast.sql import SQLITE, Dialect, quote

K = TypeVar("K")

_NEVER_PUBLIC = frozenset(("password", "tokenKey"))
"""Fields of accounts that nobody sees, not even superusers."""

_MOST_SQL_FIELDS = 450
"""SQLite functions take at most 1,000 arguments, two for each field."""

_MOST_TEXTS = 200
"""How many statements are kept that depend on what a client asks for."""


class Visible(NamedTuple):
    """What is shown of a row: `hidden` fields too, the `email` of an account, and only the fields in `names`."""

    hidden: bool = False
    email: bool = True
    names: frozenset[str] | None = None


class Shape:
    """The statements of one collection. Its caches may be filled twice by two threads, with the same texts."""

    def __init__(self, collection: Collection, dialect: Dialect = SQLITE) -> None:
        self.collection = collection
        self.dialect = dialect
        self.table = quote(collection.name)
        self.id = f'{self.table}."id"'
        self.columns = select_columns(collection, collection.name)
        self.lock = "" if collection.is_view else dialect.lock
        self.find = f"SELECT {self.columns} FROM {self.table} WHERE {self.id} = ? LIMIT 1{self.lock}"
        names = [quote(field.name) for field in collection.fields]
        places = [dialect.stored(field.column_type) for field in collection.fields]
        self._places = dict(zip([field.name for field in collection.fields], places, strict=True))
        self.insert = f"INSERT INTO {self.table} ({','.join(names)}) VALUES ({','.join(places)})"
        self.delete = f'DELETE FROM {self.table} WHERE "id" = ?'
        self.files = tuple(field for field in collection.fields if isinstance(field, FileField))
        self.is_json_built = dialect.is_json_built and len(collection.fields) <= _MOST_SQL_FIELDS
        in_order = dialect.natural_order and not collection.is_view
        self.order = dialect.natural_order.format(self.table) if in_order else ""
        self._names = frozenset(field.name for field in collection.fields) | {"collectionId", "collectionName"}
        self._json: dict[Visible, str] = {}
        self._updates: dict[tuple[str, ...], str] = {}

    def update(self, names: Sequence[str]) -> str:
        """Return the UPDATE of these columns of one row; the id is the last parameter."""
        key = tuple(names)
        sql = self._updates.get(key)
        if sql is None:
            sets = ",".join(f"{quote(name)}={self._places[name]}" for name in key)
            sql = f'UPDATE {self.table} SET {sets} WHERE "id" = ?'
            _keep(self._updates, key, sql)
        return sql

    def json_sql(self, visible: Visible) -> str:
        """Return the SQL expression that gives the JSON text of what is shown of a row, keys in order."""
        if visible.names is not None:
            visible = visible._replace(names=visible.names & self._names)
        sql = self._json.get(visible)
        if sql is None:
            sql = self._json_object(visible)
            _keep(self._json, visible, sql)
        return sql

    def _json_object(self, visible: Visible) -> str:
        collection = self.collection
        values = {"collectionId": _literal(collection.id), "collectionName": _literal(collection.name)}
        for field in collection.fields:
            if self._is_shown(field, visible):
                values[field.name] = field.json_sql(f"{self.table}.{quote(field.name)}")
        pairs = (
            f"{_literal(key)},{values[key]}" for key in sorted(values) if visible.names is None or key in visible.names
        )
        text = f"json_object({','.join(pairs)})"
        # Without a sort the order is that of SQLite's plan. Every column is named, though never read, so
        # that a choice of fields can't make it read an index instead of the table.
        return text if visible.names is None else f"coalesce({text},{self.columns})"

    def _is_shown(self, field: Field, visible: Visible) -> bool:
        if field.hidden and not visible.hidden:
            return False
        if not self.collection.is_auth:
            return True
        return field.name not in _NEVER_PUBLIC and (visible.email or field.name != "email")


def shape_of(collection: Collection, dialect: Dialect) -> Shape:
    """Return the shape of a collection for an engine."""
    shape: Shape | None = collection.caches.get(dialect.name)
    if shape is None:
        shape = collection.caches[dialect.name] = Shape(collection, dialect)
    return shape


def _keep(cache: dict[K, str], key: K, text: str) -> None:
    if len(cache) >= _MOST_TEXTS:
        cache.clear()
    cache[key] = text


def _literal(text: str) -> str:
    """Return a name out of the catalog as a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"
