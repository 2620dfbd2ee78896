"""SQLite's view of values, in Python: type affinity, order, LIKE, LOWER and JSON paths.

Follows sqlite.org/datatype3.html, lang_expr.html#like and json1.html, so that a
closure and a statement give the same answer. Values are None, int, float or str.
Texts of very large and very small fractions may differ in their last digit.
"""

from __future__ import annotations

import json
import json.decoder
import math
import re
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Any

import msgspec

from rowcast.sql import SQLValue


class Affinity(Enum):
    """The preference of a column for a type; what isn't a column has none."""

    NONE = "none"
    TEXT = "text"
    NUMERIC = "numeric"


_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[ \t\n\v\f\r]*", re.ASCII)
_INT64 = 2**63
_UPPER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}

Matcher = Callable[[str], bool]


def to_number(value: SQLValue) -> SQLValue:
    """Return a text that is a number as that number, all else as it is."""
    if not isinstance(value, str):
        return value
    found = _NUMBER.fullmatch(value)
    if found is None:
        return value
    text = found[1]
    if text.lstrip("+-").isdigit() and -_INT64 <= (whole := int(text)) < _INT64:
        return whole
    return float(text)


def to_text(value: SQLValue) -> SQLValue:
    """Return a number as the text that SQLite makes of it, all else as it is."""
    if isinstance(value, int):
        return str(value)
    return _real_text(value) if isinstance(value, float) else value


def comparable(ours: Affinity, theirs: Affinity) -> tuple[Affinity, Affinity]:
    """Return what is applied to each side before two operands of these affinities are compared."""
    if ours is Affinity.NUMERIC and theirs is not Affinity.NUMERIC:
        return Affinity.NONE, Affinity.NUMERIC
    if theirs is Affinity.NUMERIC and ours is not Affinity.NUMERIC:
        return Affinity.NUMERIC, Affinity.NONE
    if ours is Affinity.TEXT and theirs is Affinity.NONE:
        return Affinity.NONE, Affinity.TEXT
    if theirs is Affinity.TEXT and ours is Affinity.NONE:
        return Affinity.TEXT, Affinity.NONE
    return Affinity.NONE, Affinity.NONE


CASTS: dict[Affinity, Callable[[SQLValue], SQLValue]] = {Affinity.TEXT: to_text, Affinity.NUMERIC: to_number}
"""How an affinity is applied; without an entry the value stays as it is."""


def is_ordered(sign: str, left: SQLValue, right: SQLValue) -> bool:
    """Whether `left sign right` is true, for < <= > >=: numbers come before texts, NULL has no place."""
    if left is None or right is None:
        return False
    ours, theirs = isinstance(left, str), isinstance(right, str)
    return _ORDERS[sign](left, right) if ours is theirs else _ORDERS[sign](ours, theirs)


def lower(value: SQLValue) -> SQLValue:
    """LOWER(value): of ASCII letters only."""
    text = to_text(value)
    return fold(text) if isinstance(text, str) else None


def fold(text: str) -> str:
    """Return `text` with its ASCII letters lowered."""
    return text.lower() if text.isascii() else text.translate(_UPPER)


def is_like(value: SQLValue, pattern: SQLValue) -> bool | None:
    """Return `value LIKE pattern ESCAPE '\\'`, None for NULL."""
    text, wanted = to_text(value), to_text(pattern)
    if not isinstance(text, str) or not isinstance(wanted, str):
        return None
    return matcher(wanted)(text)


@lru_cache(maxsize=512)
def matcher(pattern: str) -> Matcher:
    """Return a function that tells whether a text is LIKE `pattern`. Needs no backtracking over `%`."""
    pieces = _pieces(fold(pattern.partition("\0")[0]))
    if pieces is None:
        return lambda _text: False
    if len(pieces) == 3 and not pieces[0] and not pieces[2] and None not in pieces[1]:
        needle = "".join(char for char in pieces[1] if char is not None)
        return lambda text: needle in _visible(text)
    first, *rest = map(_expression, pieces)
    if not rest:
        return lambda text: first.fullmatch(_visible(text)) is not None
    *middle, last = rest
    width = len(pieces[-1])

    def matches(text: str) -> bool:
        text = _visible(text)
        found = first.match(text)
        for piece in middle:
            found = piece.search(text, found.end()) if found else None
        start = len(text) - width
        return found is not None and start >= found.end() and last.match(text, start) is not None

    return matches


