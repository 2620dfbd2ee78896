"""Lists of fields as JSON: what the collections API reads and what it and `_collections` hold.

Reading is as strict as Go's encoding/json on the reference's structs: a wrong type
is an error, an unknown option is ignored, null leaves the default, names are found in
any letter case. Writing sorts the keys of each field (core/fields_list.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain

import msgspec

from rowcast.errors import RowcastError
from rowcast.schema import dates
from rowcast.schema.casts import plain_number
from rowcast.schema.defaults import field_id
from rowcast.schema.fields import FIELD_KINDS, DateField, Field


class FieldListError(RowcastError):
    """JSON that is no list of fields."""


def parse_field(raw: object) -> Field:
    """Return the field of a decoded JSON object. Raises FieldListError."""
    if not isinstance(raw, dict):
        raise FieldListError("a field must be an object")
    given = {str(name).lower(): value for name, value in raw.items() if value is not None}
    kind = FIELD_KINDS.get(given["type"]) if isinstance(given.get("type"), str) else None
    if kind is None:
        raise FieldListError(f"missing or unknown field type in {raw!r}")
    options = {name: given[name.lower()] for name in _option_names(kind) if name.lower() in given}
    if kind is DateField:
        options |= {name: _date(options[name]) for name in ("min", "max") if name in options}
    _refuse_fractions(options)
    try:
        return msgspec.convert({"type": kind.kind, **options}, kind)
    except msgspec.ValidationError as error:
        raise FieldListError(f"the field {given.get('name', '')!r} can't be read: {error}") from error


@lru_cache
def _option_names(kind: type[Field]) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(kind))


def _date(raw: object) -> str:
    if not isinstance(raw, str):
        raise FieldListError("a date must be a text")
    return dates.parse(raw)


def _refuse_fractions(options: dict[str, object]) -> None:
    for name, value in options.items():
        if isinstance(value, bool):
            continue
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise FieldListError(f"{name} is out of range")


def parse_fields(raw: object, before: Sequence[Field] = ()) -> tuple[Field, ...]:
    """Return the fields of a decoded JSON list, after those of `before` that it doesn't replace.

    Raises FieldListError.
    """
    if not isinstance(raw, list):
        raise FieldListError("fields must be a list")
    fields = list(before)
    for item in raw:
        add_field(fields, parse_field(item))
    return tuple(fields)


def add_field(fields: list[Field], field: Field) -> None:
    """Put a field in the place of that of the same id, or of the same name if it brings no id, or at the end.

    Copies core/fields_list.go, add.
    """
    brings_id = bool(field.id)
    if not brings_id:
        field = msgspec.structs.replace(field, id=_free_id(fields, field))
    for i, other in enumerate(fields):
        if brings_id and other.id == field.id:
            fields[i] = field
            return
        if not brings_id and field.name and other.name == field.name:
            fields[i] = msgspec.structs.replace(field, id=other.id)
            return
    fields.append(field)


def _free_id(fields: Iterable[Field], field: Field) -> str:
    taken = {other.id for other in fields}
    base = field_id(field.kind, field.name)
    others = (f"{base}{number}" for number in range(2, 1000))
    return next((each for each in chain((base,), others) if each not in taken), base)


def field_json(field: Field) -> dict[str, object]:
    """Return a field as JSON values, its keys in alphabetical order and whole numbers without a fraction."""
    raw: dict[str, object] = msgspec.to_builtins(field)
    return {name: _whole(raw[name]) for name in sorted(raw)}


def _whole(value: object) -> object:
    return plain_number(value) if isinstance(value, float) else value
