"""The texts by which PostgreSQL adopts and captures tables.

Writes of rowcast are told anyway, so triggers leave them out: each of its transactions says
`rowcast.writer`. What such a write brings about by itself, as the cascade of a foreign key, runs inside
of a trigger and is captured; the trigger of a view says in `rowcast.row` which row it writes.

Rows are logged by a constraint trigger that is deferred, so it runs as the last thing before the
commit: there a transaction takes its numbers (see `realtime.numbers`). A transaction that stays open for
hours keeps nobody waiting. TRUNCATE knows no such triggers: it logs its rows at once. What is logged is
written with the rights of rowcast's role, whoever changes the table. A hint to listeners (`pg_notify`)
would stand at the end of the function that logs.
"""

from __future__ import annotations

from collections.abc import Sequence

from rowcast.schema.collection import Collection
from rowcast.sql import quote
from rowcast.storage import Reader, Transaction
from rowcast.storage.postgres_columns import find_table
from rowcast.storage.postgres_ddl import PostgresDefinitions
from rowcast.storage.source_parts import Found, Part, Source, concatenated, key_of, label, literal, quoted

PENDING_LOCK = 7_240_032
"""The number of the advisory lock of those that have numbers and have not committed."""

NUMBERS = "_rowcast_numbers"
"""The sequence of the numbers in the log of changes."""

_LOG = "_rowcast_changes"
_WRITES = "current_setting('rowcast.writer', true) IS NOT DISTINCT FROM 'on'"
_FORMAT = "'YYYY-MM-DD HH24:MI:SS.MS\"Z\"'"
_EMPTY = {"text": "''", "date": "''", "number": "0", "bool": "0"}


class PostgresSources:
    """What `storage.sources` asks of PostgreSQL."""

    has_table = PostgresDefinitions.has_table

    def here(self, reader: Reader) -> str:
        """Return the schema of the tables of collections."""
        return str(reader.value("SELECT current_schema()"))

    def find_table(self, reader: Reader, name: str) -> Found | None:
        """Return what is known of a table."""
        return find_table(reader, name)

    def create_view(self, tx: Transaction, collection: Collection, source: Source, parts: Sequence[Part]) -> None:
        """Create the view of an adopted collection with the trigger that writes through it."""
        view, function = quote(collection.name), quote(f"_rowcast_view_{source.tag}")
        columns = [f't.{quote(key_of(parts).column.name)} AS "_rowid_"']
        columns += [f"{_read(part, 't')} AS {quote(part.field.name)}" for part in parts]
        tx.run(f"CREATE VIEW {view} AS SELECT {', '.join(columns)} FROM {quoted(source.place, source.table)} AS t")
        tx.run(
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT"
            f" AS {literal(_writing(collection, source, parts))}"
        )
        tx.run(
            f"CREATE TRIGGER {function} INSTEAD OF INSERT OR UPDATE OR DELETE ON {view}"
            f" FOR EACH ROW EXECUTE FUNCTION {function}()"
        )

    def rename_view(self, tx: Transaction, old: Collection, new: Collection) -> bool:
        """Rename the view and its columns, which views over it follow; not where names change places."""
        names = {field.id: field.name for field in old.fields}
        changed = [(names[f.id], f.name) for f in new.fields if f.id in names and names[f.id] != f.name]
        if {after for _, after in changed} & set(names.values()):
            return False
        if old.name != new.name:
            tx.run(f"ALTER VIEW {quote(old.name)} RENAME TO {quote(new.name)}")
        for before, after in changed:
            tx.run(f"ALTER VIEW {quote(new.name)} RENAME COLUMN {quote(before)} TO {quote(after)}")
        return True

    def drop_view(self, tx: Transaction, collection: Collection, source: Source) -> None:
        """Drop view and function."""
        tx.run(f"DROP VIEW IF EXISTS {quote(collection.name)} CASCADE")
        tx.run(f"DROP FUNCTION IF EXISTS {quote(f'_rowcast_view_{source.tag}')}() CASCADE")

    def capture(self, tx: Transaction, collection: Collection, source: Source, parts: Sequence[Part]) -> None:
        """Create the triggers that log what SQL changes."""
        schema = self.here(tx)
        table = quoted(source.place or schema, source.table or collection.name)
        name, truncated = self._names(source)
        logged, key = [part for part in parts if part.is_logged], key_of(parts)
        log = _Log(schema, collection.id, key)
        _function(
            tx,
            name,
            f" IF TG_OP = 'UPDATE' AND {_key(key, 'OLD')} = {_key(key, 'NEW')} THEN"
            f" {log.row('update', 'NEW', _row(logged, 'NEW'), _before(logged))}; RETURN NULL; END IF;"
            f" IF TG_OP <> 'INSERT' THEN {log.row('delete', 'OLD', _row(logged, 'OLD'))}; END IF;"
            f" IF TG_OP <> 'DELETE' THEN {log.row('create', 'NEW', _row(logged, 'NEW'))}; END IF;",
        )
        _function(tx, truncated, f"{log.row('delete', 't', _row(logged, 't'))} FROM {table} AS t;")
        for event, condition in _conditions(source, parts, key).items():
            tx.run(
                f"CREATE CONSTRAINT TRIGGER {quote(f'_rowcast_capture_{event.lower()}_{source.tag}')}"
                f" AFTER {event} ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ({condition})"
                f" EXECUTE FUNCTION {name}()"
            )
        tx.run(
            f"CREATE TRIGGER {truncated} BEFORE TRUNCATE ON {table} FOR EACH STATEMENT"
            f" WHEN (NOT ({_WRITES})) EXECUTE FUNCTION {truncated}()"
        )

    def release(self, tx: Transaction, collection: Collection, source: Source) -> None:  # noqa: ARG002
        """Drop them; the triggers go with their functions."""
        for name in self._names(source):
            tx.run(f"DROP FUNCTION IF EXISTS {name}() CASCADE")

    @staticmethod
    def _names(source: Source) -> tuple[str, str]:
        return quote(f"_rowcast_capture_{source.tag}"), quote(f"_rowcast_truncate_{source.tag}")


