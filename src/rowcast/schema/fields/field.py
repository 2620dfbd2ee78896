"""What all kinds of fields share (core/field.go).

A field is immutable and pure: it turns values from one form into another and
says what is wrong with them. What a check must ask the database comes in through
`Lookup`. The SQL expressions are SQLite's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import msgspec

from rowcast.errors import ErrorData, FieldError
from rowcast.schema import checks
from rowcast.sql import SQLValue

if TYPE_CHECKING:
    from rowcast.schema.catalog import Catalog
    from rowcast.schema.collection import Collection
    from rowcast.schema.record import Record

Modifier = Literal["set", "append", "prepend", "subtract", "autogenerate"]
"""What a key of a request does: `name`, `name+`, `+name`, `name-`, `name:autogenerate`."""

RESERVED_NAMES = frozenset(("null", "true", "false", "_rowid_", "collectionId", "collectionName", "expand"))
_NAME = re.compile(r"\w+", re.ASCII)
_FOUND_VIA = FieldError("validation_found_via", 'The value cannot contain "_via_".')


class Lookup(Protocol):
    """What the validation of a record asks the database."""

    catalog: Catalog

    def has_id(self, collection: Collection, record_id: str) -> bool:
        """Whether a record of `collection` has this id, in any letter case."""
        ...

    def count_ids(self, collection: Collection, ids: Sequence[str]) -> int:
        """Return how many of `ids` are ids of records of `collection`."""
        ...


class Field(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", rename="camel"):
    """What all kinds share. A subclass for each kind adds its options."""

    id: str = ""
    name: str = ""
    system: bool = False
    hidden: bool = False
    presentable: bool = False

    kind: ClassVar[str] = ""
    modifiers: ClassVar[tuple[Modifier, ...]] = ("set",)

    @property
    def is_multiple(self) -> bool:
        """Whether the value is a list."""
        return False

    @property
    def is_required(self) -> bool:
        """Whether an empty value is refused."""
        return bool(getattr(self, "required", False))

    @property
    def max_body_size(self) -> int:
        """How many bytes a value may add to a request body beyond the general limit; 0 for most kinds."""
        return 0

    @property
    def column_type(self) -> str:
        """The SQL type of the column with its default, as the reference declares it."""
        return "TEXT DEFAULT '' NOT NULL"

    def prepare(self, raw: object) -> object:
        """Return `raw`, as a client may send it, in the Python form of this kind. Never raises."""
        raise NotImplementedError

    def modify(self, modifier: Modifier, current: object, raw: object) -> object:
        """Return the value that `current` becomes when `raw` is sent under a key with `modifier`."""
        return self.prepare(raw)

    def from_db(self, value: SQLValue) -> object:
        """Return a column value in Python form."""
        return self.prepare(value)

    def to_db(self, value: object) -> SQLValue:
        """Return a value in Python form as a column value, as SQLite gives it back."""
        return value if isinstance(value, str) else ""

    def to_json(self, value: object) -> object:
        """Return a value in Python form as it stands in an answer (msgspec-encodable)."""
        return value

    def json_sql(self, column: str) -> str:
        """Return a SQLite expression that gives the JSON of `column` for json_object()."""
        return f"ifnull(CAST({column} AS TEXT),'')"

    def validate_value(self, record: Record, lookup: Lookup) -> FieldError | None:
        """Return what is wrong with the value of this field in `record`."""
        return None

    def validate_settings(self, collection: Collection, catalog: Catalog) -> ErrorData:
        """Return what is wrong with the options, by their JSON names.

        `collection` is the one to be saved, `catalog` what is saved now.
        """
        return common_settings(self)


def common_settings(field: Field) -> ErrorData:
    """Return what is wrong with the options that all kinds share."""
    name = checks.first(
        checks.required(field.name),
        checks.length(field.name, 1, 100),
        checks.matches(field.name, _NAME),
        checks.none_of(field.name, RESERVED_NAMES),
        _FOUND_VIA if "_via_" in field.name.lower() else None,
    )
    return checks.collect(
        id=checks.first(checks.required(field.id), checks.length(field.id, 1, 100)),
        name=name,
        help=checks.length(getattr(field, "help", ""), 1, 300),
    )
