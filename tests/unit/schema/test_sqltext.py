"""SQL texts are cut outside of quotes and parentheses, and can't leave the statement around them."""

from __future__ import annotations

import contextlib

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.schema.sqltext import UnbalancedError, quoted, resolve_brackets, split, stays_inside


@pytest.mark.parametrize(
    ("text", "separators", "keep", "parts"),
    [
        ("a, b, (c, d)", ",", False, ["a", "b", "(c, d)"]),
        ("a,,b, ", ",", False, ["a", "b"]),
        ("'a,b',\"c,d\",`e,f`", ",", False, ["'a,b'", '"c,d"', "`e,f`"]),
        ("a b\tc\nd", " \n\t", True, ["a ", "b\t", "c\n", "d"]),
        ("f((a, b), c) d", " ", False, ["f((a, b), c)", "d"]),
        (r"'a\' , b', c", ",", False, [r"'a\' , b'", "c"]),
        ("a), b", ",", False, ["a)", "b"]),
        ("", ",", False, []),
    ],
)
def test_splits_outside_of_quotes_and_parentheses(text: str, separators: str, keep: bool, parts: list[str]) -> None:
    assert split(text, separators, keep=keep) == parts


@pytest.mark.parametrize("text", ["a, (b", "'a", "a, \"b'"])
def test_refuses_what_is_not_closed(text: str) -> None:
    with pytest.raises(UnbalancedError, match="unbalanced parenthesis or quoted expression"):
        split(text, ",")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select 1", True),
        ("select (1), ')', \"(\"", True),
        ("select ';' -- ; )\n, 1 /* ; */", True),
        ("select 1; drop table a", False),
        ("select 1) union (select 2", False),
        (r"select '\' as id); drop table a; --'", False),
        ("select [a;b]", True),
        ("select 'it''s; fine'", True),
    ],
)
def test_knows_what_stays_inside_of_a_statement(text: str, expected: bool) -> None:
    assert stays_inside(text) is expected


@given(st.lists(st.sampled_from(["'", '"', "`", "[", "]", "(", ")", ";", "--", "\n", "/*", "*/", "1", " ", "\\", "a"])))
def test_a_text_that_stays_inside_never_runs_a_second_statement(parts: list[str]) -> None:
    text = "".join(parts)
    statements: list[str] = []

    def note(_cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        statements.append(sql)
        return True

    connection = apsw.Connection(":memory:")
    connection.exec_trace = note
    if stays_inside(text):
        with contextlib.suppress(apsw.Error):
            connection.execute(f"select * from (select 1 {text})").fetchall()
    assert len(statements) <= 1


def test_long_hostile_texts_are_read_in_one_go() -> None:
    for piece in ("'", '"', "`", "[", "/*", "--", "(", " "):
        stays_inside(piece * 200_000)


def test_names_are_quoted() -> None:
    assert quoted("a") == "`a`"
    assert quoted("a`b") == "`a``b`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select [[id]] from {{posts}}", "select `id` from `posts`"),
        ("select [[posts.id]], {{a b}}", "select `posts`.`id`, `a b`"),
        ("select [[a'b]], [id]", "select [[a'b]], [id]"),
        ("select {{posts}}.*", "select `posts`.*"),
    ],
)
def test_double_brackets_become_quotes(text: str, expected: str) -> None:
    assert resolve_brackets(text) == expected
