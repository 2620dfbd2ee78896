"""JSON bodies as Go's encoding/json reads them.

The first value counts and what follows it does not; numbers are floats where they
are too large to be exact; broken UTF-8 and lone surrogates become U+FFFD. Pure.
"""

from __future__ import annotations

import json
import re

import msgspec

_decode = msgspec.json.Decoder().decode

_LONG_NUMBER = re.compile(rb"\d{16}")
_BLANKS = " \t\r\n"
_SURROGATES = re.compile("[\ud800-\udfff]")


class MalformedError(ValueError):
    """A text that does not start with a JSON value."""


def decode(data: bytes, *, whole: bool = False) -> object:
    """Return the first JSON value; with `whole`, nothing may follow it. Raises MalformedError."""
    if not _LONG_NUMBER.search(data):
        try:
            return _decode(data)
        except RecursionError as error:
            raise MalformedError("nested too deeply") from error
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # Garbage behind the value, broken UTF-8, a lone surrogate, or no JSON at all.
            pass
    return _decode_leniently(data.decode("utf-8", "replace"), whole)


def _decode_leniently(text: str, whole: bool) -> object:
    try:
        value, end = _lenient.raw_decode(text.lstrip(_BLANKS))
    except (ValueError, RecursionError) as error:
        raise MalformedError(str(error)) from error
    if whole and text.lstrip(_BLANKS)[end:].strip(_BLANKS):
        raise MalformedError("something follows the value")
    if "\\u" not in text:
        return value
    try:
        return _without_surrogates(value)
    except RecursionError as error:
        raise MalformedError("nested too deeply") from error


def _number(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise MalformedError("a number is out of range")
    return value


def _integer(text: str) -> int | float:
    return int(text) if len(text) < 16 else _number(text)


def _refuse(text: str) -> float:
    raise MalformedError(f"{text} is not JSON")


_lenient = json.JSONDecoder(parse_float=_number, parse_int=_integer, parse_constant=_refuse)


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_SURROGATES.sub("\ufffd", key): _without_surrogates(item) for key, item in value.items()}
    return value