def _visible(text: str) -> str:
    """Return what LIKE sees of a text: up to a NUL, in any letter case."""
    return fold(text.partition("\0")[0] if "\0" in text else text)


def _pieces(pattern: str) -> list[list[str | None]] | None:
    """Return the characters between the `%` of a pattern, None for `_`; None where nothing can match."""
    pieces: list[list[str | None]] = [[]]
    is_escaped = False
    for char in pattern:
        if not is_escaped and char == "%":
            pieces.append([])
        elif not is_escaped and char == "\\":
            is_escaped = True
        else:
            pieces[-1].append(None if char == "_" and not is_escaped else char)
            is_escaped = False
    return None if is_escaped else pieces


def _expression(piece: list[str | None]) -> re.Pattern[str]:
    return re.compile("".join("." if char is None else re.escape(char) for char in piece), re.DOTALL)


def _real_text(value: float) -> str:
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    if value == 0:
        return "0.0"
    text = repr(value)
    if "e" not in text:
        return text
    mantissa, _, exponent = text.partition("e")
    if int(exponent) == 16:
        return f"{value:.1f}"
    return f"{mantissa}{'' if '.' in mantissa else '.0'}e{int(exponent):+03d}"


@lru_cache(maxsize=1024, typed=True)
def inside(value: SQLValue, path: tuple[str | int, ...]) -> SQLValue:
    """Return what stands at `path` in a column that holds JSON or plain text (see `Dialect.inside`)."""
    if value is None or isinstance(value, bytes):
        return None
    text = value if isinstance(value, str) else to_text(value)
    if not isinstance(text, str) or not is_json(text):
        return None if path else value
    for key in path:
        found = _member(text, key)
        if found is None:
            return None
        text = found
    return _scalar(text)


@lru_cache(maxsize=1024, typed=True)
def length(value: SQLValue) -> int:
    """Return how many items a column holds (see `Dialect.length`)."""
    if value is None or value == "":
        return 0
    if isinstance(value, str) and value.lstrip(_SPACES)[:1] == "[" and is_json(value):
        return len(json.loads(value))
    return 1


def is_json(text: str) -> bool:
    """Whether `json_valid(text)` is true."""
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(name: str) -> object:
    raise ValueError(name)


_SPACES = " \t\n\r"
_scan = json.JSONDecoder().raw_decode
_scan_text = json.decoder.scanstring  # type: ignore[attr-defined]  # not in typeshed


def _member(text: str, key: str | int) -> str | None:
    """Return the text of a member of a valid JSON object or list: of several with one name the first."""
    place = _skip(text, 0)
    opening, is_list = text[place], isinstance(key, int)
    if opening != ("[" if is_list else "{"):
        return None
    place, index = _skip(text, place + 1), 0
    while text[place] not in "]}":
        name: str | int = index
        if not is_list:
            name, place = _scan_text(text, place + 1)
            place = _skip(text, _skip(text, place) + 1)
        _, end = _scan(text, place)
        if name == key:
            return text[place:end]
        place, index = _skip(text, end), index + 1
        if text[place] == ",":
            place = _skip(text, place + 1)
    return None


def _skip(text: str, place: int) -> int:
    while text[place] in _SPACES:
        place += 1
    return place


def _scalar(text: str) -> SQLValue:
    """Return a JSON text as json_extract returns it: lists and objects as text without spaces."""
    text = text.strip(_SPACES)
    if text[0] in "[{":
        return msgspec.json.format(text, indent=-1)
    found = json.loads(text)
    if isinstance(found, bool):
        return int(found)
    if isinstance(found, int) and not -_INT64 <= found < _INT64:
        return float(found)
    kept: SQLValue = found
    return kept
