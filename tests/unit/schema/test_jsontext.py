"""Raw JSON texts."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.schema import jsontext

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [1.0, 2.5, None, True]}, '{"a":[1,2.5,null,true],"b":1}'),
        ("<b>&", '"\\u003cb\\u003e\\u0026"'),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1e-7, "1e-7"),
        (2**53 + 1, "9007199254740992"),
        ("\u2028", '"\\u2028"'),
    ],
)
def test_dump_writes_what_go_writes(value: object, expected: str) -> None:
    assert jsontext.dump(value) == expected


@given(values)
def test_dump_keeps_the_value(value: object) -> None:
    def as_floats(item: object) -> object:
        if isinstance(item, int) and not isinstance(item, bool):
            return float(item)
        if isinstance(item, list):
            return [as_floats(one) for one in item]
        return {name: as_floats(one) for name, one in item.items()} if isinstance(item, dict) else item

    assert as_floats(json.loads(jsontext.dump(value))) == as_floats(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), {"a": {1, 2}.__iter__()}])
def test_dump_refuses_what_json_cannot_hold(value: object) -> None:
    with pytest.raises(ValueError):
        jsontext.dump(value)


def test_dump_refuses_endless_nesting() -> None:
    nested: list[object] = []
    for _ in range(jsontext.MAX_DEPTH + 2):
        nested = [nested]
    with pytest.raises(ValueError, match="deep"):
        jsontext.dump(nested)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", True),
        ("1e999", True),
        ('"a', False),
        ("NaN", False),
        ("01", False),
        ("", False),
        ("{}x", False),
        ('"\x01"', False),
        ('"\\x"', False),
        ("[1,]", False),
        (" 1 ", True),
        ("[" * 100000, False),
    ],
)
def test_is_valid(text: str, expected: bool) -> None:
    assert jsontext.is_valid(text) is expected


def test_compact() -> None:
    assert jsontext.compact('{ "a b" : [1, 2] }\n') == '{"a b":[1,2]}'
    assert jsontext.compact("[1.0]") == "[1.0]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", '"abc"'),
        ('a"\\', '"a\\"\\\\"'),
        ("\n\x01", '"\\n\\x01"'),
        ("\u200b", '"\\u200b"'),
        ("ü😀", '"ü😀"'),
        ("\U000e0001", '"\\U000e0001"'),
    ],
)
def test_go_quote(text: str, expected: str) -> None:
    assert jsontext.go_quote(text) == expected


@given(st.text())
def test_quote_is_json(text: str) -> None:
    assert msgspec.json.decode(jsontext.quote(text)) == text


def test_decode_list() -> None:
    assert jsontext.decode_list("[1]") == [1]
    assert jsontext.decode_list("{}") is None
    assert jsontext.decode_list("[") is None


def test_numbers_must_be_finite() -> None:
    with pytest.raises(ValueError):
        jsontext.go_number(math.nan)


def test_is_storable() -> None:
    deepest = jsontext.MAX_STORED_DEPTH
    assert jsontext.is_storable("[" * deepest + "]" * deepest)
    assert not jsontext.is_storable('{"a":[' * deepest + "]}" * deepest)
    assert jsontext.is_storable("[" + "{}," * 1000 + "{}]")
    assert not jsontext.is_storable("1e999")
    assert not jsontext.is_storable("[")
    assert not jsontext.is_storable("\ud800")
