"""Ranges are read as Go's server reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.api.ranges import RangeError, parts_of


@pytest.mark.parametrize(
    ("header", "size", "parts"),
    [
        ("", 10, []),
        ("bytes=", 10, []),
        ("bytes=0-4", 10, [(0, 5)]),
        ("bytes=2-", 10, [(2, 10)]),
        ("bytes=-5", 10, [(5, 10)]),
        ("bytes=3-7", 10, [(3, 8)]),
        ("bytes=0-0,-2", 10, [(0, 1), (8, 10)]),
        ("bytes= 0-1 , 5-8 ,", 10, [(0, 2), (5, 9)]),
        ("bytes=-20", 10, [(0, 10)]),
        ("bytes=0-20", 10, [(0, 10)]),
        ("bytes=20-,0-1", 10, [(0, 2)]),
        ("bytes=5-2", 0, []),
        ("bytes=0-", 0, []),
    ],
)
def test_parts(header: str, size: int, parts: list[tuple[int, int]]) -> None:
    assert parts_of(header, size) == parts


@pytest.mark.parametrize(
    ("header", "is_outside"),
    [
        ("lines=1-2", False),
        ("bytes 0-1", False),
        ("bytes=5", False),
        ("bytes=5-4", False),
        ("bytes=a-", False),
        ("bytes=-", False),
        ("bytes=--1", False),
        ("bytes=1-2,x", False),
        ("bytes=10-", True),
        ("bytes=10-,20-30", True),
    ],
)
def test_what_means_nothing(header: str, is_outside: bool) -> None:
    with pytest.raises(RangeError, match="invalid range") as raised:
        parts_of(header, 10)
    assert raised.value.is_outside == is_outside


@given(st.text(alphabet="bytes=0123456789-, +٣"), st.integers(0, 30))
def test_no_header_leads_out_of_the_file(header: str, size: int) -> None:
    try:
        parts = parts_of(header, size)
    except RangeError:
        return
    assert all(0 <= start <= end <= size for start, end in parts)
