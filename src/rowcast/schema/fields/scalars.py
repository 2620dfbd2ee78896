"""Fields with one value that isn't a plain text: number, bool, date, autodate, json, geoPoint.

Copies core/field_number.go, field_bool.go, field_date.go, field_autodate.go,
field_json.go and field_geo_point.go.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from rowcast.errors import ErrorData, FieldError
from rowcast.schema import checks, dates, geo, jsontext
from rowcast.schema.casts import number_text, plain_number, short_number_text, to_bool, to_number
from rowcast.schema.fields.field import Field, Lookup, Modifier, common_settings
from rowcast.schema.geo import GeoPoint
from rowcast.schema.jsontext import JSONText
from rowcast.sql import SQLValue

if TYPE_CHECKING:
    from rowcast.schema.catalog import Catalog
    from rowcast.schema.collection import Collection
    from rowcast.schema.record import Record

DEFAULT_MAX_JSON = 1 << 20
_EMPTY_JSON = frozenset(("null", '""', "[]", "{}", ""))
_NUMBER_START = frozenset("-0123456789")
_MOST = "1.7976931348623157e308"
"""The greatest number; what is above is the infinity that SQLite makes of 1e999."""

_NOT_A_NUMBER = FieldError("validation_not_a_number", "The submitted number is not properly formatted.")
_ONLY_INT = FieldError("validation_only_int_constraint", "Decimal numbers are not allowed.")
_INVALID_JSON = FieldError("validation_invalid_json", "Must be a valid json value.")
_LATITUDE = FieldError("validation_invalid_latitude", "Latitude must be between -90 and 90 degrees.")
_LONGITUDE = FieldError("validation_invalid_longitude", "Longitude must be between -180 and 180 degrees.")
_NO_EVENT = FieldError("validation_required", "Either onCreate or onUpdate must be enabled.")


def _low(value: float, low: float | None) -> FieldError | None:
    if low is None or value >= low:
        return None
    text = f"Must be greater or equal than {short_number_text(low)}."
    return FieldError("validation_min_number_constraint", text, {"min": plain_number(low)})


def _high(value: float, high: float | None) -> FieldError | None:
    if high is None or value <= high:
        return None
    text = f"Must be less or equal than {short_number_text(high)}."
    return FieldError("validation_max_number_constraint", text, {"max": plain_number(high)})


def _short_sql(column: str) -> str:
    """Return the JSON of a real in 15 digits where they are enough: SQLite itself takes 17 from 1e10 on."""
    text = f"format('%!.15g',{column})"
    return f"iif(CAST({text} AS REAL)={column},json({text}),{column})"


class NumberField(Field, frozen=True, kw_only=True, tag="number"):
    kind = "number"
    modifiers = ("set", "append", "subtract")
    help: str = ""
    min: float | None = None
    max: float | None = None
    only_int: bool = False
    required: bool = False

    @property
    def column_type(self) -> str:
        return "NUMERIC DEFAULT 0 NOT NULL"

    def prepare(self, raw: object) -> float:
        return to_number(raw)

    def modify(self, modifier: Modifier, current: object, raw: object) -> float:
        number = to_number(raw)
        if modifier == "set":
            return number
        before = float(to_number(current))
        return to_number(before - number if modifier == "subtract" else before + number)

    def from_db(self, value: SQLValue) -> float:
        if type(value) is int:
            return value
        # A text stands here only if SQLite couldn't read it as a number.
        if isinstance(value, str):
            value = to_number(value) if value[:1] in _NUMBER_START and jsontext.is_valid(value) else 0
        number = to_number(value)
        return number if math.isfinite(number) else 0

    def to_db(self, value: object) -> SQLValue:
        return to_number(value)

    def json_sql(self, column: str) -> str:
        return (
            f"CASE typeof({column}) WHEN 'integer' THEN {column}"
            f" WHEN 'real' THEN iif({column}=CAST({column} AS INTEGER),CAST({column} AS INTEGER),"
            f"iif(abs({column})>{_MOST},0,{_short_sql(column)}))"
            f" WHEN 'text' THEN iif(json_valid({column}) AND substr({column},1,1) BETWEEN '-' AND '9'"
            f" AND abs(CAST({column} AS REAL))<={_MOST},json({column}),0) ELSE 0 END"
        )

    def validate_value(self, record: Record, lookup: Lookup) -> FieldError | None:
        value = to_number(record.values.get(self.name))
        if not math.isfinite(value):
            return _NOT_A_NUMBER
        if value == 0:
            return checks.REQUIRED if self.required else None
        if self.only_int and not _is_int64(value):
            return _ONLY_INT
        return _low(value, self.min) or _high(value, self.max)

    def validate_settings(self, collection: Collection, catalog: Catalog) -> ErrorData:
        errors = common_settings(self)
        low = _ONLY_INT if self.only_int and self.min is not None and not _is_int64(self.min) else None
        high = _ONLY_INT if self.only_int and self.max is not None and not _is_int64(self.max) else None
        if high is None and self.max is not None:
            high = _low(self.max, self.min)
        errors.update(checks.collect(min=low, max=high))
        return errors


def _is_int64(value: float) -> bool:
    return float(value).is_integer() and -(2.0**63) <= value < 2.0**63


class BoolField(Field, frozen=True, kw_only=True, tag="bool"):
    kind = "bool"
    help: str = ""
    required: bool = False

    @property
    def column_type(self) -> str:
        return "BOOLEAN DEFAULT FALSE NOT NULL"

    def prepare(self, raw: object) -> bool:
        return to_bool(raw)

    def from_db(self, value: SQLValue) -> bool:
        return value == 1 or (isinstance(value, str) and to_bool(value))

    def to_db(self, value: object) -> SQLValue:
        return 1 if value else 0

    def json_sql(self, column: str) -> str:
        return f"json(iif({column}=1 OR {column} IN ('1','t','T','TRUE','true','True'),'true','false'))"

    def validate_value(self, record: Record, lookup: Lookup) -> FieldError | None:
        return checks.REQUIRED if self.required and not record.values.get(self.name) else None


class _Dates(Field, frozen=True, kw_only=True):
    def prepare(self, raw: object) -> str:
        return dates.parse(raw)

    def from_db(self, value: SQLValue) -> str:
        if isinstance(value, str) and dates.is_canonical(value):
            return value
        return dates.parse(value)

    def json_sql(self, column: str) -> str:
        # Dates that this server or the reference wrote are taken as they are, other ISO dates are converted.
        return (
            f"CASE WHEN {column}='' THEN ''"
            f" WHEN {column} GLOB '?????????? ????????.???Z' THEN {column}"
            f" WHEN {column} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'"
            f" THEN ifnull(strftime('%Y-%m-%d %H:%M:%fZ',{column}),'') ELSE '' END"
        )


class DateField(_Dates, frozen=True, kw_only=True, tag="date"):
    kind = "date"
    help: str = ""
    min: str = ""
    max: str = ""
    required: bool = False

    def validate_value(self, record: Record, lookup: Lookup) -> FieldError | None:
        value = record.values.get(self.name)
        if not isinstance(value, str) or not value:
            return checks.REQUIRED if self.required else None
        if self.min and value < self.min:
            return _date_bound("validation_min_greater_equal_than_required", "no less", self.min)
        if self.max and value > self.max:
            return _date_bound("validation_max_less_equal_than_required", "no greater", self.max)
        return None


def _date_bound(code: str, relation: str, bound: str) -> FieldError:
    """Return a range error that writes the bound as Go prints and encodes a time.Time."""
    seconds, milliseconds = bound[:19], bound[20:23].rstrip("0")
    fraction = f".{milliseconds}" if milliseconds else ""
    text = f"Must be {relation} than {seconds}{fraction} +0000 UTC."
    return FieldError(code, text, {"threshold": f"{seconds.replace(' ', 'T')}{fraction}Z"})


class AutodateField(_Dates, frozen=True, kw_only=True, tag="autodate"):
    kind = "autodate"
    on_create: bool = False
    on_update: bool = False

    def modify(self, modifier: Modifier, current: object, raw: object) -> object:
        """Return `current`: requests can't set these dates."""
        return current

    def validate_settings(self, collection: Collection, catalog: Catalog) -> ErrorData:
        errors = common_settings(self)
        saved = catalog.find(collection.id) if collection.id else None
        before = next((f for f in saved.fields if f.id == self.id), None) if saved else None
        if not isinstance(before, AutodateField):
            before = self
        neither = _NO_EVENT if not self.on_create and not self.on_update else None
        create_changed = self.system and self.on_create != before.on_create
        update_changed = self.system and self.on_update != before.on_update
        errors.update(
            checks.collect(
                onCreate=checks.MISMATCH if create_changed else neither,
                onUpdate=checks.MISMATCH if update_changed else neither,
            )
        )
        return errors


