"""JSON bodies are read as Go reads them."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.api.jsonbody import MalformedError, decode


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":1}', {"a": 1}),
        (b' \n{"a":1.5} ', {"a": 1.5}),
        (b"null", None),
        (b'"x"', "x"),
        (b'{"a":1}trailing', {"a": 1}),
        (b"{} {}", {}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
        (b'{"a":"\\ud800","\\udc00":["\\ud83d\\ude00"]}', {"a": "\ufffd", "\ufffd": ["😀"]}),
        (b'{"a":12345678901234567890}', {"a": 12345678901234567890.0}),
        (b'{"a":123456789012345}', {"a": 123456789012345}),
        (b'{"a":"12345678901234567"}', {"a": "12345678901234567"}),
    ],
)
def test_reads_the_first_value(data: bytes, value: object) -> None:
    assert decode(data) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b'{"a"}',
        b"nope",
        b"NaN",
        b"-Infinity",
        b"1e400",
        b'{"a":1e999}',
        b"[" * 100_000,
        b'"\x01"',
        b"'a'",
    ],
)
def test_refuses_what_does_not_start_with_json(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(data)


def test_the_whole_text_can_be_asked_for() -> None:
    assert decode(b'{"a":1} ', whole=True) == {"a": 1}
    assert decode(b'{"a":12345678901234567} ', whole=True) == {"a": 12345678901234567.0}
    with pytest.raises(MalformedError):
        decode(b'{"a":1}x', whole=True)


def test_lone_surrogates_deep_inside_do_not_break_it() -> None:
    deep = b'{"a":' * 900 + b'"\\ud800"' + b"}" * 900
    with contextlib.suppress(MalformedError):
        decode(deep)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        json.dumps(decode(data)).encode()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=6,
)


@given(VALUES, st.binary(max_size=5))
def test_what_follows_the_value_is_ignored(value: object, rest: bytes) -> None:
    text = json.dumps({"a": value}).encode()
    once = decode(text)
    assert decode(text + b" " + rest) == once
    assert decode(text, whole=True) == once
