"""Patterns: RE2 syntax, linear time, Go's error texts."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.schema.patterns import Matcher, compile_pattern, pattern_matches, validate_pattern


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "", True),
        ("a", "xax", True),
        ("^a$", "a\n", False),
        ("(?m)^a$", "b\na\n", True),
        ("^[a-z0-9]+$", "abc1", True),
        ("^[a-z0-9]+$", "", False),
        ("^[a-z0-9]+$", "aB", False),
        (r"^\w+\s\d{2,4}$", "ab 123", True),
        (r"^\w+$", "ü", False),
        (r"^\d+$", "\u0663", False),
        (r"^\D$", "\u0663", True),
        (r"^\pL+$", "ünï", True),
        (r"^\p{Lu}\PL$", "Ü1", True),
        (r"^[\p{Greek}-]+$", "α-Ω", True),
        (r"^[^\p{^L}]$", "a", True),
        (r"^\x41\x{1F600}\101$", "A😀A", True),
        (r"^\Qa*b\E$", "a*b", True),
        ("(?i)^STRASSE$", "strasse", True),
        ("(?i)^k$", "\u212a", True),
        ("(?i:a)b", "Ab", True),
        ("(?i:a)b", "AB", False),
        ("(?i-i)a", "A", False),
        (r"^\p{Any}$", "x", True),
        ("(?s)a.b", "a\nb", True),
        ("a.b", "a\nb", False),
        (r"\bfoo\b", "a foo b", True),
        (r"\Bfoo", "afoo", True),
        (r"^\z", "", True),
        ("(a|b){2,}c", "xabac", True),
        ("^(a{2}){2}$", "aaaa", True),
        ("^a{0,2}$", "aaa", False),
        ("^(?:)*$", "", True),
        ("(?P<year>\\d+)-(?<month>\\d+)", "2022-01", True),
        ("[[:alpha:]_]+[[:^digit:]]$", "a_b", True),
        ("[]a]", "]", True),
        ("[a-]", "-", True),
        ("a{", "a{", True),
        (r"\n\t\a\f\r\v\.", "\n\t\a\f\r\v.", True),
        (r"[\b]", "b", False),
        ("(", "(", False),
    ],
)
def test_matching(pattern: str, text: str, expected: bool) -> None:
    assert pattern_matches(pattern, text) is expected


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        (r"\w*((abc+", r"missing closing ): `\w*((abc+`"),
        ("a)", "unexpected ): `a)`"),
        ("[a", "missing closing ]: `[a`"),
        ("[", "missing closing ]: `[`"),
        ("[a-", "missing closing ]: `[a-`"),
        (r"\x{4", r"invalid escape sequence: `\x{4`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|*", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a++", "invalid nested repetition operator: `++`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("(a{100}){100}", "invalid repeat count: `{100}`"),
        ("\\", "trailing backslash at end of expression: ``"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\Z", r"invalid escape sequence: `\Z`"),
        (r"\xZ", r"invalid escape sequence: `\xZ`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?<n", "invalid named capture: `(?<n`"),
        ("(?P<a b>x)", "invalid named capture: `(?P<a b>`"),
        ("(" * 200, f"expression nests too deeply: `{'(' * 200}`"),
        ("a{1000}" * 101, f"expression too large: `{'a{1000}' * 101}`"),
    ],
)
def test_broken_patterns(pattern: str, problem: str) -> None:
    error = validate_pattern(pattern)
    assert error is not None
    assert error.code == "validation_invalid_regex"
    assert error.message == f"error parsing regexp: {problem}"


def test_no_pattern_is_fine() -> None:
    assert validate_pattern("") is None
    assert validate_pattern("^a$") is None


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a*)*b", "a" * 5000),
        ("(a|aa)+$", "a" * 5000 + "b"),
        ("(x+x+)+y", "x" * 5000),
        (".*.*.*=.*", "a" * 5000),
        ("(a?){200}a{200}$", "a" * 150),
    ],
)
def test_no_pattern_takes_more_than_linear_time(pattern: str, text: str) -> None:
    started = time.process_time()
    assert not pattern_matches(pattern, text)
    assert time.process_time() - started < 2


def test_states_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowcast.schema.patterns._MAX_STATES", 8)
    compiled = compile_pattern("(a|b)*a(a|b){6}$")
    matcher = Matcher((compiled._steps, compiled._start))
    text = "ab" * 50 + "abbabb" + "b"
    assert matcher.matches(text) is (re.search("(a|b)*a(a|b){6}$", text) is not None)
    assert len(matcher._states) <= 9


pieces = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", "^", "$", "", r"\b", r"\w"])
trees = st.recursive(
    pieces,
    lambda inner: (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})")
        | st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{2,}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        )
    ),
    max_leaves=6,
)


@given(trees, st.text("ab1 -", max_size=8))
def test_the_common_subset_agrees_with_python(pattern: str, text: str) -> None:
    assert pattern_matches(pattern, text) is (re.search(pattern, text, re.ASCII) is not None)


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_a_pattern_or_an_error(pattern: str, text: str) -> None:
    pattern_matches(pattern, text)
    validate_pattern(pattern)