def _function(tx: Transaction, name: str, logs: str) -> None:
    """Create a function that logs; from here until the end of its transaction nobody tells what comes behind it.

    Nobody else may use it for triggers of his own, by which he could log what he likes.
    """
    body = f"BEGIN PERFORM pg_advisory_xact_lock_shared({PENDING_LOCK}); {logs} RETURN NULL; END"
    tx.run(
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        f" SET search_path = pg_catalog, pg_temp AS {literal(body)}"
    )
    tx.run(f"REVOKE ALL ON FUNCTION {name}() FROM PUBLIC")


class _Log:
    """INSERTs into the log of changes."""

    def __init__(self, schema: str, collection_id: str, key: Part) -> None:
        self._table, self._numbers = quoted(schema, _LOG), literal(quoted(schema, NUMBERS))
        self._collection, self._key = literal(collection_id), key

    def row(self, action: str, prefix: str, row: str, before: str = "'{}'") -> str:
        """Return the INSERT of a row; the name of a table may follow."""
        return (
            f"INSERT INTO {self._table} (number, tag, at, action, collection, record, row, previous)"
            f" SELECT nextval({self._numbers}), substr(md5(random()::text), 1, 10),"
            f" trunc(extract(epoch FROM clock_timestamp()) * 1000), {literal(action)}, {self._collection},"
            f" {_key(self._key, prefix)}, {row}, {before}"
        )


def _conditions(source: Source, parts: Sequence[Part], key: Part) -> dict[str, str]:
    """Return when the triggers of each event fire: where rowcast does not tell of the row by itself."""

    def is_foreign(prefix: str) -> str:
        if not source.is_adopted:
            return f"pg_trigger_depth() > 0 OR NOT ({_WRITES})"
        row = f"{literal(source.collection + '/')} || {_key(key, prefix)}"
        return f"NOT ({_WRITES}) OR current_setting('rowcast.row', true) IS DISTINCT FROM {row}"

    changed = " OR ".join(f"{_read(part, 'OLD')} IS DISTINCT FROM {_read(part, 'NEW')}" for part in parts)
    return {
        "INSERT": is_foreign("NEW"),
        "UPDATE": f"({is_foreign('OLD')}) AND ({changed})",
        "DELETE": is_foreign("OLD"),
    }