class JSONField(Field, frozen=True, kw_only=True, tag="json"):
    kind = "json"
    help: str = ""
    max_size: int = 0
    required: bool = False

    @property
    def column_type(self) -> str:
        return "JSON DEFAULT NULL"

    @property
    def max_body_size(self) -> int:
        return self.max_size if self.max_size > 0 else DEFAULT_MAX_JSON

    def prepare(self, raw: object) -> JSONText:
        """Return the raw JSON text of `raw`.

        A text that is itself the JSON of a number, a quoted text, a list or an
        object stays as it is, so that forms can send JSON; any other text is quoted,
        and so is one with a number that no float can hold.
        """
        if isinstance(raw, JSONText):
            return raw
        if isinstance(raw, str):
            return _from_text(raw)
        if raw is None:
            return jsontext.NULL
        if isinstance(raw, bytes):
            return JSONText(raw.decode("utf-8", "replace"))
        try:
            return jsontext.dump(raw, jsontext.MAX_STORED_DEPTH)
        except ValueError:
            return jsontext.UNWRITABLE

    def from_db(self, value: SQLValue) -> JSONText:
        if value is None:
            return jsontext.NULL
        if isinstance(value, str):
            if value[:1] > " " and jsontext.is_valid(value):
                return JSONText(value)
            return JSONText(jsontext.quote(value))
        if isinstance(value, bytes):
            return JSONText(jsontext.quote(value.decode("utf-8", "replace")))
        if isinstance(value, int):
            return JSONText(value)
        return JSONText(jsontext.go_number(value) if math.isfinite(value) else f'"{number_text(value)}"')

    def to_db(self, value: object) -> SQLValue:
        text = value if isinstance(value, str) else self.prepare(value)
        if text == "null":
            return None
        # The column has numeric affinity, so SQLite keeps a number as such.
        return _column_number(text) if text[:1] in _NUMBER_START else str(text)

    def to_json(self, value: object) -> msgspec.Raw:
        text = value if isinstance(value, str) else "null"
        return msgspec.Raw(jsontext.compact(text).encode() or b"null")

    def json_sql(self, column: str) -> str:
        return (
            f"CASE typeof({column}) WHEN 'text' THEN"
            f" iif(json_valid({column}) AND unicode({column})>32,json({column}),json_quote({column}))"
            f" WHEN 'blob' THEN CAST({column} AS TEXT)"
            f" WHEN 'real' THEN iif(abs({column})>{_MOST},iif({column}>0,'+Inf','-Inf'),{_short_sql(column)})"
            f" ELSE {column} END"
        )

    def validate_value(self, record: Record, lookup: Lookup) -> FieldError | None:
        value = record.values.get(self.name)
        text = value if isinstance(value, str) else "null"
        most = self.max_body_size
        if len(text) * 4 > most and len(text.encode("utf-8", "surrogatepass")) > most:
            message = f"The maximum allowed JSON size is {most} bytes."
            return FieldError("validation_json_size_limit", message, {"maxSize": most})
        if not jsontext.is_valid(text):
            return _INVALID_JSON
        return checks.REQUIRED if self.required and text.strip() in _EMPTY_JSON else None

    def validate_settings(self, collection: Collection, catalog: Catalog) -> ErrorData:
        errors = common_settings(self)
        errors.update(checks.collect(maxSize=checks.within(self.max_size, 0)))
        return errors


