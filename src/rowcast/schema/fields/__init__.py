"""The kinds of fields: their options, the form of their values, and validation.

A value has one Python form, the same in a `Record` and in the realtime engine:

| kind | form |
| --- | --- |
| text, editor, email, url, password | str (a password is its bcrypt hash) |
| number | float, or int where it is a whole number |
| bool | bool |
| date, autodate | str, "2022-01-01 10:00:00.123Z" or "" |
| select, relation, file, single | str, "" for none |
| select, relation, file, multiple | list[str] |
| json | `JSONText`, the raw JSON text, "null" for none |
| geoPoint | `GeoPoint` |

`prepare` takes anything that a client sends and never raises; `validate_value`
says what is wrong. Copies core/field_*.go.
"""

from __future__ import annotations

from typing import get_args

from rowcast.schema.fields.field import RESERVED_NAMES, Field, Lookup, Modifier
from rowcast.schema.fields.lists import FileField, RelationField, SelectField
from rowcast.schema.fields.scalars import AutodateField, BoolField, DateField, GeoPointField, JSONField, NumberField
from rowcast.schema.fields.texts import EditorField, EmailField, PasswordField, TextField, URLField
from rowcast.schema.geo import GeoPoint
from rowcast.schema.jsontext import JSONText

AnyField = (
    TextField
    | EditorField
    | NumberField
    | BoolField
    | EmailField
    | URLField
    | DateField
    | AutodateField
    | SelectField
    | FileField
    | RelationField
    | JSONField
    | PasswordField
    | GeoPointField
)

FIELD_KINDS: dict[str, type[Field]] = {kind.kind: kind for kind in get_args(AnyField)}

__all__ = [
    "FIELD_KINDS",
    "RESERVED_NAMES",
    "AnyField",
    "AutodateField",
    "BoolField",
    "DateField",
    "EditorField",
    "EmailField",
    "Field",
    "FileField",
    "GeoPoint",
    "GeoPointField",
    "JSONField",
    "JSONText",
    "Lookup",
    "Modifier",
    "NumberField",
    "PasswordField",
    "RelationField",
    "SelectField",
    "TextField",
    "URLField",
]
