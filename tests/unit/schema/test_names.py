"""Spellings of names."""

from __future__ import annotations

import pytest

from rowcast.schema.names import snake_case


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AbC", "ab_c"),
        ("X-Token", "x_token"),
        ("myTestDB", "my_test_db"),
        ("ünï", "n"),
        ("ABCdef GHI", "abcdef_ghi"),
        ("a--b__c", "a_b_c"),
        ("", ""),
        ("1A2B", "1_a2_b"),
    ],
)
def test_snake_case(text: str, expected: str) -> None:
    assert snake_case(text) == expected
