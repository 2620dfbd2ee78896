"""The texts by which SQLite adopts and captures tables.

Triggers run in whichever process writes, the `sqlite3` shell or any other program, so they
are made of what every SQLite has. They have to tell rowcast's own writes, which are told anyway,
from all others: they ask `sqlite_compileoption_used` for an option that no library has been
compiled with. The writer of rowcast has a function of this name that knows the answer (`sqlite_writer`).

A number is the one behind the last row: whoever runs a trigger is the one writer there is.
"""

from __future__ import annotations

from collections.abc import Sequence

from rowcast.schema.collection import Collection
from rowcast.sql import quote
from rowcast.storage import Reader, Transaction
from rowcast.storage.source_parts import Found, Part, Source, any_of, concatenated, key_of, label, literal
from rowcast.storage.sqlite_columns import affinity, find_table
from rowcast.storage.sqlite_ddl import HAS_TABLE

OWN_WRITE = "ROWCAST_WRITES "
"""What the option begins with; the name of the collection and the id of the record follow."""

_LOG = "_rowcast_changes"
_AFFINITY = {"text": "TEXT", "date": "TEXT", "number": "NUMERIC", "bool": "NUMERIC"}
_MOST = "1.7976931348623157e308"
_ESCAPES = (("'\\'", "\\\\"), ("'\"'", '\\"'), ("char(10)", "\\n"), ("char(13)", "\\r"), ("char(9)", "\\t"))
_ODD = "'*[' || char(1) || '-' || char(8) || char(11) || char(12) || char(14) || '-' || char(31) || ']*'"
"""Matches a text with a control character that has no escape of one letter."""

_TRIGGERS = ("insert", "update", "move", "delete")


class SQLiteSources:
    """What `storage.sources` asks of SQLite."""

    has_table = HAS_TABLE

    def here(self, reader: Reader) -> str:  # noqa: ARG002 - there are no schemas
        """Return "": there are no schemas."""
        return ""

    def find_table(self, reader: Reader, name: str) -> Found | None:
        """Return what is known of a table."""
        return find_table(reader, name)

    def create_view(self, tx: Transaction, collection: Collection, source: Source, parts: Sequence[Part]) -> None:
        """Create the view of an adopted collection with the triggers that write through it."""
        view, table, key = quote(collection.name), quote(source.table), key_of(parts)
        columns = [f'{_row_number(tx, source.table, key)} AS "_rowid_"']
        columns += [f"{_read(part, 't')} AS {quote(part.field.name)}" for part in parts]
        tx.run(f"CREATE VIEW {view} AS SELECT {', '.join(columns)} FROM {table} AS t")
        names = ", ".join(quote(part.column.name) for part in parts)
        values = ", ".join(_written(part, is_new=True) for part in parts)
        sets = ", ".join(_set(part) for part in parts if part is not key)
        where = f'WHERE {quote(key.column.name)} = OLD."id"'
        for event, statement in (
            ("INSERT", f"INSERT INTO {table} ({names}) VALUES ({values})"),
            ("UPDATE", f"UPDATE {table} SET {sets} {where}" if sets else "SELECT 1"),
            ("DELETE", f"DELETE FROM {table} {where}"),
        ):
            name = quote(f"_rowcast_view_{event.lower()}_{source.tag}")
            tx.run(f"CREATE TRIGGER {name} INSTEAD OF {event} ON {view} BEGIN {statement}; END")

    def rename_view(self, tx: Transaction, old: Collection, new: Collection) -> bool:  # noqa: ARG002
        """Return False: SQLite renames no views."""
        return False

    def drop_view(self, tx: Transaction, collection: Collection, source: Source) -> None:  # noqa: ARG002
        """Drop the view; its triggers go with it."""
        tx.run(f"DROP VIEW IF EXISTS {quote(collection.name)}")

    def capture(self, tx: Transaction, collection: Collection, source: Source, parts: Sequence[Part]) -> None:
        """Create the triggers that log what SQL changes."""
        table, key = quote(source.table or collection.name), quote(key_of(parts).column.name)
        logged = [part for part in parts if part.is_logged]
        names = [quote(part.column.name) for part in parts]
        changed = any_of([f"OLD.{name} IS NOT NEW.{name}" for name in names])
        created = _log("create", collection.id, f"NEW.{key}", _row(logged, "NEW"))
        deleted = _log("delete", collection.id, f"OLD.{key}", _row(logged, "OLD"))
        updated = _log("update", collection.id, f"NEW.{key}", _row(logged, "NEW"), _before(logged))
        is_same = f"OLD.{key} IS NEW.{key}"
        for name, event, condition, statements in (
            ("insert", "INSERT", _is_foreign(collection, f"NEW.{key}"), created),
            ("update", "UPDATE", f"{is_same} AND {changed} AND {_is_foreign(collection, f'NEW.{key}')}", updated),
            ("move", "UPDATE", f"NOT ({is_same}) AND {_is_foreign(collection, f'OLD.{key}')}", f"{deleted}; {created}"),
            ("delete", "DELETE", _is_foreign(collection, f"OLD.{key}"), deleted),
        ):
            trigger = quote(f"_rowcast_capture_{name}_{source.tag}")
            tx.run(f"CREATE TRIGGER {trigger} AFTER {event} ON {table} WHEN {condition} BEGIN {statements}; END")

    def release(self, tx: Transaction, collection: Collection, source: Source) -> None:  # noqa: ARG002
        """Drop them; what is not there is no error."""
        for name in _TRIGGERS:
            tx.run(f"DROP TRIGGER IF EXISTS {quote(f'_rowcast_capture_{name}_{source.tag}')}")


