"""A small database for filters: collections and rows of `tests/cases/filters_world.json`, in SQLite or PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec

from rowcast import filters
from rowcast.filters import Part, Scope
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection, ViewOptions
from rowcast.schema.fields import AnyField, Field, PasswordField
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import from_row, select_columns
from rowcast.sql import SQLITE, Dialect, SQLValue, quote
from rowcast.storage import Row, Transaction, ddl
from rowcast.storage.postgres import PostgresStorage
from rowcast.storage.postgres_dialect import POSTGRES
from tests import postgres

CASES = Path(__file__).parents[2] / "cases"


def cases(name: str) -> list[dict[str, Any]]:
    """Return the cases of a file in tests/cases."""
    found: list[dict[str, Any]] = json.loads((CASES / name).read_text(encoding="utf-8"))
    return found


def collection(raw: dict[str, Any], **changes: Any) -> Collection:
    raw = {**raw, **changes}
    return Collection(
        id=raw["id"],
        name=raw["name"],
        type=raw["type"],
        list_rule=raw["listRule"],
        indexes=tuple(raw.get("indexes", ())),
        fields=msgspec.convert(raw["fields"], tuple[AnyField, ...]),
        view=ViewOptions(view_query=raw["viewQuery"]) if "viewQuery" in raw else None,
    )


class World:
    """The catalog and a connection to its tables."""

    dialect: Dialect = SQLITE
    db: Any

    def __init__(self, **list_rules: str | None) -> None:
        world = json.loads((CASES / "filters_world.json").read_text(encoding="utf-8"))
        self.catalog = Catalog(
            collection(raw, listRule=list_rules.get(raw["name"], raw["listRule"])) for raw in world["collections"]
        )
        self._fill(world["rows"])

    def _fill(self, rows: dict[str, list[dict[str, SQLValue]]]) -> None:
        self.db = apsw.Connection(":memory:")
        for found in self.catalog:
            if found.view is not None:
                self.db.execute(f"CREATE VIEW {quote(found.name)} AS {found.view.view_query}")
                continue
            columns = ", ".join(_column(field) for field in found.fields)
            self.db.execute(f"CREATE TABLE {quote(found.name)} ({columns})")
            for index in found.indexes:
                self.db.execute(index)
            for row in rows[found.name]:
                names = ", ".join(map(quote, row))
                marks = ", ".join("?" * len(row))
                self.db.execute(f"INSERT INTO {quote(found.name)} ({names}) VALUES ({marks})", tuple(row.values()))

    def find(self, name: str) -> Collection:
        found = self.catalog.find(name)
        assert found is not None
        return found

    def rows(self, name: str) -> list[dict[str, SQLValue]]:
        """Return the rows of a collection in DB column form."""
        found = self.find(name)
        names = [field.name for field in found.fields]
        sql = f"SELECT {select_columns(found)} FROM {quote(name)} ORDER BY id"
        return [dict(zip(names, row, strict=True)) for row in self.db.execute(sql)]

    def record(self, name: str, record_id: str) -> Record:
        found = self.find(name)
        sql = f"SELECT {select_columns(found)} FROM {quote(name)} WHERE id = ?"
        return from_row(found, next(iter(self.db.execute(sql, (record_id,)))))

    def request(self, auth: str | None = None, **values: Any) -> RequestInfo:
        return RequestInfo(auth=self.record("users", auth) if auth else None, **values)

    def scope(self, name: str, request: RequestInfo | None = None, **options: Any) -> Scope:
        auth = request.auth.collection if request is not None and request.auth is not None else None
        return Scope(self.catalog, self.find(name), auth, dialect=self.dialect, **options)

    def ids(
        self, name: str, *parts: Part, request: RequestInfo | None = None, sort: str = "", sort_hidden: bool = False
    ) -> list[str]:
        """Return the ids of the rows that pass, in the order of `sort` or else of their ids."""
        request = request or RequestInfo()
        bound = filters.compile(parts, self.scope(name, request), sort, sort_hidden=sort_hidden).bind(request)
        table = quote(name)
        distinct = "DISTINCT " if bound.distinct else ""
        columns = select_columns(self.find(name), name)
        sql = (
            f"SELECT id FROM (SELECT {distinct}{columns} FROM {table} {bound.joins} WHERE {bound.where}"
            f" ORDER BY {bound.order_by or f'{table}.id'})"
        )
        params = [*bound.join_params, *bound.params, *bound.order_params]
        if self.dialect.groups:
            together = f"GROUP BY {columns}" if bound.distinct else ""
            order = f"ORDER BY {bound.order_by}" if bound.order_by else ""
            sql = f"SELECT {table}.id FROM {table} {bound.joins} WHERE {bound.where} {together} {order}"
        found = [str(row[0]) for row in self.db.execute(sql, params)]
        return found if sort or not self.dialect.groups else sorted(found)

    def passes(self, text: str, scope: Scope, row: dict[str, SQLValue], request: RequestInfo) -> bool:
        """Whether a row image passes a rule."""
        bound = filters.compile((Part(text, allow_hidden=True),), scope).bind(request)
        source, params = filters.row_image(scope, row)
        sql = f"SELECT 1 FROM {source} {bound.joins} WHERE {bound.where} LIMIT 1"
        return bool(list(self.db.execute(sql, [*params, *bound.join_params, *bound.params])))


class PostgresWorld(World):
    """The same in PostgreSQL, in one transaction that never ends."""

    dialect = POSTGRES

    def _fill(self, rows: dict[str, list[dict[str, SQLValue]]]) -> None:
        storage = PostgresStorage(postgres.new_database())
        self._transaction = storage.write()
        tx = self._transaction.__enter__()
        self.db = _Connection(tx)
        for found in self.catalog:
            if found.view is not None:
                ddl.create_view(tx, found.name, found.view.view_query)
                continue
            ddl.create_table(tx, found)
            for row in rows[found.name]:
                names = ", ".join(map(quote, row))
                kinds = [found.by_name[name].column_type for name in row]
                places = ", ".join(map(self.dialect.stored, kinds))
                tx.run(f"INSERT INTO {quote(found.name)} ({names}) VALUES ({places})", tuple(row.values()))


class _Connection:
    """A transaction that goes on after a statement that failed."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def execute(self, sql: str, params: Any = ()) -> list[Row]:
        if sql.startswith(("SAVEPOINT", "ROLLBACK", "RELEASE")):
            return self._transaction.rows(sql)
        with self._transaction.savepoint():
            return self._transaction.rows(sql, params)


def _column(field: Field) -> str:
    kind = "TEXT PRIMARY KEY" if field.name == "id" else field.column_type
    return f"{quote(field.name)} {'TEXT' if isinstance(field, PasswordField) else kind}"


_engine: list[type[World]] = [World]


@contextmanager
def using(kind: type[World]) -> Iterator[None]:
    """Have `world()` be of another engine inside of the block."""
    _engine.append(kind)
    try:
        yield
    finally:
        _engine.pop()


def world() -> World:
    """Return the world as its file has it. Not to be changed."""
    kind = _engine[-1]
    if kind not in _made:
        _made[kind] = kind()
    return _made[kind]


_made: dict[type[World], World] = {}