def _from_text(text: str) -> JSONText:
    if text in ("null", "true", "false"):
        return JSONText(text)
    if text and (text[0] in _NUMBER_START or text[0] in '"[{') and jsontext.is_storable(text):
        return JSONText(text)
    return JSONText(jsontext.go_quote(text))


def _column_number(text: str) -> SQLValue:
    try:
        return plain_number(float(text)) if len(text) < 16 or not text.lstrip("-").isdigit() else _whole(text)
    except ValueError:
        return str(text)


def _whole(text: str) -> SQLValue:
    number = int(text) if len(text) < 30 else float(text)
    return number if -(2**63) <= number < 2**63 else float(text)


class GeoPointField(Field, frozen=True, kw_only=True, tag="geoPoint"):
    kind = "geoPoint"
    help: str = ""
    required: bool = False

    @property
    def column_type(self) -> str:
        return """JSON DEFAULT '{"lon":0,"lat":0}' NOT NULL"""

    def prepare(self, raw: object) -> GeoPoint:
        return geo.parse(raw)

    def to_db(self, value: object) -> SQLValue:
        return (value if isinstance(value, GeoPoint) else geo.ZERO).to_json()

    def json_sql(self, column: str) -> str:
        def degrees(name: str) -> str:
            path = f"'$.{name}'"
            return f"iif(json_type({column},{path}) IN ('integer','real'),json_extract({column},{path}),0)"

        return (
            f"""CASE WHEN {column} GLOB '{{"lon":[-0-9]*,"lat":[-0-9]*}}' AND {column} NOT GLOB '*:*:*:*'"""
            f" AND json_valid({column}) THEN json({column}) WHEN json_valid({column})"
            f" THEN json_object('lon',{degrees('lon')},'lat',{degrees('lat')})"
            """ ELSE json('{"lon":0,"lat":0}') END"""
        )

    def validate_value(self, record: Record, lookup: Lookup) -> FieldError | None:
        value = record.values.get(self.name)
        if not isinstance(value, GeoPoint) or (value.lat == 0 and value.lon == 0):
            return checks.REQUIRED if self.required else None
        if not -90 <= value.lat <= 90:
            return _LATITUDE
        return None if -180 <= value.lon <= 180 else _LONGITUDE
