"""A submitted JSON object laid over a collection.

Copies what Go's encoding/json does when the reference decodes a request into a
collection that has values already (apis/collection.go): names are found in any
letter case, unknown ones are ignored, null leaves a value as it is, what is left out
stays, the items of a list of objects are laid over the items before. Values of a
wrong type are refused. Validates nothing else.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar, cast

import msgspec

from rowcast.errors import RowcastError
from rowcast.schema import dates
from rowcast.schema.collection import AuthOptions, Collection, ViewOptions
from rowcast.schema.fieldlist import FieldListError, parse_fields

StructT = TypeVar("StructT", bound=msgspec.Struct)

_INT64 = 2**63


class BodyError(RowcastError):
    """A value has a type that its place can't take; the text names the place."""


def apply_body(collection: Collection, body: Mapping[str, object]) -> Collection:
    """Return `collection` with the values of `body`. Raises BodyError.

    The options of a type are read whatever the type is, and kept where it is theirs.
    """
    given = _by_lower_name(body)
    changes = {
        name: read(name, given[key])
        for name, read in _READERS.items()
        if (key := name.replace("_", "")) in given and (given[key] is not None or name in _NULLABLE)
    }
    kind = changes.get("type", collection.type)
    auth = lay_over(collection.auth or AuthOptions(), given)
    view = lay_over(collection.view or ViewOptions(), given)
    changes["auth"] = auth if kind == "auth" else None
    changes["view"] = view if kind == "view" else None
    return collection.replaced(**changes)


def named_kind(body: Mapping[str, object]) -> tuple[str, str, str]:
    """Return type, name and id of a new collection, "" where they are left out. Raises BodyError."""
    given = _by_lower_name(body)
    kind, name, id = ("" if given.get(key) is None else _text(key, given[key]) for key in ("type", "name", "id"))
    return kind, name, id


def lay_over(current: StructT, given: Mapping[str, object], place: str = "") -> StructT:
    """Return the struct `current` with the values of `given`, whose names are in lower case. Raises BodyError."""
    changes = {
        attribute: _value(getattr(current, attribute), given[name.lower()], kind, f"{place}{name}")
        for attribute, name, kind in _members(type(current))
        if name.lower() in given
    }
    return msgspec.structs.replace(current, **changes) if changes else current


def _by_lower_name(body: object) -> dict[str, object]:
    return {str(name).lower(): value for name, value in cast("Mapping[str, object]", body).items()}


@lru_cache
def _members(struct: type) -> tuple[tuple[str, str, object], ...]:
    """Return attribute, JSON name and type of the members of a struct."""
    return tuple((member.name, member.encode_name, member.type) for member in msgspec.structs.fields(struct))


def _value(current: object, raw: object, kind: object, place: str) -> object:
    origin = typing.get_origin(kind)
    if origin is types.UnionType or origin is typing.Union:
        return None if raw is None else _value(current, raw, typing.get_args(kind)[0], place)
    if origin is tuple:
        return _items(cast("tuple[object, ...]", current), raw, typing.get_args(kind)[0], place)
    if raw is None:
        return current
    if origin is dict:
        _require(isinstance(raw, dict), place, "an object")
        # Go adds to a map that is there already.
        return {**cast("dict[str, object]", current or {}), **cast("dict[str, object]", raw)}
    if isinstance(current, msgspec.Struct):
        _require(isinstance(raw, dict), place, "an object")
        return lay_over(current, _by_lower_name(raw), f"{place}.")
    return _SCALARS[kind](place, raw)


def _items(current: tuple[object, ...], raw: object, kind: object, place: str) -> tuple[object, ...]:
    if raw is None:
        return ()
    _require(isinstance(raw, list), place, "a list")
    # An item beyond those that are there starts empty.
    blank = cast("Callable[[], object]", kind)()
    return tuple(
        _value(current[at] if at < len(current) else blank, item, kind, f"{place}.{at}")
        for at, item in enumerate(cast("list[object]", raw))
    )


def _require(condition: bool, place: str, what: str) -> None:
    if not condition:
        raise BodyError(f"{place} must be {what}")


def _text(place: str, raw: object) -> str:
    _require(isinstance(raw, str), place, "a text")
    return cast("str", raw)


def _rule(place: str, raw: object) -> str | None:
    return None if raw is None else _text(place, raw)


def _flag(place: str, raw: object) -> bool:
    _require(isinstance(raw, bool), place, "true or false")
    return cast("bool", raw)


def _int(place: str, raw: object) -> int:
    _require(isinstance(raw, int) and not isinstance(raw, bool) and -_INT64 <= raw < _INT64, place, "a whole number")
    return cast("int", raw)


def _date(place: str, raw: object) -> str:
    return dates.parse(_text(place, raw))


def _fields(_: str, raw: object) -> object:
    try:
        return parse_fields([] if raw is None else raw)
    except FieldListError as error:
        raise BodyError(str(error)) from error


def _indexes(place: str, raw: object) -> object:
    return _items((), raw, str, place)


_SCALARS: dict[object, Callable[[str, object], object]] = {str: _text, bool: _flag, int: _int}

_NULLABLE = frozenset(("fields", "indexes", "list_rule", "view_rule", "create_rule", "update_rule", "delete_rule"))
_READERS: dict[str, Callable[[str, object], object]] = {
    "id": _text,
    "name": _text,
    "type": _text,
    "system": _flag,
    "fields": _fields,
    "indexes": _indexes,
    "list_rule": _rule,
    "view_rule": _rule,
    "create_rule": _rule,
    "update_rule": _rule,
    "delete_rule": _rule,
    "created": _date,
    "updated": _date,
}
