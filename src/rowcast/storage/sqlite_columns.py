"""The columns of a table in SQLite, and what their declared types say of their values."""

from __future__ import annotations

import re

from rowcast.sql import Row
from rowcast.storage import Reader
from rowcast.storage.source_parts import Found, FoundColumn, Kind

_TABLE = (
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND lower(name) = lower(?)"
    " AND sql NOT LIKE 'CREATE VIRTUAL%' LIMIT 1"
)
_COLUMNS = 'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)'
_UNIQUE = (
    "SELECT min(i.name) FROM pragma_index_list(?) AS l JOIN pragma_index_info(l.name) AS i"
    ' WHERE l."unique" = 1 AND l.partial = 0 GROUP BY l.name HAVING count(*) = 1'
)
_REFERENCES = 'SELECT min("from"), "table", min("to") FROM pragma_foreign_key_list(?) GROUP BY id HAVING count(*) = 1'
_LENGTH = re.compile(r"\(\s*(\d+)\s*\)")


def find_table(reader: Reader, name: str) -> Found | None:
    """Return what is known of a table, None where there is none of this name."""
    table = reader.value(_TABLE, (name,))
    if table is None:
        return None
    rows = reader.rows(_COLUMNS, (table,))
    references = {str(column): (other, target) for column, other, target in reader.rows(_REFERENCES, (table,))}
    columns = []
    for row in rows:
        other, target = references.get(str(row[0]), (None, None))
        if other is not None and target is None:
            # Without a name it is the primary key.
            target = reader.value("SELECT name FROM pragma_table_info(?) WHERE pk = 1", (other,))
        refers_to = None if other is None else ("", str(other), str(target or ""))
        columns.append(_column(row, refers_to))
    never_null = {str(row[0]) for row in rows if row[2]}
    unique = {str(row[0]) for row in reader.rows(_UNIQUE, (table,))}
    key = tuple(str(row[0]) for row in sorted(rows, key=lambda row: int(row[4] or 0)) if row[4])
    return Found("", str(table), tuple(columns), key, frozenset(unique & never_null))


def affinity(declared: str) -> str:
    """Return the affinity of a column of a declared type, NUMERIC for all those of numbers."""
    kind = declared.upper()
    if "INT" in kind:
        return "NUMERIC"
    if any(word in kind for word in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    return "BLOB" if not kind or "BLOB" in kind else "NUMERIC"


def _column(row: Row, refers_to: tuple[str, str, str] | None) -> FoundColumn:
    name, declared, is_never_null, default, key, hidden = row
    kind = str(declared or "")
    length = _LENGTH.search(kind)
    return FoundColumn(
        name=str(name),
        type=kind,
        kind=_kind(kind),
        is_nullable=not is_never_null and not (key and "INT" in kind.upper()),
        default=str(default) if default is not None else "",
        is_generated=bool(hidden),
        whole=8 if "INT" in kind.upper() else 0,
        length=int(length[1]) if length and affinity(kind) == "TEXT" else 0,
        refers_to=refers_to,
    )


def _kind(declared: str) -> Kind | None:
    """Return the form of the values of a column. Types are a habit in SQLite, so words decide."""
    kind = declared.upper()
    if "BOOL" in kind:
        return "bool"
    if "INT" in kind:
        return "number"
    if "BLOB" in kind:
        return None
    if affinity(kind) == "TEXT" or not kind or "UUID" in kind:
        return "text"
    if kind.startswith(("DATE", "TIMESTAMP")):
        return "date"
    return "json" if kind.startswith("JSON") else "number"
