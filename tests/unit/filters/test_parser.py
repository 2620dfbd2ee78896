"""Texts to trees, and the places that errors point at."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rowcast.errors import FilterError
from rowcast.filters.lexer import Kind
from rowcast.filters.parser import MAX_GROUP_DEPTH, AllOf, Comparison, Node, Operand, parse
from tests.unit.filters.world import cases

PIECES = (
    *(
        "a",
        "b.c:d",
        "@request.auth.id",
        "1",
        "-2.5",
        "'x'",
        '"y"',
        "'",
        '"',
        "\\",
        "=",
        "!=",
        "?~",
        "&&",
        "||",
        "(",
        ")",
    ),
    *("f(", ",", "//", "/", "\n", " ", "ä", "\x00", "\ud800", "?", "!", "&", "|", "#", "_", "."),
)


def tree(node: Node) -> list[Any]:
    if isinstance(node, Comparison):
        return [node.sign, operand(node.left), operand(node.right)]
    return ["&&" if isinstance(node, AllOf) else "||", *map(tree, node.items)]


def operand(found: Operand) -> Any:
    if found.kind is Kind.CALL:
        return {"call": found.value, "arguments": [operand(argument) for argument in found.arguments]}
    return found.value if found.kind is Kind.IDENTIFIER else {found.kind.value: found.value}


@pytest.mark.parametrize("case", cases("filters_syntax.json"), ids=lambda case: case["text"])
def test_a_text_has_the_tree_or_error_that_fexpr_gives_it(case: dict[str, Any]) -> None:
    if "error" not in case:
        assert tree(parse(case["text"])) == case["tree"]
        return
    with pytest.raises(FilterError) as caught:
        parse(case["text"])
    error = caught.value
    assert (error.message, [error.start, error.end], error.text) == (case["error"], case["span"], case["text"])


def test_operands_know_their_places() -> None:
    node = parse("(a = 'b') && f(c, 1) != d")
    assert isinstance(node, AllOf)
    places = [
        (side.start, side.end)
        for item in node.items
        if isinstance(item, Comparison)
        for side in (item.left, item.right)
    ]
    assert places == [(1, 2), (5, 8), (13, 20), (24, 25)]


def test_an_error_shows_its_place() -> None:
    with pytest.raises(FilterError) as caught:
        parse("a = 1 && b == 2")
    assert str(caught.value) == 'invalid sign operator "=="\n  a = 1 && b == 2\n             ^^'


def test_two_hundred_comparisons_are_allowed() -> None:
    assert len(parse(" || ".join(["a = 1"] * 200)).items) == 200  # type: ignore[union-attr]
    with pytest.raises(FilterError, match="max filter expressions limit reached"):
        parse(" || ".join(["(a = 1)"] * 201))


def test_groups_may_be_nested_but_not_without_end() -> None:
    depth = MAX_GROUP_DEPTH
    assert isinstance(parse("(" * depth + "a = 1" + ")" * depth), Comparison)
    for text in ("(" * (depth + 1) + "a = 1" + ")" * (depth + 1), "(" * 100_000, "f(" * 100_000, "a = 1 &&" * 100_000):
        with pytest.raises(FilterError):
            parse(text)


def test_a_group_in_a_group_of_the_same_operator_dissolves() -> None:
    assert tree(parse("((a=1 && (b=2 && c=3)) && d=4)"))[0] == "&&"
    assert len(tree(parse("((a=1 && (b=2 && c=3)) && d=4)"))) == 5


@pytest.mark.property
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text(max_size=40))
@example("a='\\'")
@example("(a='\\')")
@example("-")
def test_any_text_has_a_tree_or_a_filter_error(text: str) -> None:
    try:
        parse(text)
    except FilterError as error:
        assert 0 <= error.start <= error.end <= len(text)
        assert str(error)


@pytest.mark.property
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), st.sampled_from("'\""))
def test_a_quoted_text_is_read_back(value: str, mark: str) -> None:
    written = value.replace("\\", "\\\\").replace(mark, "\\" + mark)
    node = parse(f"a = {mark}{written}{mark}")
    assert isinstance(node, Comparison)
    assert node.right.value == value
