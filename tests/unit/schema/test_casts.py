"""Reading anything as a text, a number, a bool or a list."""

from __future__ import annotations

import math

import pytest

from rowcast.schema.casts import number_text, plain_number, short_number_text, to_bool, to_number, to_text, unique_texts


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, ""),
        ("a", "a"),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (5.0, "5"),
        (-0.5, "-0.5"),
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        (12345678901234567890, "12345678901234567000"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (b"a\xff", "a\ufffd"),
        ([], ""),
        ({"a": 1}, ""),
    ],
)
def test_to_text(raw: object, expected: str) -> None:
    assert to_text(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, 0),
        ("", 0),
        ("a", 0),
        (" 5", 0),
        ("5", 5),
        ("+.5", 0.5),
        ("5.", 5),
        (".", 0),
        ("-2e3", -2000),
        ("1_000", 1000),
        ("0x10", 0),
        ("1e999", 0),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("+nan", 0),
        (True, 1),
        (5.0, 5),
        (2**53 + 1, float(2**53)),
        (10**400, 0),
        ([1], 0),
        ({}, 0),
    ],
)
def test_to_number(raw: object, expected: float) -> None:
    number = to_number(raw)
    assert number == expected
    assert type(number) is type(expected)


def test_nan_is_a_number_that_validation_refuses() -> None:
    assert math.isnan(to_number("NaN"))


def test_whole_numbers_in_the_safe_range_are_ints() -> None:
    assert isinstance(plain_number(1e15), int)
    assert isinstance(plain_number(1e16), float)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (True, True),
        (1, True),
        (0.5, True),
        (0, False),
        ("t", True),
        ("TRUE", True),
        ("yes", False),
        ("2", False),
        (None, False),
        ([1], False),
        ({"a": 1}, False),
    ],
)
def test_to_bool(raw: object, expected: bool) -> None:
    assert to_bool(raw) is expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, []),
        ("", []),
        ("a", ["a"]),
        ('["a","b","a",""]', ["a", "b"]),
        ('["a",1]', ["a", '["a",1]']),
        ('["a",null]', ["a"]),
        ("[bad", ["[bad"]),
        ('{"a":["b"]}', ['{"a":["b"]}']),
        (["a", "", "b", "a", None], ["a", "b"]),
        ([1, 2.5, True], ["1", "2.5", "true"]),
        (["a", ["b"]], []),
        ({"a": 1}, []),
        (5, ["5"]),
        (True, ["true"]),
    ],
)
def test_unique_texts(raw: object, expected: list[str]) -> None:
    assert unique_texts(raw) == expected


@pytest.mark.parametrize(
    ("number", "plain", "short"),
    [
        (0, "0", "0"),
        (100000, "100000", "100000"),
        (1000000, "1000000", "1e+06"),
        (123456789.5, "123456789.5", "1.234567895e+08"),
        (0.00001, "0.00001", "1e-05"),
        (-1234567, "-1234567", "-1.234567e+06"),
        (math.inf, "+Inf", "+Inf"),
    ],
)
def test_number_texts(number: float, plain: str, short: str) -> None:
    assert number_text(number) == plain
    assert short_number_text(number) == short