def _row_number(tx: Transaction, table: str, key: Part) -> str:
    """Return what numbers the rows of a table: its hidden column, where it has one and none of its own hides that."""
    if tx.value("SELECT wr FROM pragma_table_list(?) WHERE schema = 'main'", (table,)) == 1:
        return f"t.{quote(key.column.name)}"
    taken = {str(row[0]).lower() for row in tx.rows("SELECT name FROM pragma_table_xinfo(?)", (table,))}
    free = next((name for name in ("_rowid_", "rowid", "oid") if name not in taken), key.column.name)
    return f"t.{quote(free)}"


def _read(part: Part, prefix: str) -> str:
    """Return a column as rowcast reads it: with the affinity that its field expects, and without NULL."""
    column, kind = f"{prefix}.{quote(part.column.name)}", part.kind
    if part.field.name == "id" or kind == "json":
        return column
    is_fitting = affinity(part.column.type) == _AFFINITY[kind]
    if is_fitting and not part.column.is_nullable:
        return column
    empty = "0" if _AFFINITY[kind] == "NUMERIC" else "''"
    return f"CAST(COALESCE({column}, {empty}) AS {_AFFINITY[kind]})"


def _written(part: Part, *, is_new: bool) -> str:
    """Return what is written into a column: an empty text is no value where a column need not have one."""
    value, column = f"NEW.{quote(part.field.name)}", part.column
    if part.kind in {"number", "bool"} or part.field.name == "id":
        return value
    if part.kind == "json":
        return f"NULLIF({value}, 'null')" if column.is_nullable else value
    if is_new and column.default and part.kind == "date":
        return f"COALESCE(NULLIF({value}, ''), {column.default})"
    return f"NULLIF({value}, '')" if column.is_nullable else value


def _set(part: Part) -> str:
    """Return the assignment of an UPDATE: what has not changed stays as it is, in whatever form."""
    column, field = quote(part.column.name), quote(part.field.name)
    written = _written(part, is_new=False)
    return f"{column} = CASE WHEN NEW.{field} IS NOT OLD.{field} THEN {written} ELSE {column} END"


def _is_foreign(collection: Collection, key: str) -> str:
    own = literal(f"{OWN_WRITE}{collection.name} ")
    return f"sqlite_compileoption_used({own} || COALESCE({key}, '')) = 0"


def _log(action: str, collection_id: str, key: str, row: str, before: str = "'{}'") -> str:
    return (
        f"INSERT INTO {_LOG} (number, tag, at, action, collection, record, row, previous)"
        f" SELECT (SELECT COALESCE(max(number), 0) + 1 FROM {_LOG}), lower(hex(randomblob(5))),"
        f" CAST(strftime('%s', 'now') AS INTEGER) * 1000, {literal(action)}, {literal(collection_id)},"
        f" COALESCE({key}, ''), {row}, {before}"
    )


def _row(parts: Sequence[Part], prefix: str) -> str:
    """Return the JSON of a row; a BLOB, or a text without a plain form in JSON, is a list with its bytes in digits."""
    pieces = [f"{label(part)} || {_json(f'{prefix}.{quote(part.column.name)}')}" for part in parts]
    return f"'{{' || substr({concatenated(pieces)}, 2) || '}}'"


def _before(parts: Sequence[Part]) -> str:
    """Return the JSON of what was another value before."""
    pieces = []
    for part in parts:
        name = quote(part.column.name)
        pieces.append(
            f"CASE WHEN OLD.{name} IS NOT NEW.{name} THEN {label(part)} || {_json(f'OLD.{name}')} ELSE '' END"
        )
    return f"'{{' || substr({concatenated(pieces)}, 2) || '}}'"


def _text(column: str) -> str:
    """Return the JSON of a text. Functions for JSON are not everywhere, and some versions refuse them in triggers."""
    escaped = column
    for plain, written in _ESCAPES:
        escaped = f"replace({escaped}, {plain}, {literal(written)})"
    has_odd = f"{column} GLOB {_ODD} OR instr(CAST({column} AS BLOB), x'00')"
    return f"""CASE WHEN {has_odd} THEN '["' || hex({column}) || '"]' ELSE '"' || {escaped} || '"' END"""


def _json(column: str) -> str:
    return (
        f"CASE typeof({column}) WHEN 'text' THEN {_text(column)} WHEN 'integer' THEN {column} WHEN 'real' THEN"
        f" CASE WHEN abs({column}) <= {_MOST} THEN printf('%!.17g', {column}) ELSE '0' END"
        f""" WHEN 'blob' THEN '["' || hex({column}) || '"]' ELSE 'null' END"""
    )
