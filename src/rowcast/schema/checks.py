"""The checks that fields and options share, with the reference's codes and texts.

Each returns a `FieldError` or None. As in github.com/pocketbase/ozzo-validation,
a check on a length, a range or a form passes for an empty value; `required` is
what refuses it. Lengths of names and options count bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from rowcast.errors import ErrorData, FieldError
from rowcast.schema.casts import SAFE_INT

REQUIRED = FieldError("validation_required", "Cannot be blank.")
EMPTY = FieldError("validation_empty", "Must be blank.")
INVALID_FORM = FieldError("validation_match_invalid", "Must be in a valid format.")
INVALID_CHOICE = FieldError("validation_in_invalid", "Must be a valid value.")
IN_LIST = FieldError("validation_not_in_invalid", "Must not be in list.")
INVALID_DOMAIN = FieldError("validation_is_domain", "Must be a valid domain.")
MISMATCH = FieldError("validation_values_mismatch", "Values don't match.")
INVALID_VALUE = FieldError("validation_invalid_value", "Invalid value.")
"""What a client sees of an error that has no public text."""

_DOMAIN = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-z0-9])?\.)+(?:[a-zA-Z]{1,63}| xn--[a-z0-9]{1,59})", re.ASCII
)

Check = FieldError | None


def first(*errors: Check) -> Check:
    """Return the first error of `errors`, if there is one."""
    return next((error for error in errors if error is not None), None)


def collect(**errors: FieldError | ErrorData | None) -> ErrorData:
    """Return the errors that are there, by the names of their options in JSON."""
    return ErrorData({name: error for name, error in errors.items() if error})


def required(value: object) -> Check:
    """Refuse an empty text, list, 0, False and None."""
    return None if value else REQUIRED


def empty(value: object) -> Check:
    """Refuse everything but an empty text, list, 0, False and None."""
    return EMPTY if value else None


def length(text: str, low: int, high: int) -> Check:
    """Refuse texts with fewer than `low` or more than `high` bytes; 0 is no bound."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if not size or (size >= low and (not high or size <= high)):
        return None
    params = {"min": low, "max": high}
    if low and high and low == high:
        return FieldError("validation_length_invalid", f"The length must be exactly {low}.", params)
    if low and high:
        text = f"The length must be between {low} and {high}."
        return FieldError("validation_length_out_of_range", text, params)
    if high:
        return FieldError("validation_length_too_long", f"The length must be no more than {high}.", params)
    return FieldError("validation_length_too_short", f"The length must be no less than {low}.", params)


def at_least(value: int, low: int) -> Check:
    """Refuse whole numbers below `low`, other than 0."""
    if not value or value >= low:
        return None
    text = f"Must be no less than {low}."
    return FieldError("validation_min_greater_equal_than_required", text, {"threshold": low})


def at_most(value: int, high: int) -> Check:
    """Refuse whole numbers above `high`, other than 0."""
    if not value or value <= high:
        return None
    text = f"Must be no greater than {high}."
    return FieldError("validation_max_less_equal_than_required", text, {"threshold": high})


def within(value: int, low: int, high: int = SAFE_INT) -> Check:
    """Refuse whole numbers outside of `low` to `high`, other than 0."""
    return first(at_least(value, low), at_most(value, high))


def matches(text: str, pattern: re.Pattern[str], error: FieldError = INVALID_FORM) -> Check:
    """Refuse texts that don't match the whole of `pattern`."""
    return None if not text or pattern.fullmatch(text) else error


def none_of(value: str, refused: Iterable[str]) -> Check:
    """Refuse the values in `refused`."""
    return IN_LIST if value and value in refused else None


def domain(text: str) -> Check:
    """Refuse what isn't a domain name."""
    if not text or (len(text.encode()) <= 255 and _DOMAIN.fullmatch(text)):
        return None
    return INVALID_DOMAIN


def each(values: Sequence[str], check: Callable[[str], Check]) -> ErrorData:
    """Return the errors of the items by their place in the list ({"0": ...})."""
    return ErrorData({str(i): error for i, value in enumerate(values) if (error := check(value)) is not None})
