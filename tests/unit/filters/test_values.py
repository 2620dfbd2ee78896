"""SQLite's view of values in Python, held against SQLite."""

from __future__ import annotations

import json

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rowcast.filters import values
from rowcast.filters.values import CASTS, Affinity
from rowcast.sql import SQLITE, Fragment, SQLValue

DB = apsw.Connection(":memory:")

CHARS = st.sampled_from("aAbB%_\\ \nÄä5")
WORDS = st.text(CHARS, max_size=8)
NUMBERISH = st.from_regex(r"\A[ \t]?[+-]?[0-9]{0,3}\.?[0-9]{0,2}(e[+-]?[0-9])?[ x]?\Z")
REALS = st.integers(-10_000, 10_000).map(lambda n: n / 16)
ANY: st.SearchStrategy[SQLValue] = st.none() | st.integers(-(2**63), 2**63 - 1) | REALS | WORDS | NUMBERISH
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | REALS | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("a", "b", "0", "A")), inner, max_size=3)
    ),
    max_leaves=6,
)
PATHS = st.lists(st.sampled_from(("a", "b", "x", 0, 1)), max_size=3)


def ask(sql: str, *params: SQLValue) -> SQLValue:
    value: SQLValue = next(iter(DB.execute(f"SELECT {sql}", params)))[0]
    return value


@pytest.mark.property
@given(st.none() | WORDS | st.integers(-99, 999) | REALS, WORDS)
@example("a", "\\")
@example("a\\", "%\\")
@example("ab", "a%b%b")
@example("aab", "%a_b")
@example("", "%%")
@example("abc", "a%c%c")
def test_like(value: SQLValue, pattern: str) -> None:
    found = ask("? LIKE ? ESCAPE '\\'", value, pattern)
    assert values.is_like(value, pattern) == (None if found is None else bool(found))


def test_like_needs_no_backtracking() -> None:
    assert values.matcher("%a" * 1_000 + "%b")("a" * 50_000) is False


def test_like_ends_at_a_nul() -> None:
    assert values.is_like("ab\0c", "ab") is True
    assert ask("? LIKE 'ab'", "ab\0c") == 1


@pytest.mark.property
@given(ANY)
def test_lower(value: SQLValue) -> None:
    assert values.lower(value) == ask("LOWER(?)", value)


@pytest.mark.parametrize(
    "value",
    [
        0.0,
        -0.0,
        5.0,
        0.1,
        1.5,
        1e15,
        1.5e16,
        1e16,
        1e17,
        1e21,
        1e22,
        1e-4,
        1e-5,
        1.25e-7,
        1e100,
        float("inf"),
        123456.789,
        -2.5,
    ],
)
def test_reals_as_text(value: float) -> None:
    assert values.to_text(value) == ask("CAST(? AS TEXT)", value)


@pytest.mark.property
@given(ANY, ANY, st.sampled_from(Affinity), st.sampled_from(Affinity), st.sampled_from(("<", "<=", ">", ">=", "IS")))
@example("5", 5, Affinity.TEXT, Affinity.NONE, "IS")
@example("5.0", 5, Affinity.NONE, Affinity.NUMERIC, "IS")
@example("9223372036854775808", 2**63 - 1, Affinity.NONE, Affinity.NUMERIC, ">")
def test_comparisons(left: SQLValue, right: SQLValue, ours: Affinity, theirs: Affinity, sign: str) -> None:
    # A column without a type has an affinity of its own; behind a plus it has none, as a parameter.
    types = {Affinity.NONE: "", Affinity.TEXT: "TEXT", Affinity.NUMERIC: "NUMERIC"}
    sql_a, sql_b = (
        ("+" if affinity is Affinity.NONE else "") + name for name, affinity in (("a", ours), ("b", theirs))
    )
    DB.execute("DROP TABLE IF EXISTS trial")
    DB.execute(f"CREATE TABLE trial (a {types[ours]}, b {types[theirs]})")
    DB.execute("INSERT INTO trial VALUES (?, ?)", (left, right))
    a, b, expected = next(iter(DB.execute(f"SELECT a, b, {sql_a} {sign} {sql_b} FROM trial")))
    of_a, of_b = values.comparable(ours, theirs)
    a, b = cast(a, of_a), cast(b, of_b)
    found = a == b if sign == "IS" else values.is_ordered(sign, a, b)
    assert found is bool(expected)


def cast(value: SQLValue, affinity: Affinity) -> SQLValue:
    return value if affinity is Affinity.NONE else CASTS[affinity](value)


@pytest.mark.property
@given(JSON.map(json.dumps) | WORDS | st.none() | st.integers(-5, 5), PATHS)
@example(' { "a" : [ 1 , 2.50 , "\\u0041\\/" ] } ', ["a"])
@example('{"a":1,"a":2}', ["a"])
@example('{"a":{"b":true}}', ["a", "b"])
@example("9223372036854775808", [])
@example("1e5", [])
@example('"a"', ["a"])
@example("[1", [0])
@example("NaN", [])
@example('{"\\u0061":1}', ["a"])
@example('["a\tb"]', [0])
def test_json_paths(value: SQLValue, path: list[str | int]) -> None:
    text = "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    column = Fragment("?", (value,))
    inside = SQLITE.inside(column, text)
    assert values.inside(value, tuple(path)) == ask(inside.text, *[value] * len(inside.params))
    length = SQLITE.length(column)
    assert values.length(value) == ask(length.text, *[value] * len(length.params))


def test_numbers_of_one_value_keep_their_type() -> None:
    assert [type(values.inside(value, ())) for value in (5, 5.0)] == [int, float]
