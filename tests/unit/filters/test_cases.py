"""The cases in tests/cases: what the reference answers, here through SQLite and through closures."""

from __future__ import annotations

from typing import Any

import pytest

from rowcast import filters
from rowcast.errors import FilterError
from rowcast.filters import Part
from rowcast.schema.request import RequestInfo
from tests.unit.filters.world import cases, world

FILTERS = cases("filters.json")
RULES = cases("filters_rules.json")
BODIES = cases("filters_bodies.json")


def ids_of_closure(name: str, text: str, request: RequestInfo, *, allow_hidden: bool = True) -> list[str] | None:
    closure = filters.closure(text, world().scope(name, request), allow_hidden=allow_hidden)
    if closure is None:
        return None
    return [str(row["id"]) for row in world().rows(name) if closure(row, request)]


@pytest.mark.parametrize("case", FILTERS, ids=lambda case: f"{case['about']}: {case['filter']}")
def test_a_filter_finds_what_the_reference_finds(case: dict[str, Any]) -> None:
    name, text, allow_hidden = case["collection"], case["filter"], case.get("hidden", True)
    part = Part(text, allow_hidden, is_client=True)
    if "error" in case:
        with pytest.raises(FilterError) as caught:
            world().ids(name, part)
        error = caught.value
        assert (error.message, [error.start, error.end], error.text) == (case["error"], case["span"], text)
        return
    assert world().ids(name, part) == case["ids"]
    assert ids_of_closure(name, text, RequestInfo(), allow_hidden=allow_hidden) in (None, case["ids"])


@pytest.mark.parametrize("case", RULES, ids=lambda case: case["rule"])
def test_a_rule_finds_what_the_reference_finds(case: dict[str, Any]) -> None:
    name, rule = case["collection"], case["rule"]
    for result in case["results"]:
        request = world().request(result["auth"], query=result["query"], headers=result["headers"])
        found = world().ids(name, Part(rule, allow_hidden=True), request=request)
        assert found == result["ids"], result
        assert ids_of_closure(name, rule, request) in (None, result["ids"]), result
        scope = world().scope(name, request)
        images = [str(row["id"]) for row in world().rows(name) if world().passes(rule, scope, row, request)]
        assert images == result["ids"], result


@pytest.mark.parametrize("case", BODIES, ids=lambda case: case["rule"])
def test_a_rule_about_the_body_finds_what_the_reference_finds(case: dict[str, Any]) -> None:
    name, rule = case["collection"], case["rule"]
    collection = world().find(name)
    for result in case["results"]:
        body = {}
        for key, raw in result["body"].items():
            field = collection.field(key)
            if field is None or not field.hidden:
                body[key] = raw if field is None else field.prepare(raw)
        request = world().request(case["auth"], body=body, method="PATCH")
        assert world().ids(name, Part(rule, allow_hidden=True), request=request) == result["ids"], result
        assert ids_of_closure(name, rule, request) in (None, result["ids"]), result
