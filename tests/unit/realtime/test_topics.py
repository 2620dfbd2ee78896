"""Subscription strings: what they ask for."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.realtime import topics


def with_options(topic: str, options: object) -> str:
    return f"{topic}?options={quote(json.dumps(options))}"


def test_a_plain_topic_has_no_options() -> None:
    subscription = topics.parse("posts/*")
    assert (subscription.topic, subscription.query, subscription.headers) == ("posts/*", {}, {})


@pytest.mark.parametrize(
    ("options", "query", "headers"),
    [
        ({"query": {"filter": "a = 1"}}, {"filter": "a = 1"}, {}),
        (
            {"query": {"a": 1, "b": True, "c": 1.5, "d": None, "e": [1]}},
            {"a": "1", "b": "true", "c": "1.5", "d": "", "e": ""},
            {},
        ),
        ({"headers": {"X-Token": "t", "myTestDB": "x"}}, {}, {"x_token": "t", "my_test_db": "x"}),
        ({"query": "text", "headers": 3}, {}, {}),
        ([1, 2], {}, {}),
        ("text", {}, {}),
    ],
)
def test_options_are_text_values_and_bad_ones_are_none(
    options: object, query: dict[str, str], headers: dict[str, str]
) -> None:
    subscription = topics.parse(with_options("posts/*", options))
    assert subscription.topic == "posts/*"
    assert dict(subscription.query) == query
    assert dict(subscription.headers) == headers


@pytest.mark.parametrize(
    "text", ["posts/*?options=%7B", "posts/*?options=", "posts/*?x=1", "posts/*?", "posts/*?options=%ff%fe"]
)
def test_options_that_cannot_be_read_are_no_options(text: str) -> None:
    subscription = topics.parse(text)
    assert subscription.topic == "posts/*"
    assert not subscription.query
    assert not subscription.headers


def test_a_line_break_in_a_topic_cannot_start_a_new_sse_field() -> None:
    assert topics.parse("a\nevent:b\r\ndata:x").event_name == b"aevent:bdata:x"


@given(st.text(max_size=200))
def test_any_text_is_a_subscription(text: str) -> None:
    subscription = topics.parse(text)
    assert subscription.text == text
    assert subscription.topic == text.split("?", 1)[0]
    assert b"\n" not in subscription.event_name
