"""The `fields` parameter: which keys of an answer are sent.

Copies tools/picker: names by comma, nested ones with dots, `*` for all other keys
of a level, `name:excerpt(10,true)` to shorten a text. It works on decoded JSON of
any answer; lists of records are picked item by item. Errors are `BadRequestError`,
raised before anything is read or written.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import msgspec

from rowcast.errors import BadRequestError
from rowcast.records.excerpt import excerpt
from rowcast.schema.casts import to_bool, to_number
from rowcast.schema.jsontext import dump

Modifier = Callable[[str], str]
Fields = dict[str, "Modifier | None"]

_SPACE = "\t\n\v\f\r \x85\xa0"
_QUOTES = "'\"`"


class Pick:
    """A parsed `fields` parameter. Immutable."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self.is_everything = not fields or fields == {"*": None}

    @property
    def names(self) -> frozenset[str] | None:
        """The keys to keep, None where more than the choice of top-level keys is asked for."""
        if any("." in name or name == "*" or modifier for name, modifier in self._fields.items()):
            return None
        return frozenset(self._fields)

    def apply(self, data: object) -> object:
        """Return decoded JSON with the picked keys only; `data` is changed."""
        if self._fields:
            _pick(data, self._fields)
        return data

    def apply_json(self, text: bytes, *, is_page: bool = False) -> bytes:
        """Return JSON text with the picked keys only; of a page of records those of its items.

        What comes back is written as Go writes a decoded value: keys in order, spaces gone.
        """
        data = msgspec.json.decode(text)
        if is_page and isinstance(data, dict):
            self.apply(data.get("items"))
        else:
            self.apply(data)
        return dump(data).encode()


@lru_cache(maxsize=512)
def parse(text: str) -> Pick | None:
    """Return the parsed parameter, None where all is wanted (""). Raises BadRequestError."""
    if not text:
        return None
    fields: Fields = {}
    for item in _split(text, ",", with_parentheses=True):
        name, colon, modifier = item.partition(":")
        fields[name] = _modifier(modifier) if colon else None
    return Pick(fields)


def _modifier(text: str) -> Modifier:
    parts = _split(text, "(), ", with_parentheses=False)
    if not parts or parts[0] != "excerpt":
        raise BadRequestError(f'Invalid fields: missing or invalid modifier "{parts[0] if parts else text}".')
    arguments = parts[1:]
    limit = to_number(arguments[0]) if 1 <= len(arguments) <= 2 else 0
    if not 1 <= limit < math.inf:
        raise BadRequestError("Invalid fields: excerpt expects (max, withEllipsis?) with max above 0.")
    with_ellipsis = len(arguments) > 1 and to_bool(arguments[1])
    return lambda value: excerpt(value, int(limit), with_ellipsis=with_ellipsis)


def _split(text: str, separators: str, *, with_parentheses: bool) -> list[str]:
    """Split at separators outside of quotes and parentheses; what is empty is dropped (tools/tokenizer)."""
    tokens: list[str] = []
    token: list[str] = []
    depth, quote, before = 0, "", ""
    for char in text:
        if before != "\\":
            if with_parentheses and not quote and char in "()":
                depth = depth + 1 if char == "(" else max(depth - 1, 0)
            elif char in _QUOTES:
                quote = "" if quote == char else quote or char
        if char in separators and not depth and not quote:
            tokens.append("".join(token))
            token, before = [], ""
            continue
        before = char
        token.append(char)
    if depth or quote:
        raise BadRequestError("Invalid fields: unbalanced parenthesis or quoted expression.")
    tokens.append("".join(token))
    cut = "".join(char for char in _SPACE if char not in separators)
    return [trimmed for trimmed in (token.strip(cut) for token in tokens) if trimmed]


def _pick(data: object, fields: Fields) -> None:
    if isinstance(data, dict):
        _pick_keys(data, fields)
    elif isinstance(data, list) and data and isinstance(data[0], dict):
        for item in data:
            if not isinstance(item, dict):
                return
            _pick_keys(item, fields)


def _pick_keys(data: dict[str, object], fields: Fields) -> None:
    if not fields:
        return
    heads = {name.partition(".")[0] for name in fields}
    for key in tuple(data):
        if key in fields:
            modifier = fields[key]
        elif "." not in key and key in heads:
            _pick(data[key], {name[len(key) + 1 :]: m for name, m in fields.items() if name.startswith(f"{key}.")})
            continue
        elif "*" in fields and key not in heads:
            modifier = fields["*"]
        else:
            del data[key]
            continue
        value = data[key]
        if modifier is not None and isinstance(value, str):
            data[key] = modifier(value)
