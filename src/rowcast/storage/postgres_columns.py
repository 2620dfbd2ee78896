"""The columns of a table in PostgreSQL, and in which form rowcast reads their types."""

from __future__ import annotations

import msgspec

from rowcast.sql import Row, SQLValue
from rowcast.storage import Reader
from rowcast.storage.source_parts import Found, FoundColumn, Kind

_TABLE = (
    "SELECT c.oid::text, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p') AND (c.relname = ? AND n.nspname = current_schema()"
    " OR n.nspname || '.' || c.relname = ?) ORDER BY n.nspname = current_schema() DESC LIMIT 1"
)
_COLUMNS = """SELECT a.attname, COALESCE(b.typname, t.typname), format_type(a.atttypid, a.atttypmod), a.attnotnull,
    pg_get_expr(d.adbin, d.adrelid), a.attgenerated <> '', a.attidentity::text,
    CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4 ELSE 0 END,
    (SELECT json_agg(enumlabel ORDER BY enumsortorder)::text FROM pg_enum WHERE enumtypid = t.oid),
    (SELECT json_build_array(n.nspname, r.relname, ra.attname)::text FROM pg_constraint k
        JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace n ON n.oid = r.relnamespace
        JOIN pg_attribute ra ON ra.attrelid = r.oid AND ra.attnum = k.confkey[1]
        WHERE k.contype = 'f' AND k.conrelid = a.attrelid AND k.conkey = ARRAY[a.attnum] LIMIT 1)
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = ?::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
_INDEXES = """SELECT i.indisprimary, a.attname, i.indnkeyatts FROM pg_index i
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = ?::oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL"""

_TEXTS = frozenset(
    ("text", "varchar", "bpchar", "citext", "uuid", "inet", "cidr", "macaddr", "time", "timetz", "interval")
)
_WHOLE = {"int2": 2, "int4": 4, "int8": 8}
_NUMBERS = frozenset((*_WHOLE, "numeric", "float4", "float8"))
_DATES = frozenset(("timestamptz", "timestamp", "date"))


def find_table(reader: Reader, name: str) -> Found | None:
    """Return what is known of a table; the name may be schema.table."""
    row = reader.row(_TABLE, (name, name))
    if row is None:
        return None
    oid, place, table = (str(value) for value in row)
    columns = tuple(_column(row) for row in reader.rows(_COLUMNS, (oid,)))
    indexes = reader.rows(_INDEXES, (oid,))
    never_null = {column.name for column in columns if not column.is_nullable}
    key = tuple(str(column) for is_primary, column, _ in indexes if is_primary)
    unique = frozenset(str(column) for _, column, count in indexes if count == 1) & never_null
    return Found(place, table, columns, key, unique)


def _column(row: Row) -> FoundColumn:
    name, type_name, declared, is_never_null, default, is_generated, identity, length, choices, refers_to = row
    kind = "text" if choices is not None else _kind(str(type_name))
    return FoundColumn(
        name=str(name),
        type=str(declared),
        kind=kind,
        is_nullable=not is_never_null,
        default=str(default) if default is not None else "",
        is_generated=bool(is_generated),
        is_numbered=identity == "a",
        whole=_WHOLE.get(str(type_name), 0),
        length=int(length or 0),
        choices=tuple(_list(choices)),
        refers_to=_place(refers_to),
    )


def _list(value: SQLValue) -> list[str]:
    return msgspec.json.decode(str(value), type=list[str]) if value is not None else []


def _place(value: SQLValue) -> tuple[str, str, str] | None:
    return msgspec.json.decode(str(value), type=tuple[str, str, str]) if value is not None else None


def _kind(type_name: str) -> Kind | None:
    if type_name in _TEXTS:
        return "text"
    if type_name in _NUMBERS:
        return "number"
    if type_name in _DATES:
        return "date"
    if type_name == "bool":
        return "bool"
    return "json" if type_name in {"json", "jsonb"} else None
