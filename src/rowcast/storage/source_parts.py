"""What a source is made of, and the pieces of SQL that both engines put together for it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import msgspec

from rowcast.schema.fields import Field
from rowcast.sql import quote

Kind = Literal["text", "number", "bool", "date", "json"]
"""In which form rowcast reads a column: as `schema.fields` declare their columns."""


class Column(msgspec.Struct, frozen=True, omit_defaults=True):
    """A column of an adopted table: its name and type there, and what is written where there is no value."""

    name: str
    kind: Kind = "text"
    type: str = ""
    is_nullable: bool = False
    default: str = ""
    is_numbered: bool = False
    """Whether the engine numbers it and has to be told that a value is meant (GENERATED ALWAYS AS IDENTITY)."""


class FoundColumn(msgspec.Struct, frozen=True):
    """What an engine knows of a column. `kind` is None where rowcast has no form for its type."""

    name: str
    type: str
    kind: Kind | None
    is_nullable: bool = False
    default: str = ""
    is_generated: bool = False
    is_numbered: bool = False
    whole: int = 0
    """How many bytes a whole number has; 0 for other types."""
    length: int = 0
    """How many characters a text may have; 0 for no bound."""
    choices: tuple[str, ...] = ()
    refers_to: tuple[str, str, str] | None = None
    """The schema, table and column of a foreign key over this column alone."""


class Found(msgspec.Struct, frozen=True):
    """A table that is there: its columns, those of its primary key, and those that are unique and never NULL."""

    place: str
    table: str
    columns: tuple[FoundColumn, ...]
    key: tuple[str, ...] = ()
    unique: frozenset[str] = frozenset()


class Source(msgspec.Struct, frozen=True):
    """Where the rows of a collection are, if not in a table of its own; `place` is the schema on PostgreSQL."""

    collection: str
    place: str = ""
    table: str = ""
    columns: dict[str, Column] = {}
    """The columns by the ids of their fields."""
    is_captured: bool = False
    built: str = ""
    """For which state of the collection views and triggers were made."""

    @property
    def is_adopted(self) -> bool:
        """Whether the rows are in a table of somebody else."""
        return bool(self.table)

    @property
    def tag(self) -> str:
        """What the names of the triggers and functions of this collection end with: it fits any engine."""
        return hashlib.blake2b(self.collection.encode(), digest_size=8).hexdigest()


class Part(msgspec.Struct, frozen=True):
    """A field of a captured or adopted collection, with the column that holds it."""

    field: Field
    column: Column
    is_logged: bool = True

    @property
    def kind(self) -> Kind:
        """In which form the value is read."""
        return self.column.kind


def key_of(parts: Sequence[Part]) -> Part:
    """Return the part that holds the id."""
    return next(part for part in parts if part.field.name == "id")


def literal(text: str) -> str:
    """Return a text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def label(part: Part) -> str:
    """Return the SQL literal that stands before the value of a field in the JSON of a row."""
    return literal(f",{msgspec.json.encode(part.field.id).decode()}:")


def concatenated(pieces: Sequence[str]) -> str:
    """Return texts in SQL one behind the other, nested in halves: engines bound how deep an expression may be."""
    return _halved(pieces, " || ")


def any_of(conditions: Sequence[str]) -> str:
    """Return a condition that holds where one of several does."""
    return _halved(conditions, " OR ")


def _halved(pieces: Sequence[str], operator: str) -> str:
    if len(pieces) == 1:
        return pieces[0]
    middle = len(pieces) // 2
    return f"({_halved(pieces[:middle], operator)}{operator}{_halved(pieces[middle:], operator)})"


def quoted(*names: str) -> str:
    """Return the names that say where something is, in quotes; empty ones are left out."""
    return ".".join(quote(name) for name in names if name)
