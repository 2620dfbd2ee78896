"""Values in filter texts. Pure.

`bind` puts values into a text with places for them, as `pb.filter` of the JS SDK does;
`field` writes conditions without any text. Both write a value in one way: `literal`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum

import msgspec

_PLACE = re.compile(r"\{:(\w+)\}")
# The escapes that the filter language knows. The JS SDK writes other control characters as JSON does,
# \u0007, which servers take for six characters; in a quoted text they may stand as they are, all but NUL.
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\u0000"})


def bind(text: str, params: Mapping[str, object] | None = None, **values: object) -> str:
    """Return a filter with each `{:name}` replaced by its value, escaped.

    What a value holds is never read as a part of the filter, nor as another place. Without
    `params` and `values` the text is returned as it is. Raises ValueError for a place
    without a value, a value without a place, and a value that no filter can hold.
    """
    given = {**(params or {}), **values}
    if not given:
        return text
    places = set(_PLACE.findall(text))
    if missing := sorted(places - given.keys()):
        raise ValueError(f"no value for {', '.join(missing)}")
    if unused := sorted(given.keys() - places):
        raise ValueError(f"no place for {', '.join(unused)}")
    return _PLACE.sub(lambda found: literal(given[found[1]]), text)


def literal(value: object) -> str:
    """Return a value as it stands in a filter.

    Dates and times are told in UTC; a time without a zone is taken for local. Lists and
    mappings become the text of their JSON. Raises ValueError for a number that is
    none, TypeError for what JSON does not know either.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    if isinstance(value, date):
        return f'"{moment(value)}"'
    return literal(msgspec.json.encode(value).decode())


def moment(value: date) -> str:
    """Return a date or a time as the server writes it: `2022-01-01 10:00:00.000Z`."""
    if not isinstance(value, datetime):
        value = datetime.combine(value, time(), UTC)
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03}Z"


def _number(value: float | Decimal) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no number that a filter can hold")
    # The filter language knows no exponents.
    return format(Decimal(repr(value)) if isinstance(value, float) else Decimal(value), "f")


class Condition:
    """A part of a filter: combine with `&`, `|`; its text is `str(condition)`."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __and__(self, other: Condition) -> Condition:
        return Condition(f"({self.text} && {other.text})")

    def __or__(self, other: Condition) -> Condition:
        return Condition(f"({self.text} || {other.text})")

    def __bool__(self) -> bool:
        # `a and b` would drop one of them silently.
        raise TypeError("combine conditions with & and |")

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Condition({self.text!r})"


_NAME = re.compile(r"[A-Za-z_@][A-Za-z0-9_.:@]*")


class Field:
    """A field, or a path to one, that is compared with values. Another `Field` may be the value as well."""

    __slots__ = ("_any", "name")
    __hash__ = None  # type: ignore[assignment] # == builds a condition

    def __init__(self, name: str, any_of: str = "") -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a field")
        self.name = name
        self._any = any_of

    @property
    def any(self) -> Field:
        """The same field, where one of several values has to match, not all of them."""
        return Field(self.name, "?")

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return self._compare("=", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return self._compare("!=", other)

    def __gt__(self, other: object) -> Condition:
        return self._compare(">", other)

    def __ge__(self, other: object) -> Condition:
        return self._compare(">=", other)

    def __lt__(self, other: object) -> Condition:
        return self._compare("<", other)

    def __le__(self, other: object) -> Condition:
        return self._compare("<=", other)

    def contains(self, other: object) -> Condition:
        """Whether it contains a text, of any case; `%` in it stands for anything."""
        return self._compare("~", other)

    def excludes(self, other: object) -> Condition:
        """Whether it does not contain a text."""
        return self._compare("!~", other)

    def is_in(self, *values: object) -> Condition:
        """Whether it is one of some values. Raises ValueError without any."""
        if not values:
            raise ValueError("is_in needs a value")
        return Condition("(" + " || ".join(self._compare("=", value).text for value in values) + ")")

    def _compare(self, operator: str, other: object) -> Condition:
        value = other.name if isinstance(other, Field) else literal(other)
        return Condition(f"{self.name} {self._any}{operator} {value}")


def field(name: str) -> Field:
    """Return a field to build a condition with: `field("total") > 3`. Raises ValueError for what is no name."""
    return Field(name)
