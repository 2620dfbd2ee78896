"""The definitions of indexes: read, changed, written again.

Owns the form in which a collection keeps its indexes (`CREATE INDEX` texts) and
how the reference reads and rewrites them (tools/dbutils/index.go), so that stored
texts are equal. Pure; whether SQLite accepts an index shows when it is created.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from rowcast.schema import sqltext

_INDEX = re.compile(
    r"create\s+(unique\s+)?\s*index\s*(if\s+not\s+exists\s+)?(\S*)\s+on\s+(\S*)\s*\(([\s\S]*)\)(?:\s*where\s+([\s\S]*))?",
    re.IGNORECASE | re.ASCII,
)
_COLUMN = re.compile(
    r"^([\s\S]+?)(?:\s+collate\s+([\w]+))?(?:\s+(asc|desc))?$", re.IGNORECASE | re.MULTILINE | re.ASCII
)
_MAX_LENGTH = 10_000
"""Longer texts are no index: the patterns would take too long over them."""

_TRIMMED = "`\"'[]\r\n\t\f\v "


@dataclass(frozen=True, slots=True)
class IndexColumn:
    """A column or expression of an index."""

    name: str
    collate: str = ""
    sort: str = ""

    def to_sql(self) -> str:
        """Return the column as it stands in a definition."""
        name = self.name.strip()
        # With a parenthesis or a blank it is most likely an expression.
        text = name if "(" in self.name or " " in self.name else f"`{name}`"
        if self.collate:
            text += f" COLLATE {self.collate}"
        return f"{text} {self.sort}" if self.sort else text


@dataclass(frozen=True, slots=True)
class Index:
    """A parsed definition; empty where the text is none."""

    name: str = ""
    table: str = ""
    columns: tuple[IndexColumn, ...] = ()
    where: str = ""
    schema: str = ""
    is_unique: bool = False
    is_optional: bool = False

    @property
    def is_valid(self) -> bool:
        """Whether it names an index, a table and a column."""
        return bool(self.name and self.table and self.columns)

    def to_sql(self) -> str:
        """Return the definition, or "" for an invalid index."""
        if not self.is_valid:
            return ""
        columns = ",\n  ".join(column.to_sql() for column in self.columns)
        if len(self.columns) > 1:
            columns = f"\n  {columns}\n"
        return (
            f"CREATE {'UNIQUE ' if self.is_unique else ''}INDEX {'IF NOT EXISTS ' if self.is_optional else ''}"
            f"{f'`{self.schema}`.' if self.schema else ''}`{self.name}` ON `{self.table}` ({columns})"
            f"{f' WHERE {self.where}' if self.where else ''}"
        )

    def on(self, table: str) -> Index:
        """Return the same index on another table."""
        return replace(self, table=table)

    def uniqueness(self) -> Index:
        """Return the index without what does not change which rows exclude each other."""
        return replace(self, columns=tuple(IndexColumn(column.name) for column in self.columns))


@lru_cache(maxsize=1024)
def parse_index(text: str) -> Index:
    """Read a `CREATE INDEX` text. Never raises."""
    match = _INDEX.search(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        return Index()
    unique, optional, name, table, columns, where = (part or "" for part in match.groups())
    names = _parts(name, ".") or [""]
    schema, name = names if len(names) == 2 else ("", names[0])
    return Index(
        name=name.strip(_TRIMMED),
        table=table.strip(_TRIMMED),
        columns=tuple(column for raw in _parts(columns, ",") if (column := _parse_column(raw)) is not None),
        where=where.strip(),
        schema=schema.strip(_TRIMMED),
        is_unique=bool(unique.strip()),
        is_optional=bool(optional.strip()),
    )


def _parts(text: str, separator: str) -> list[str]:
    try:
        return sqltext.split(text, separator)
    except sqltext.UnbalancedError:
        return []


def _parse_column(text: str) -> IndexColumn | None:
    match = _COLUMN.search(text)
    if match is None or not (name := match[1].strip(_TRIMMED)):
        return None
    return IndexColumn(name, (match[2] or "").strip(), (match[3] or "").upper())


def unique_index(indexes: Iterable[str], column: str) -> Index | None:
    """Return the first unique index on `column` alone; what a WHERE leaves out is not looked at."""
    for text in indexes:
        index = parse_index(text)
        if index.is_unique and len(index.columns) == 1 and index.columns[0].name.lower() == column.lower():
            return index
    return None
