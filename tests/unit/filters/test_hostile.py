"""Filters that are made to hurt: they end in a FilterError or in a statement of bounded size."""

from __future__ import annotations

import time
from functools import partial

import pytest

from rowcast import filters
from rowcast.errors import FilterError
from rowcast.filters import MAX_LENGTH, Part
from rowcast.filters.cache import Cache
from rowcast.filters.rows import MAX_JOINS
from rowcast.schema.request import RequestInfo
from tests.unit.filters.world import world


def nested(depth: int) -> str:
    """Return groups that can't be dissolved: && and || take turns."""
    text = "n = 1"
    for level in range(depth):
        text = f"({text}) {'&&' if level % 2 else '||'} n = {level}"
    return text


def test_nested_groups_run() -> None:
    request = RequestInfo()
    for text in (nested(90), "(" * 100 + "n = 1" + ")" * 100):
        assert world().ids("posts", Part(text), request=request) is not None
        assert filters.closure(text, world().scope("posts")) is not None


@pytest.mark.parametrize(
    "text",
    [
        nested(101),
        "(" * 1_700 + "n = 1" + ")" * 1_700,
        "f(" * 1_000,
        "'" * 3_000,
        "n = 1 " + "&" * 3_000,
        "a." * 1_700 + "a = 1",
        "@collection." + "posts." * 500 + "id = 1",
        "data" + "." * 3_000 + "a = 1",
        "n = " + "1" * 3_000 + ".",
        "-" * 3_000,
    ],
)
def test_hostile_texts_are_refused_at_once(text: str) -> None:
    start = time.process_time()
    with pytest.raises(FilterError):
        world().ids("posts", Part(text, is_client=True))
    assert time.process_time() - start < 1


def test_the_longest_texts_compile_soon() -> None:
    text = " || ".join(["teams.members.id ?= 'x'"] * 200)[: MAX_LENGTH - 100].rpartition(" || ")[0]
    deep = "(" * 99 + "n = 1" + ")" * 99
    start = time.process_time()
    for found in (text, deep, "title = '" + "\\'" * 1_700 + "'", "data." + "a." * 1_600 + "b = 1"):
        filters.compile((Part(found, is_client=True),), world().scope("posts")).bind(RequestInfo())
    assert time.process_time() - start < 2


def test_joins_are_bounded() -> None:
    paths = ["owner", "team", "parent", "related", "teams"]
    texts = [f"{a}.{b}.id ?= 'x'" for a in ("parent", "related") for b in paths]
    texts += [
        f"{a}.{b}.{c}.id:lower ?= 'x'" for a in ("parent", "related") for b in ("parent", "related") for c in paths
    ]
    texts += [f"parent.parent.{a}.{b}.id:lower ?= 'x'" for a in ("parent", "related") for b in paths]
    with pytest.raises(FilterError, match="too many joined relations"):
        world().ids("posts", Part(" || ".join(texts)))
    joined = " || ".join(f"@collection.posts:a{index}.id = 'x'" for index in range(MAX_JOINS))
    filters.compile((Part(joined, allow_hidden=True),), world().scope("posts"))
    with pytest.raises(FilterError, match="too many joined relations"):
        filters.compile((Part(f"{joined} || owner.name = 'x'", allow_hidden=True),), world().scope("posts"))


@pytest.mark.parametrize(
    "value",
    ["'; DROP TABLE posts; --", '" OR 1=1 --', "%' OR '1'='1", "$.a.b", "']') FROM users --", "{}", "{0}", "??"],
)
def test_values_are_bound(value: str) -> None:
    written = value.replace("\\", "\\\\").replace("'", "\\'")
    for sign in ("=", "~", "?!="):
        program = filters.compile((Part(f"title {sign} '{written}'"),), world().scope("posts"))
        bound = program.bind(RequestInfo())
        assert value not in bound.where
        world().ids("posts", Part(f"title {sign} '{written}'"))
    request = RequestInfo(query={"q": value}, body={"data": {"a": value}})
    for text in ("title = @request.query.q", "data.a ~ @request.body.data.a", "teams.name != @request.query.q"):
        found = filters.compile((Part(text, allow_hidden=True),), world().scope("posts")).bind(request)
        assert value not in found.where + found.joins
        world().ids("posts", Part(text, allow_hidden=True), request=request)


def test_the_cache_keeps_what_was_used_last() -> None:
    made: list[int] = []
    cache: Cache[int] = Cache(2)

    def make(key: int) -> int:
        made.append(key)
        return key

    for key in (1, 2, 1, 3, 1, 2):
        assert cache.find(key, partial(make, key)) == key
    assert made == [1, 2, 3, 2]
    assert len(cache) == 2
