"""What a text, number, bool or list is when anything may have been sent.

Clients send JSON and forms, databases return what somebody once stored; these
functions turn all of it into the wanted type and never raise: what can't be
read is the zero value. They copy github.com/spf13/cast as the reference uses it
on decoded JSON, where every number is a 64-bit float.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

import msgspec

from rowcast.sql import SQLValue

SAFE_INT = 2**53 - 1
"""The greatest integer that survives a trip through a JSON number."""

_DIGITS = r"\d+(?:_\d+)*"
_NUMBER = re.compile(rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?", re.ASCII)
_INFINITIES = {"inf": math.inf, "infinity": math.inf, "nan": math.nan}
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_decode = msgspec.json.Decoder().decode


def plain_number(number: float) -> int | float:
    """Return whole numbers within the safe range as int, all others as float."""
    if -SAFE_INT <= number <= SAFE_INT and number == (whole := int(number)):
        return whole
    return float(number)


def number_text(number: float) -> str:
    """Return a number in digits without exponent: 1.0 is "1", 1e21 is "1000000000000000000000"."""
    if isinstance(number, int):
        if -SAFE_INT <= number <= SAFE_INT:
            return str(number)
        number = float(number)
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
    if number.is_integer() and abs(number) < 1e16:
        return str(int(number))
    text = repr(number)
    return format(Decimal(text), "f").removesuffix(".0") if "e" in text else text


def short_number_text(number: float) -> str:
    """Return a number as Go's fmt prints a float64: exponents below -4 and from 6 on (1e+06)."""
    number = float(number)
    if not math.isfinite(number) or number == 0:
        return number_text(number)
    value = Decimal(repr(number)).normalize()
    exponent = value.adjusted()
    if -4 <= exponent < 6:
        return number_text(number)
    sign, digits, _ = value.as_tuple()
    mantissa = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if len(digits) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def to_text(raw: object) -> str:
    """Return `raw` as text; "" for None, lists and objects."""
    if isinstance(raw, str):
        return raw
    if raw is None:
        return ""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, int | float):
        return number_text(raw)
    if isinstance(raw, bytes):
        return raw.decode("utf-8", "replace")
    return ""


def column_text(value: SQLValue) -> str:
    """Return a column value as text, as SQLite's CAST gives it; "" for NULL."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    text = repr(value).replace("inf", "Inf")
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def to_number(raw: object) -> int | float:
    """Return `raw` as a number; 0 for what isn't one. May be infinite ("inf") or NaN."""
    if type(raw) is int:
        return raw if -SAFE_INT <= raw <= SAFE_INT else _big(raw)
    if isinstance(raw, float):
        return plain_number(raw) if math.isfinite(raw) else raw
    if isinstance(raw, str):
        return _parse(raw)
    if isinstance(raw, bool):
        return int(raw)
    return 0


def _big(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return 0


def _parse(text: str) -> int | float:
    if _NUMBER.fullmatch(text):
        number = float(text)
        return plain_number(number) if math.isfinite(number) else 0
    sign = -1 if text.startswith("-") else 1
    word = _INFINITIES.get((text[1:] if text[:1] in ("+", "-") else text).lower())
    if word is None or (math.isnan(word) and text[:1] in ("+", "-")):
        return 0
    return sign * word


def to_bool(raw: object) -> bool:
    """Return `raw` as a bool: texts as strconv.ParseBool reads them, numbers other than 0 are true."""
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str):
        return raw in _TRUE
    if isinstance(raw, int | float):
        return raw != 0
    return False


def unique_texts(raw: object) -> list[str]:
    """Return `raw` as a list of different, non-empty texts in the order of their first place.

    A text that is a JSON list of texts counts as that list. A list that holds a
    list or an object counts as empty. Copies tools/list/list.go, ToUniqueStringSlice.
    """
    if isinstance(raw, str):
        if "[" not in raw:
            return [raw] if raw else []
        texts = _parse_list(raw)
    elif isinstance(raw, list | tuple):
        if any(isinstance(item, list | dict) for item in raw):
            return []
        texts = [to_text(item) for item in raw]
    elif raw is None or isinstance(raw, dict):
        return []
    else:
        texts = [to_text(raw)]
    return list(dict.fromkeys(text for text in texts if text))


def _parse_list(text: str) -> list[str]:
    try:
        decoded = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return [text]
    if not isinstance(decoded, list):
        return [text]
    texts = [item for item in decoded if isinstance(item, str)]
    if any(not isinstance(item, str) and item is not None for item in decoded):
        texts.append(text)
    return texts
