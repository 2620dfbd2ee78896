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

`prepare` takes anything that a client sends and never raises; `validate`
says what is wrong. Copies core/field_*.go.
"""

from __future__ import annotations

from typing import ClassVar, Union

import msgspec

from rowcast.sql import SQLValue


class JSONText(str):
    """The raw text of a JSON value."""

    __slots__ = ()


class GeoPoint(msgspec.Struct, frozen=True):
    """A place in degrees; encoded as {"lon":0,"lat":0}."""

    lon: float = 0
    lat: float = 0


class Field(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", rename="camel"):
    """What all kinds share. A subclass for each kind adds its options."""

    id: str = ""
    name: str = ""
    system: bool = False
    hidden: bool = False
    presentable: bool = False

    kind: ClassVar[str] = ""

    @property
    def is_multiple(self) -> bool:
        """Whether the value is a list."""
        return False

    @property
    def column_type(self) -> str:
        """The SQL type of the column with its default, as the reference declares it."""
        raise NotImplementedError

    def prepare(self, raw: object) -> object:
        """Return `raw`, as a client may send it, in the Python form of this kind. Never raises."""
        raise NotImplementedError

    def from_db(self, value: SQLValue) -> object:
        """Return a column value in Python form."""
        return self.prepare(value)

    def to_db(self, value: object) -> SQLValue:
        """Return a value in Python form as a column value."""
        raise NotImplementedError

    def to_json(self, value: object) -> object:
        """Return a value in Python form as it stands in an answer (msgspec-encodable)."""
        return value

    def json_sql(self, column: str) -> str:
        """Return a SQLite expression that gives the JSON of `column` for json_object()."""
        return column


class TextField(Field, frozen=True, kw_only=True, tag="text"):
    kind = "text"
    help: str = ""
    min: int = 0
    max: int = 0
    pattern: str = ""
    autogenerate_pattern: str = ""
    required: bool = False
    primary_key: bool = False


class EditorField(Field, frozen=True, kw_only=True, tag="editor"):
    kind = "editor"
    help: str = ""
    max_size: int = 0
    convert_urls: bool = msgspec.field(default=False, name="convertURLs")
    required: bool = False


class NumberField(Field, frozen=True, kw_only=True, tag="number"):
    kind = "number"
    help: str = ""
    min: float | None = None
    max: float | None = None
    only_int: bool = False
    required: bool = False


class BoolField(Field, frozen=True, kw_only=True, tag="bool"):
    kind = "bool"
    help: str = ""
    required: bool = False


class EmailField(Field, frozen=True, kw_only=True, tag="email"):
    kind = "email"
    help: str = ""
    except_domains: tuple[str, ...] | None = None
    only_domains: tuple[str, ...] | None = None
    required: bool = False


class URLField(Field, frozen=True, kw_only=True, tag="url"):
    kind = "url"
    help: str = ""
    except_domains: tuple[str, ...] | None = None
    only_domains: tuple[str, ...] | None = None
    required: bool = False


class DateField(Field, frozen=True, kw_only=True, tag="date"):
    kind = "date"
    help: str = ""
    min: str = ""
    max: str = ""
    required: bool = False


class AutodateField(Field, frozen=True, kw_only=True, tag="autodate"):
    kind = "autodate"
    on_create: bool = False
    on_update: bool = False


class SelectField(Field, frozen=True, kw_only=True, tag="select"):
    kind = "select"
    help: str = ""
    values: tuple[str, ...] = ()
    max_select: int = 0
    required: bool = False

    @property
    def is_multiple(self) -> bool:
        return self.max_select > 1


class FileField(Field, frozen=True, kw_only=True, tag="file"):
    kind = "file"
    help: str = ""
    max_size: int = 0
    max_select: int = 0
    mime_types: tuple[str, ...] | None = None
    thumbs: tuple[str, ...] | None = None
    protected: bool = False
    required: bool = False

    @property
    def is_multiple(self) -> bool:
        return self.max_select > 1


class RelationField(Field, frozen=True, kw_only=True, tag="relation"):
    kind = "relation"
    help: str = ""
    collection_id: str = ""
    cascade_delete: bool = False
    min_select: int = 0
    max_select: int = 0
    required: bool = False

    @property
    def is_multiple(self) -> bool:
        return self.max_select > 1


class JSONField(Field, frozen=True, kw_only=True, tag="json"):
    kind = "json"
    help: str = ""
    max_size: int = 0
    required: bool = False


class PasswordField(Field, frozen=True, kw_only=True, tag="password"):
    kind = "password"
    help: str = ""
    pattern: str = ""
    min: int = 0
    max: int = 0
    cost: int = 0
    required: bool = False


class GeoPointField(Field, frozen=True, kw_only=True, tag="geoPoint"):
    kind = "geoPoint"
    help: str = ""
    required: bool = False


AnyField = Union[
    TextField, EditorField, NumberField, BoolField, EmailField, URLField, DateField, AutodateField,
    SelectField, FileField, RelationField, JSONField, PasswordField, GeoPointField,
]
