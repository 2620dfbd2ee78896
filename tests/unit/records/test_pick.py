from __future__ import annotations

import json
import time
from typing import Any

import pytest

from rowcast.errors import BadRequestError
from rowcast.records.excerpt import excerpt
from rowcast.records.pick import parse

NESTED = {
    "a": 1,
    "b": 2,
    "c": "test",
    "list": [
        {"A": [1, 2, 3], "B": ["1", "2", 3], "C": "test", "D": {"DA": 1, "DB": 2}},
        {"A": "test"},
    ],
    "maps": [
        {"A": [1, 2, 3], "C": "test", "D": [{"DA": 1}]},
        {"B": ["1"], "D": [{"DA": 2}, {"DA": 3}, {"DB": 4}]},
    ],
}
TREE = {
    "id": "123",
    "title": "lorem",
    "rel": {"id": "456", "title": "<p>rel_title</p>", "sub": {"id": "789", "title": "sub_title"}},
}

CASES: list[tuple[str, Any, str, str]] = [
    ("no fields keep all", {"a": 1, "b": 2}, "", '{"a":1,"b":2}'),
    ("missing fields give an empty object", {"a": 1}, "missing", "{}"),
    ("spaces around names are cut", {"a": 1, "b": 2, "c": "x"}, "a,  c  ,missing", '{"a":1,"c":"x"}'),
    ("a text stays as it is", "test", "a,b", '"test"'),
    ("a list of texts stays as it is", ["a", "b"], "a", '["a","b"]'),
    ("a list is picked item by item", [{"a": 1, "b": 1}, {"a": 2, "b": 2}], "a", '[{"a":1},{"a":2}]'),
    (
        "nested names go through objects and lists",
        NESTED,
        "a, c, list.A, list.D, maps.D.DA",
        '{"a":1,"c":"test","list":[{"A":[1,2,3],"D":{"DA":1,"DB":2}},{"A":"test"}],'
        '"maps":[{"D":[{"DA":1}]},{"D":[{"DA":2},{"DA":3},{}]}]}',
    ),
    ("a star keeps all", {"b": 1, "a": {"y": 1, "x": 2}}, "*", '{"a":{"x":2,"y":1},"b":1}'),
    ("a star with an exception", TREE, "*,rel.id", '{"id":"123","rel":{"id":"456"},"title":"lorem"}'),
    (
        "a star below",
        TREE,
        "id,rel.*",
        '{"id":"123","rel":{"id":"456","sub":{"id":"789","title":"sub_title"},'
        '"title":"\\u003cp\\u003erel_title\\u003c/p\\u003e"}}',
    ),
    (
        "a star below with an exception",
        TREE,
        "id,rel.*,rel.sub.id",
        '{"id":"123","rel":{"id":"456","sub":{"id":"789"},"title":"\\u003cp\\u003erel_title\\u003c/p\\u003e"}}',
    ),
    (
        "the whole wins over a part",
        {"rel": {"a": 1, "b": {"c": 2}}, "x": 3},
        "rel.a,rel",
        '{"rel":{"a":1,"b":{"c":2}}}',
    ),
    ("excerpts", TREE, "*:excerpt(2),rel.title:excerpt(3, true)", '{"id":"12","rel":{"title":"rel..."},"title":"lo"}'),
    ("an excerpt of a number is the number", {"a": 12345}, "a:excerpt(2)", '{"a":12345}'),
    ("numbers are written as Go does", {"a": 1.0, "b": 1e21, "c": 0.5}, "*", '{"a":1,"b":1e+21,"c":0.5}'),
]


@pytest.mark.parametrize(("data", "fields", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_fields_are_picked(data: Any, fields: str, expected: str) -> None:
    text = json.dumps(data).encode()
    pick = parse(fields)
    if pick is None:
        assert json.loads(text) == json.loads(expected)
    else:
        assert pick.apply_json(text).decode() == expected


def test_only_the_items_of_a_page_are_picked() -> None:
    pick = parse("a")
    assert pick is not None
    page = b'{"items":[{"a":1,"b":2}],"page":1,"perPage":30,"totalItems":-1,"totalPages":-1}'
    assert (
        pick.apply_json(page, is_page=True)
        == b'{"items":[{"a":1}],"page":1,"perPage":30,"totalItems":-1,"totalPages":-1}'
    )


@pytest.mark.parametrize(
    "fields",
    [
        "a:",
        "a:lower",
        "a:excerpt",
        "a:excerpt(0)",
        "a:excerpt(x)",
        "a:excerpt(inf)",
        "a:excerpt(nan)",
        "a:excerpt(1,t,3)",
        "a'",
        "a(",
        "*:excerpt",
    ],
)
def test_broken_fields_are_refused(fields: str) -> None:
    with pytest.raises(BadRequestError):
        parse(fields)


@pytest.mark.parametrize(
    ("fields", "names"),
    [("id,title", {"id", "title"}), ("id,,id", {"id"}), ("a.b", None), ("*", None), ("a:excerpt(3)", None)],
)
def test_a_plain_choice_is_known(fields: str, names: set[str] | None) -> None:
    pick = parse(fields)
    assert pick is not None
    assert pick.names == names


HTML = """ <script>var a = 123;</script> <p>Hello</p><p>t est<b>12
3456</b></p><span>word <br/> 7 <span>8<b>9</b>!?</span></span><div>a</div><div>b</div>c<style>x{}
</style># <h1>title</h1>"""


@pytest.mark.parametrize(
    ("text", "limit", "with_ellipsis", "expected"),
    [
        (HTML, 500, False, "Hello t est12 3456 word 7 89!? a b c# title"),
        (HTML, 2, False, "He"),
        (HTML, 2, True, "He..."),
        ("plain", 5, True, "plain"),
        ("plain", 4, True, "plai..."),
        ("аб\nв ", 4, True, "аб в"),
        ("аб\nв ", 3, True, "аб..."),
        ("a &amp; b &lt;c&gt;", 50, False, "a & b <c>"),
        ("<ul><li>one<li>two</ul>three", 50, False, "one two three"),
        ("<select><option>no</option></select>yes<img src='x'>!", 50, False, "yes!"),
        ("", 5, True, ""),
        ("</p></div>x", 5, False, "x"),
    ],
)
def test_excerpts_are_plain_text(text: str, limit: int, with_ellipsis: bool, expected: str) -> None:
    assert excerpt(text, limit, with_ellipsis=with_ellipsis) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a<b x='1>2' y=\"3>4\" z=5>b</b>", "ab"),
        ("1 < 2 <3> <!-- <p>x</p> --><!x><?y>z", "1 < 2 <3> z"),
        ("<iframe><p>no</p></iframe>yes<script>'</p>'</script >!", "yes!"),
        ("a<b", "a"),
        ("a<b x='", "a"),
        ("a<!--", "a"),
        ("a<script>b", "a"),
    ],
)
def test_tags_are_told_from_text(text: str, expected: str) -> None:
    assert excerpt(text, 50) == expected


@pytest.mark.parametrize(
    "text",
    [
        "<b>" * 20_000 + "</x>" * 20_000,
        "<a " * 30_000,
        "<!--" * 30_000,
        "<a x='" * 30_000,
        "<" * 90_000,
        "</a" * 30_000,
    ],
)
def test_excerpts_of_broken_html_take_no_longer_than_others(text: str) -> None:
    begin = time.process_time()
    excerpt(text, 200)
    assert time.process_time() - begin < 3


def test_a_text_that_is_nearly_all_tags_is_not_read_to_its_end() -> None:
    assert excerpt("<p>" * 60_000 + "a", 5) == ""
