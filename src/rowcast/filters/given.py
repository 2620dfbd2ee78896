"""What a request brings into a filter: `@request.*` values and the clock.

Each function returns a `Given`: a key and a way to read the value, so that a rule
is compiled once and bound for each request. Values keep the types that the
reference gives them: JSON numbers are floats, lists and objects are their JSON
text, what is missing is NULL. Nothing here raises while reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import inf
from operator import attrgetter

import msgspec

from rowcast.filters.model import Given, Literal, Operand
from rowcast.schema import casts, jsontext
from rowcast.schema.collection import Collection
from rowcast.schema.fields import Field
from rowcast.schema.geo import GeoPoint
from rowcast.schema.request import RequestInfo

_MISSING = object()
_INDEX = re.compile(r"[0-9]{1,18}", re.ASCII)
_FLOAT = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity|nan|0x[0-9a-f]*\.?[0-9a-f]*p[+-]?\d+)",
    re.ASCII | re.IGNORECASE,
)
_decode = msgspec.json.Decoder().decode

_WHOLE: dict[str, Callable[[RequestInfo], object]] = {
    name: attrgetter(name) for name in ("context", "method", "query", "headers", "body")
}


def value(path: tuple[str, ...], *, as_number: bool = False) -> Given:
    """Return the value at a path like ("query", "page") or ("body", "data", "0").

    With `as_number` a text that is a number becomes one, as forms send numbers as text.
    """
    find = _finder(path)
    if as_number:
        return Given(".".join(path) + ":number", lambda request: _number(plain(find(request))))
    is_known = path in {("context",), ("method",)}
    return Given(".".join(path), lambda request: plain(find(request)), is_known=is_known)


def isset(path: tuple[str, ...]) -> Given:
    """Return whether there is a value, even null, at a path."""
    find = _finder(path)
    key = ".".join(path) + ":isset"
    return Given(key, lambda request: int(find(request) is not _MISSING), is_known=True, is_bare=True)


def lower(given: Given, *, key: str) -> Given:
    """Return `given` with its letters lowered by the engine."""
    return Given(key, given.raw, lower=True)


def submitted_text(name: str) -> Given:
    """Return a field of the body as text, "" for none (for `:lower`)."""
    find = _finder(("body", name))

    def read(request: RequestInfo) -> object:
        found = find(request)
        return casts.to_text(plain(found) if isinstance(found, GeoPoint) else found)

    return Given(f"body.{name}:lower", read, lower=True)


def submitted_length(name: str) -> Given:
    """Return how many items a field of the body has."""
    find = _finder(("body", name))
    return Given(f"body.{name}:length", lambda request: len(_items(find(request))), is_bare=True)


def submitted_items(name: str) -> Given:
    """Return the items of a field of the body as the text of a JSON list."""
    find = _finder(("body", name))
    return Given(f"body.{name}:each", lambda request: _dump(_items(find(request))), is_known=True)


def submitted_ids(name: str) -> Given:
    """Return the different record ids in a field of the body as the text of a JSON list."""
    find = _finder(("body", name))

    def read(request: RequestInfo) -> object:
        found = find(request)
        return _dump([] if found is _MISSING else casts.unique_texts(found))

    return Given(f"body.{name}:ids", read, is_known=True)


def account(name: str, collection: Collection) -> Operand:
    """Return one of the values of the account that need no field: its id, e-mail, flags and collection."""
    if name == "collectionId":
        return Literal(collection.id)
    if name == "collectionName":
        return Literal(collection.name)

    def read(request: RequestInfo) -> object:
        return None if request.auth is None else request.auth.values.get(name)

    return Given(f"auth.{name}", read, is_known=name != "email")


def account_column(field: Field) -> Given:
    """Return a field of the account in the form that its column has."""
    name = field.name

    def read(request: RequestInfo) -> object:
        if request.auth is None or name not in request.auth.values:
            return None
        return field.to_db(request.auth.values[name])

    return Given(f"auth.{name}", read)


def plain(found: object) -> object:
    """Return a value of the request as text, float, bool or None; lists and objects as JSON text."""
    if found is None or found is _MISSING:
        return None
    if isinstance(found, str):
        return str(found)
    if isinstance(found, bool | float):
        return found
    if isinstance(found, GeoPoint):
        return found.to_json()
    if isinstance(found, int):
        try:
            return float(found)
        except OverflowError:
            return inf if found > 0 else -inf
    return _dump(found)


def like(raw: object) -> str | None:
    """Return what `~` compares with: the text between wildcards, or as it is where it has some.

    Copies tools/search/filter.go, wrapLikeParams.
    """
    if raw is None:
        return None
    text = casts.to_text(raw)
    return text if _has_wildcard(text) else f"%{_escape(text)}%"


def macro(name: str) -> Operand | None:
    """Return a date macro like "@now" or "@monthStart", or None."""
    read = _MACROS.get(name)
    return None if read is None else Given("now:" + name[1:], lambda _request: read(datetime.now(UTC)), is_known=True)


def static(path: tuple[str, ...], modifier: str, *, as_number: bool) -> Given | None:
    """Return the value at `path` under a modifier, None where the modifier doesn't fit.

    Copies core/record_field_resolver.go, resolveStaticRequestField.
    """
    if modifier == "isset":
        return isset(path)
    found = value(path, as_number=as_number)
    if modifier == "lower":
        return lower(found, key=f"{'.'.join(path)}:lower{'number' if as_number else ''}")
    return None if modifier else found


def _finder(path: tuple[str, ...]) -> Callable[[RequestInfo], object]:
    whole, keys = _WHOLE[path[0]], path[1:]
    if len(keys) == 1:
        key = keys[0]

        def find_one(request: RequestInfo) -> object:
            found = whole(request)
            return found.get(key, _MISSING) if isinstance(found, Mapping) else _MISSING

        return find_one

    def find(request: RequestInfo) -> object:
        found = whole(request)
        for key in keys:
            found = _child(found, key)
        return found

    return find


def _child(found: object, key: str) -> object:
    """Return one level deeper. Copies core/record_field_resolver.go, extractNestedVal."""
    if isinstance(found, jsontext.JSONText):
        try:
            found = _decode(str(found))
        except (msgspec.DecodeError, RecursionError):
            return _MISSING
    found = _exported(found)
    if isinstance(found, Mapping):
        return found.get(key, _MISSING)
    if isinstance(found, list | tuple) and _INDEX.fullmatch(key) and int(key) < len(found):
        return found[int(key)]
    return _MISSING


def _exported(found: object) -> object:
    """Return what a rule sees of a place, an uploaded file or another value that is more than JSON."""
    if isinstance(found, msgspec.Struct):
        return msgspec.to_builtins(found)
    export = getattr(found, "to_filter", None)
    return found if export is None else export()


def _items(found: object) -> list[object]:
    if found is None or found is _MISSING:
        return []
    return list(found) if isinstance(found, list | tuple) else [found]


def _dump(found: object) -> str | None:
    try:
        return str(jsontext.dump(_json_ready(found)))
    except ValueError:
        return None


def _json_ready(found: object) -> object:
    if isinstance(found, list | tuple):
        return [_json_ready(item) for item in found]
    return _exported(found)


def _number(found: object) -> object:
    """Return a text that Go's strconv.ParseFloat reads as its number."""
    if not isinstance(found, str) or not _FLOAT.fullmatch(found):
        return found
    try:
        number = float.fromhex(found) if "x" in found.lower() else float(found)
    except (ValueError, OverflowError):
        return found
    is_named = found.lstrip("+-")[:1] in {"i", "I", "n", "N"}
    return number if is_named or abs(number) != inf else found


