"""Checks of lengths: one text for each combination of bounds."""

from __future__ import annotations

import pytest

from rowcast.schema import checks


@pytest.mark.parametrize(
    ("text", "low", "high", "code", "message"),
    [
        ("", 1, 5, None, ""),
        ("abc", 1, 5, None, ""),
        ("abc", 1, 0, None, ""),
        ("abc", 5, 9, "validation_length_out_of_range", "The length must be between 5 and 9."),
        ("abc", 5, 5, "validation_length_invalid", "The length must be exactly 5."),
        ("abc", 0, 2, "validation_length_too_long", "The length must be no more than 2."),
        ("abc", 5, 0, "validation_length_too_short", "The length must be no less than 5."),
        ("ü", 0, 1, "validation_length_too_long", "The length must be no more than 1."),
    ],
)
def test_length(text: str, low: int, high: int, code: str | None, message: str) -> None:
    error = checks.length(text, low, high)
    assert (
        (error.code, error.message, error.params) == (code, message, {"min": low, "max": high}) if error else not code
    )


def test_first_and_collect() -> None:
    assert checks.first(None, checks.EMPTY, checks.REQUIRED) is checks.EMPTY
    assert checks.first(None) is None
    assert checks.collect(a=None, b=checks.EMPTY, c=checks.each(["a.com"], checks.domain)) == {"b": checks.EMPTY}
