"""Values in filters: what the server reads is the value that was given."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.client.filters import bind, field, literal
from rowcast.filters.lexer import Kind, next_token

pytestmark = pytest.mark.property

# The filter language cannot hold NUL; surrogates are no text.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
HOSTILE = st.text(st.sampled_from("\"'\\{}:qn|&= \n\t\r"))


@given(TEXTS | HOSTILE)
def test_a_text_is_read_as_it_was_given(text: str) -> None:
    written = literal(text)
    token = next_token(written, 0, len(written))
    assert (token.kind, token.value, token.end) == (Kind.TEXT, text, len(written))


@given(TEXTS | HOSTILE, TEXTS | HOSTILE)
def test_a_value_is_never_read_as_a_place(first: str, second: str) -> None:
    assert bind("a={:a}&&b={:b}", {"a": first, "b": second}) == f"a={literal(first)}&&b={literal(second)}"


@given(st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_one_token_of_its_value(number: float) -> None:
    written = literal(number)
    token = next_token(written, 0, len(written))
    assert (token.kind, token.end) == (Kind.NUMBER, len(written))
    assert float(token.value) == float(number)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (Decimal("1.50"), "1.50"),
        (1e21, "1000000000000000000000"),
        ('say "hi"', '"say \\"hi\\""'),
        (date(2024, 2, 3), '"2024-02-03 00:00:00.000Z"'),
        (datetime(2024, 2, 3, 4, 5, 6, 7_999, tzinfo=UTC), '"2024-02-03 04:05:06.007Z"'),
        (datetime(2024, 2, 3, 4, tzinfo=timezone(timedelta(hours=2))), '"2024-02-03 02:00:00.000Z"'),
        ([1, "a"], '"[1,\\"a\\"]"'),
        ({"a": None}, '"{\\"a\\":null}"'),
        ("\0", '"\\u0000"'),
    ],
)
def test_values_are_written_as_the_js_sdk_writes_them(value: object, written: str) -> None:
    assert literal(value) == written


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("-inf")])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="no number"):
        literal(value)


def test_places_and_values_have_to_fit() -> None:
    assert bind("a = '{:x}'") == "a = '{:x}'"
    assert bind("{:x} {:x}", x=1) == "1 1"
    with pytest.raises(ValueError, match="no value for b"):
        bind("{:a} {:b}", a=1)
    with pytest.raises(ValueError, match="no place for b"):
        bind("{:a}", {"a": 1}, b=2)


def test_conditions_are_grouped_as_they_were_combined() -> None:
    condition = (
        (field("a") == 1) & ((field("b.c") != "x") | field("tags").any.contains("y")) & (field("d") > field("e"))
    )
    assert str(condition) == '((a = 1 && (b.c != "x" || tags ?~ "y")) && d > e)'
    assert str(field("a").is_in(1, None)) == "(a = 1 || a = null)"
    with pytest.raises(TypeError, match="& and"):
        bool(field("a") == 1)
    for name in ("", "a b", "a = 1 || b", "1a", 'a"'):
        with pytest.raises(ValueError, match="no name"):
            field(name)