def _has_wildcard(text: str) -> bool:
    """Whether `text` has a `%` that isn't escaped (tools/search/filter.go, containsUnescapedChar)."""
    if "%" not in text:
        return False
    previous = ""
    for char in text:
        if char == "%" and previous != "\\":
            return True
        previous = "" if char == previous == "\\" else char
    return False


def _escape(text: str) -> str:
    """Escape what LIKE minds. Copies escapeUnescapedChars of the same file, which skips the first of two in a row."""
    if "\\" not in text and "%" not in text and "_" not in text:
        return text
    out: list[str] = []
    pending = False
    for char in reversed(text):
        if pending:
            if char != "\\":
                out.append("\\")
            pending = False
        else:
            pending = char in "\\%_"
        out.append(char)
    if pending:
        out.append("\\")
    return "".join(reversed(out))


def _stamp(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03d}Z"


def _start(time: datetime) -> str:
    return _stamp(time.replace(hour=0, minute=0, second=0, microsecond=0))


def _end(time: datetime) -> str:
    return _stamp(time.replace(hour=23, minute=59, second=59, microsecond=999_999))


def _month_end(time: datetime) -> str:
    return _end((time.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1))


_MACROS: dict[str, Callable[[datetime], str | int]] = {
    # tools/search/identifier_macros.go
    "@now": _stamp,
    "@yesterday": lambda time: _stamp(time - timedelta(days=1)),
    "@tomorrow": lambda time: _stamp(time + timedelta(days=1)),
    "@second": lambda time: time.second,
    "@minute": lambda time: time.minute,
    "@hour": lambda time: time.hour,
    "@day": lambda time: time.day,
    "@month": lambda time: time.month,
    "@weekday": lambda time: time.isoweekday() % 7,
    "@year": lambda time: time.year,
    "@todayStart": _start,
    "@todayEnd": _end,
    "@monthStart": lambda time: _start(time.replace(day=1)),
    "@monthEnd": _month_end,
    "@yearStart": lambda time: _start(time.replace(day=1, month=1)),
    "@yearEnd": lambda time: _end(time.replace(day=31, month=12)),
}
