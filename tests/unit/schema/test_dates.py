"""Dates: every layout that the reference reads, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.schema import dates

MORNING = "2006-01-02 15:04:05.000Z"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", ""),
        ("2022-01-01", "2022-01-01 00:00:00.000Z"),
        ("2022-01-01 10:00:00.123Z", "2022-01-01 10:00:00.123Z"),
        ("2022-01-01 10:00:00Z", "2022-01-01 10:00:00.000Z"),
        ("2022-01-01 10:00:00", "2022-01-01 10:00:00.000Z"),
        ("2022-01-01  10:00:00", "2022-01-01 10:00:00.000Z"),
        ("2022-01-01T10:00:00Z", "2022-01-01 10:00:00.000Z"),
        ("2022-01-01T1:02:03Z", "2022-01-01 01:02:03.000Z"),
        ("2022-01-01T10:00:00.1239Z", "2022-01-01 10:00:00.123Z"),
        ("2022-01-01 10:00:00,5Z", "2022-01-01 10:00:00.500Z"),
        ("2022-01-01T10:00:00+02:00", "2022-01-01 08:00:00.000Z"),
        ("2022-01-01T00:00:00+0200", "2021-12-31 22:00:00.000Z"),
        ("2006-01-02 15:04:05 -0700", "2006-01-02 22:04:05.000Z"),
        ("2006-01-02 15:04:05-0700", "2006-01-02 22:04:05.000Z"),
        ("2006-01-02 15:04:05.999999999 -0700 MST", "2006-01-02 22:04:05.999Z"),
        ("2006-01-02 15:04:05 -07:00", "2006-01-02 22:04:05.000Z"),
        ("Mon, 02 Jan 2006 15:04:05 MST", MORNING),
        ("Mon, 02 Jan 2006 15:04:05 -0700", "2006-01-02 22:04:05.000Z"),
        ("02 Jan 06 15:04 MST", "2006-01-02 15:04:00.000Z"),
        ("Monday, 02-Jan-06 15:04:05 MST", MORNING),
        ("Mon Jan  2 15:04:05 2006", MORNING),
        ("mon jan 2 15:04:05 MST 2006", MORNING),
        ("Mon Jan 02 15:04:05 -0700 2006", "2006-01-02 22:04:05.000Z"),
        ("02 Jan 2006", "2006-01-02 00:00:00.000Z"),
        ("02 Jan 70 10:00 UTC", "1970-01-02 10:00:00.000Z"),
        ("3:04PM", "0000-01-01 15:04:00.000Z"),
        ("12:00AM", "0000-01-01 00:00:00.000Z"),
        ("Jan  2 15:04:05", "0000-01-02 15:04:05.000Z"),
        ("0000-01-01", "0000-01-01 00:00:00.000Z"),
        ("0001-01-01", ""),
        ("0001-01-01 00:00:00.000Z", ""),
        ("9999-12-31 23:59:59.999Z", "9999-12-31 23:59:59.999Z"),
        ("9999-12-31T23:59:59-01:00", ""),
        ("0000-01-01T00:00:00+01:00", ""),
        ("2022-02-30", ""),
        ("2022-13-01", ""),
        ("2022-01-01 24:00:00.000Z", ""),
        ("2022-01-01 10:00", ""),
        ("2022-1-1", ""),
        ("13:04PM", ""),
        ("2022-01-01T10:00:00+25:00", ""),
        ("31 Foo 2020", ""),
        ("1640995200", ""),
        (1640995200, ""),
        (None, ""),
        (True, ""),
        ({}, ""),
    ],
)
def test_parse(raw: object, expected: str) -> None:
    assert dates.parse(raw) == expected


@given(st.datetimes())
def test_a_date_of_ours_stays_as_it_is(moment: object) -> None:
    text = f"{moment:%m-%d %H:%M:%S}"
    canonical = f"2024-{text}.123Z"
    assert dates.is_canonical(canonical)
    assert dates.parse(canonical) in (canonical, "")


@given(st.text(max_size=40))
def test_parse_never_raises_and_is_stable(text: str) -> None:
    parsed = dates.parse(text)
    assert dates.parse(parsed) == parsed


def test_unix_times() -> None:
    assert dates.from_unix(1640995200.9876) == "2022-01-01 00:00:00.987Z"
    assert dates.to_unix("2022-01-01 00:00:00.500Z") == 1640995200.5
    assert dates.to_unix("") == 0
    assert dates.is_canonical(dates.now())
