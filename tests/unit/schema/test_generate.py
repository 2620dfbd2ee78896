"""Random texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.schema.generate import PatternError, random_by_pattern, random_id, random_text
from rowcast.schema.patterns import pattern_matches


def test_ids() -> None:
    ids = {random_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(pattern_matches("^[a-z0-9]{15}$", one) for one in ids)


def test_every_character_of_the_alphabet_comes_up() -> None:
    assert set(random_text(5000, "abc")) == set("abc")
    assert random_text(0) == ""
    assert set(random_text(20_000, "".join(map(chr, range(300))))) == set(map(chr, range(300)))


@pytest.mark.parametrize(
    "pattern",
    [
        "[a-z0-9]{15}",
        "[a-zA-Z0-9]{50}",
        r"\d{2,5}-\w+",
        "(foo|bar)x*y?",
        "a",
        ".{10}",
        r"\pL{3}",
        "[^a-z]{4}",
        "(?i)ab[c]",
        "[α-ω]{5}",
        "[a]{3}",
        "(?s).",
    ],
)
def test_generated_texts_match(pattern: str) -> None:
    for _ in range(20):
        text = random_by_pattern(pattern)
        assert pattern_matches(f"^(?:{pattern})$", text), text


def test_repetitions_stay_below_their_end() -> None:
    assert {len(random_by_pattern("a{2,4}")) for _ in range(200)} == {2, 3}
    assert {len(random_by_pattern("a*")) for _ in range(300)} == {0, 1, 2, 3, 4, 5}
    assert {random_by_pattern("ba?") for _ in range(50)} == {"b"}


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("^a", "unsupported pattern operator 9"),
        ("a$", "unsupported pattern operator 10"),
        ("(?m)^", "unsupported pattern operator 7"),
        (r"\b", "unsupported pattern operator 11"),
        ("()", "unsupported pattern operator 2"),
        ("(", "error parsing regexp: missing closing ): `(`"),
    ],
)
def test_patterns_that_cannot_be_generated(pattern: str, problem: str) -> None:
    with pytest.raises(PatternError) as caught:
        random_by_pattern(pattern)
    assert str(caught.value) == problem


def test_size_is_bounded() -> None:
    with pytest.raises(PatternError, match="too large"):
        random_by_pattern("(?:[ab]c){500}" * 150)


def test_an_empty_class_gives_nothing() -> None:
    with pytest.raises(PatternError, match="no runes"):
        random_by_pattern(r"[^\x{0}-\x{10FFFF}]")


@given(st.text(max_size=15))
def test_any_pattern_gives_a_text_or_an_error(pattern: str) -> None:
    try:
        text = random_by_pattern(pattern)
    except PatternError:
        return
    assert pattern_matches(pattern, text)