def _writing(collection: Collection, source: Source, parts: Sequence[Part]) -> str:
    """Return the body of the function that writes through a view."""
    table, key = quoted(source.place, source.table), key_of(parts)
    names = ", ".join(quote(part.column.name) for part in parts)
    values = ", ".join(_written(part, is_new=True) for part in parts)
    sets = ", ".join(_set(part) for part in parts if part is not key)
    numbered = " OVERRIDING SYSTEM VALUE" if any(part.column.is_numbered for part in parts) else ""
    where = f'WHERE {quote(key.column.name)} = CAST(OLD."id" AS {key.column.type})'
    row = f'{literal(collection.id + "/")} || (CASE WHEN TG_OP = \'DELETE\' THEN OLD."id" ELSE NEW."id" END)'
    return (
        f"BEGIN PERFORM set_config('rowcast.row', {row}, true);"
        f" IF TG_OP = 'INSERT' THEN INSERT INTO {table} ({names}){numbered} VALUES ({values});"
        f" ELSIF TG_OP = 'UPDATE' THEN {f'UPDATE {table} AS t SET {sets} {where}' if sets else 'NULL'};"
        f" ELSE DELETE FROM {table} {where}; IF NOT FOUND THEN RETURN NULL; END IF; END IF;"
        " PERFORM set_config('rowcast.row', '', true); RETURN COALESCE(NEW, OLD); END"
    )


def _key(key: Part, prefix: str) -> str:
    return f"{prefix}.{quote(key.column.name)}::text"


def _read(part: Part, prefix: str) -> str:
    """Return a column as rowcast reads it: as a text or a number, and without NULL; dates in UTC."""
    column, kind, declared = f"{prefix}.{quote(part.column.name)}", part.kind, part.column.type
    if not declared:
        return column
    if kind == "date":
        column = f"{column} AT TIME ZONE 'UTC'" if "with time zone" in declared else f"{column}::timestamp"
        value = f"to_char({column}, {_FORMAT})"
    elif kind == "bool":
        value = f"{column}::int::numeric"
    elif kind == "number":
        value = f"{column}::text::numeric" if declared in {"real", "double precision"} else f"{column}::numeric"
    else:
        value = f"{column}::text"
    return value if kind == "json" or not part.column.is_nullable else f"COALESCE({value}, {_EMPTY[kind]})"


def _written(part: Part, *, is_new: bool) -> str:
    """Return what is written into a column: an empty text is no value where a column need not have one."""
    value, column = f"NEW.{quote(part.field.name)}", part.column
    if part.kind == "bool":
        return f"({value} <> 0)"
    is_text = column.type == "text" or column.type.startswith("character")
    has_form = part.kind not in {"number", "bool"} and not is_text
    if part.field.name != "id" and part.kind != "number" and (column.is_nullable or has_form):
        empty = "'null'" if part.kind == "json" else "''"
        value = f"NULLIF({value}, {empty})"
    value = f"CAST({value} AS {column.type})"
    if part.field.name == "id" or not has_form or column.is_nullable:
        return f"COALESCE({value}, {column.default})" if is_new and has_form and column.default else value
    # Where a value must be, JSON has one for none; of other types the default is taken, or the write refused.
    default = (column.default if is_new else "") or ("'null'" if part.kind == "json" else "")
    return f"COALESCE({value}, {default})" if default else value


def _set(part: Part) -> str:
    """Return the assignment of an UPDATE: what has not changed stays as it is, to the last digit."""
    column, field = quote(part.column.name), quote(part.field.name)
    written = _written(part, is_new=False)
    return f"{column} = CASE WHEN NEW.{field} IS DISTINCT FROM OLD.{field} THEN {written} ELSE t.{column} END"


def _row(parts: Sequence[Part], prefix: str) -> str:
    """Return the JSON of a row."""
    return f"'{{' || substr({concatenated([f'{label(part)} || {_json(part, prefix)}' for part in parts])}, 2) || '}}'"


def _before(parts: Sequence[Part]) -> str:
    """Return the JSON of what was another value before."""
    pieces = [
        f"CASE WHEN {_read(part, 'OLD')} IS DISTINCT FROM {_read(part, 'NEW')}"
        f" THEN {label(part)} || {_json(part, 'OLD')} ELSE '' END"
        for part in parts
    ]
    return f"'{{' || substr({concatenated(pieces)}, 2) || '}}'"


def _json(part: Part, prefix: str) -> str:
    value = _read(part, prefix)
    if part.kind in {"number", "bool"}:
        # What no float holds is no number for rowcast.
        return f"CASE WHEN abs({value}) < 1e308 THEN ({value})::text ELSE '0' END"
    return f"COALESCE(to_json({value})::text, 'null')"
