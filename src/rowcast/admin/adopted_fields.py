"""Fields for the columns of a table that somebody else has made.

Pure: it says which field a column becomes, and why one becomes none. Nothing here refuses a value that
the column would take, but for those that rowcast has no form for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from rowcast.errors import RowcastError
from rowcast.schema import defaults
from rowcast.schema.fields import (
    BoolField,
    DateField,
    Field,
    JSONField,
    NumberField,
    RelationField,
    SelectField,
    TextField,
)
from rowcast.schema.fields.field import RESERVED_NAMES
from rowcast.schema.fields.texts import NUMBER_ID_PATTERN, UUID_PATTERN
from rowcast.storage.source_parts import Column, Found, FoundColumn

Related = Callable[[tuple[str, str, str]], str]
"""Returns the id of the collection whose id is a column (schema, table, column), "" for none."""

_MAX_TEXT = 1_000_000
_MAX_NAME = 100
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


class AdoptionError(RowcastError):
    """A table can't be adopted; the text is for the person who wants it."""


@dataclass(slots=True)
class MappedTable:
    """The fields of a table, with their columns by the ids of the fields, and what there is to know about them."""

    fields: list[Field] = field(default_factory=list)
    columns: dict[str, Column] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Why a column became no field."""
    warnings: list[str] = field(default_factory=list)

    def add(self, made: Field, found: FoundColumn) -> None:
        """Add a field with its column."""
        made = defaults.with_id(made)
        self.fields.append(made)
        is_text = isinstance(made, TextField | SelectField | RelationField)
        kind = "text" if is_text else found.kind or "text"
        self.columns[made.id] = Column(
            found.name, kind, found.type, found.is_nullable, found.default, found.is_numbered
        )


def mapped(found: Found, key: str, related: Related) -> MappedTable:
    """Return the fields of a table whose column `key` ("" for its primary key) is the id. Raises AdoptionError."""
    mapping = MappedTable()
    id_column = _key_column(found, key)
    mapping.add(_id_field(id_column), id_column)
    taken = {"id"}
    for column in found.columns:
        if column is id_column:
            continue
        reason = _reason_against(column)
        if reason:
            mapping.skipped[column.name] = reason
            if not column.is_nullable and not column.default and not column.is_generated and not column.is_numbered:
                text = f"no record can be created: the column {column.name!r} must have a value and is not mapped"
                mapping.warnings.append(text)
            continue
        name = _free_name(column.name, taken)
        taken.add(name.lower())
        mapping.add(_field(name, column, related), column)
    return mapping


def _reason_against(column: FoundColumn) -> str:
    if column.is_generated:
        return "it is generated"
    return "" if column.kind is not None else f"there is no field for the type {column.type or 'BLOB'}"


def _key_column(found: Found, key: str) -> FoundColumn:
    if not key:
        if len(found.key) != 1:
            what = "has no primary key" if not found.key else "has a primary key of several columns"
            raise AdoptionError(
                f"the table {found.table!r} {what}: name a column that is unique and NOT NULL with --key, "
                "or add one, as a text or a uuid with a default"
            )
        key = found.key[0]
    column = next((column for column in found.columns if column.name == key), None)
    if column is None:
        raise AdoptionError(f"the table {found.table!r} has no column {key!r}")
    if found.key != (key,) and key not in found.unique:
        raise AdoptionError(f"the column {key!r} can't be the id: it is not unique and NOT NULL")
    is_usable = column.whole if column.kind == "number" else column.kind == "text" and column.type
    if column.is_generated or not is_usable:
        kind = column.type or "anything"
        raise AdoptionError(f"the column {key!r} can't be the id: ids are texts, uuids or whole numbers, not {kind}")
    return column


def _id_field(column: FoundColumn) -> TextField:
    field = msgspec.structs.replace(defaults.ID_FIELD, min=0, max=column.length)
    if column.whole:
        # Numbers are the table's to give: a new record brings its own.
        return msgspec.structs.replace(field, pattern=NUMBER_ID_PATTERN, autogenerate_pattern="")
    if column.type.lower() == "uuid":
        return msgspec.structs.replace(field, pattern=UUID_PATTERN, autogenerate_pattern=_UUID)
    length = min(15, column.length or 15)
    return msgspec.structs.replace(field, autogenerate_pattern=f"[a-z0-9]{{{length}}}")


def _free_name(column: str, taken: set[str]) -> str:
    """Return the name of a field: that of its column, as far as names of fields may be so."""
    name = re.sub(r"\W+", "_", column, flags=re.ASCII).replace("_via_", "_")[:_MAX_NAME].strip() or "_"
    if name.lower() not in taken and name not in RESERVED_NAMES:
        return name
    return next(free for n in range(2, 10_000) if (free := f"{name[: _MAX_NAME - 5]}_{n}").lower() not in taken)


def _field(name: str, column: FoundColumn, related: Related) -> Field:
    must_be = not column.is_nullable and not column.default
    target = related(column.refers_to) if column.refers_to is not None else ""
    if target:
        return RelationField(name=name, collection_id=target, max_select=1, required=must_be)
    if column.choices:
        return SelectField(name=name, values=column.choices, max_select=1, required=must_be)
    if column.kind == "number":
        low, high = _range(column.whole)
        return NumberField(name=name, only_int=bool(column.whole), min=low, max=high)
    if column.kind == "bool":
        return BoolField(name=name)
    if column.kind == "date":
        return DateField(name=name, required=must_be)
    if column.kind == "json":
        return JSONField(name=name)
    is_plain = "char" in column.type.lower() or "text" in column.type.lower() or not column.type
    return TextField(name=name, max=column.length or _MAX_TEXT, required=must_be and not is_plain)


def _range(size: int) -> tuple[float | None, float | None]:
    """Return the least and the greatest number of so many bytes, where a float can tell them from others."""
    if not 0 < size < 8:
        return None, None
    return -(2.0 ** (8 * size - 1)), 2.0 ** (8 * size - 1) - 1
