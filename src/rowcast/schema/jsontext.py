"""Raw JSON texts: what is valid, how a value is written, how a plain text is quoted.

A JSON field keeps the text that it was given, so these functions work on texts.
`dump` writes what Go's encoding/json writes for a decoded value: sorted keys, no
spaces, whole numbers without a point, `<`, `>` and `&` escaped.
"""

from __future__ import annotations

import math

import msgspec

from rowcast.encoding import html_safe
from rowcast.schema.casts import SAFE_INT, number_text


class JSONText(str):
    """The raw text of a JSON value."""

    __slots__ = ()


NULL = JSONText("null")
UNWRITABLE = JSONText("")
"""Stands for a value that has no JSON text; validation refuses it."""

MAX_DEPTH = 200
"""How deep a value may nest; deeper ones can't be written without risking the stack."""
MAX_STORED_DEPTH = 150
"""How deep the value of a field may nest, so that it can still be written as a part of an answer."""

_decode = msgspec.json.Decoder().decode
_scan = msgspec.json.Decoder(msgspec.Raw).decode
_quote = msgspec.json.Encoder().encode
_sorted = msgspec.json.Encoder(order="sorted").encode
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_ESCAPES |= {'"': '\\"', "\\": "\\\\"}


def is_valid(text: str) -> bool:
    """Whether `text` is one JSON value, as RFC 8259 defines it."""
    try:
        _scan(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True


def dump(value: object, max_depth: int = MAX_DEPTH) -> JSONText:
    """Return the JSON text of a decoded JSON value, as Go's json.Marshal writes it.

    Raises ValueError for what JSON can't hold (NaN, foreign types) and for what nests
    deeper than `max_depth`.
    """
    try:
        return JSONText(html_safe(_sorted(_go_numbers(value, max_depth))).decode())
    except (TypeError, UnicodeEncodeError, OverflowError) as error:
        raise ValueError(str(error)) from error


def _go_numbers(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return _go_number(value)
    if depth <= 0:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        return {str(key): _go_numbers(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_go_numbers(item, depth - 1) for item in value]
    return value


def _go_number(number: float) -> object:
    if isinstance(number, int) and -SAFE_INT <= number <= SAFE_INT:
        return number
    return msgspec.Raw(go_number(number).encode())


def go_number(number: float) -> str:
    """Return a number as Go's encoding/json writes a float64."""
    number = float(number)
    if not math.isfinite(number):
        raise ValueError("not a JSON number")
    if number == 0 or 1e-6 <= abs(number) < 1e21:
        return number_text(number)
    mantissa, _, exponent = repr(number).partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+d}" if exponent else number_text(number)


def is_storable(text: str) -> bool:
    """Whether `text` is one JSON value that every part of an answer can be made of.

    Its numbers fit a 64-bit float, and it nests no deeper than `MAX_STORED_DEPTH`.
    """
    try:
        value = _decode(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return text.count("[") + text.count("{") <= MAX_STORED_DEPTH or _depth(value) <= MAX_STORED_DEPTH


def _depth(value: object) -> int:
    depth = 0
    level = [value]
    while level := [item for item in level if isinstance(item, list | dict)]:
        depth += 1
        level = [one for item in level for one in (item.values() if isinstance(item, dict) else item)]
    return depth


def compact(text: str) -> str:
    """Return a valid JSON text without the spaces between its values."""
    if " " in text or "\n" in text or "\t" in text or "\r" in text:
        return msgspec.json.format(str(text), indent=-1)
    return text


def quote(text: str) -> str:
    """Return `text` as a JSON string. Valid for any text."""
    return _quote(text).decode()


def go_quote(text: str) -> str:
    """Return `text` as Go's strconv.Quote writes it, which JSON refuses for most control characters."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else _escape(c)) for c in text) + '"'


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def decode_list(text: str) -> list[object] | None:
    """Return the decoded list of a JSON text, None where it isn't one."""
    try:
        decoded = _decode(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return decoded if isinstance(decoded, list) else None
