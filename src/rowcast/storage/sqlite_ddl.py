"""The texts by which SQLite defines tables, indexes and views, as the reference writes them."""

from __future__ import annotations

from collections.abc import Iterable

from rowcast.schema.collection import Collection
from rowcast.schema.indexes import Index
from rowcast.schema.sqltext import quoted, resolve_brackets
from rowcast.storage import Reader, StorageError, Transaction

TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"
HAS_TABLE = "SELECT 1 FROM sqlite_schema WHERE type IN ('table', 'view') AND lower(name) = lower(?) LIMIT 1"


class SQLiteDefinitions:
    """What `storage.ddl` asks of SQLite."""

    tables = TABLES
    has_table = HAS_TABLE
    hidden_column = ""
    cascade = ""

    def name(self, name: str) -> str:
        """Return an identifier in quotes."""
        return quoted(name)

    def column_type(self, declared: str) -> str:
        """Return the type of a column."""
        return declared

    def index(self, index: Index, collection: Collection) -> str:  # noqa: ARG002 - PostgreSQL needs its fields
        """Return the CREATE INDEX of an index of a collection, "" for an invalid one."""
        return index.to_sql().rstrip("; \t\r\n")

    def index_owner(self, others: Iterable[str]) -> str:
        """Return the SELECT of the table that has an index, looking at none of some tables."""
        besides = " AND lower(tbl_name) <> lower(?)" * len(list(others))
        return f"SELECT tbl_name FROM sqlite_schema WHERE type = 'index' AND lower(name) = lower(?){besides} LIMIT 1"

    def query(self, query: str) -> str:
        """Return the query of a view with its brackets resolved."""
        return resolve_brackets(query)

    def create_view(self, transaction: Transaction, name: str, query: str) -> list[tuple[str, str]]:
        """Create a view in place of one of the same name and return its columns as (name, SQL type)."""
        transaction.run(f"DROP VIEW IF EXISTS {quoted(name)}")
        transaction.run(f"CREATE VIEW {quoted(name)} AS SELECT * FROM ({self.query(query)})")
        rows = transaction.rows("SELECT name, type FROM pragma_table_info(?)", (name,))
        if not rows:
            raise StorageError(f"empty table info probably due to invalid or missing table {name}")
        return [(str(column), str(kind)) for column, kind in rows]

    def views(self, reader: Reader, table: str) -> list[tuple[str, str]]:  # noqa: ARG002 - all of them
        """Return the views that must step aside while a column is replaced, with their definitions."""
        rows = reader.rows("SELECT name, sql FROM sqlite_schema WHERE type = 'view' AND sql IS NOT NULL")
        return [(str(name), str(sql)) for name, sql in rows]

    def as_list(self, column: str) -> str:
        """Return a text as a list with this item."""
        return (
            f"CASE WHEN COALESCE({column}, '') = '' THEN '[]'"
            f" WHEN json_valid({column}) AND json_type({column}) = 'array' THEN {column}"
            f" ELSE json_array({column}) END"
        )

    def as_last(self, column: str) -> str:
        """Return the last item of a list."""
        return (
            f"CASE WHEN COALESCE({column}, '[]') = '[]' THEN ''"
            f" WHEN json_valid({column}) AND json_type({column}) = 'array'"
            f" THEN COALESCE(json_extract({column}, '$[#-1]'), '') ELSE {column} END"
        )
