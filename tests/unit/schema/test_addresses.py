"""E-mail addresses and URLs, with the judgements of the reference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.schema.addresses import host_of, is_email, is_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@b.co", True),
        ("A@B.CO", True),
        ("first.last+tag@sub.example.com", True),
        ("ü@ü.de", True),
        ("a@b.co.", True),
        ("x@b_c.de", True),
        ('"q"@x.yy', True),
        ('"a.b"@x.yy', False),
        ("a@b", False),
        ("", False),
        ("a b@c.de", False),
        ("a.b.@c.de", False),
        ("a@b..c", False),
        ("a@-b.co", False),
        ("a@b-.co", False),
        ("x@1.2.3.4", False),
        ("@b.co", False),
        ("a@b.co ", False),
        ("a@b.co\n", False),
        ("a@" + "a." * 2000 + "!", False),
    ],
)
def test_emails(text: str, expected: bool) -> None:
    assert is_email(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.com", True),
        ("http://localhost:8090/a?b=c#d", True),
        ("example.com", True),
        ("example.com:80/x", True),
        ("ftp://u:p@h.de/x", True),
        ("http://[::1]:80/x", True),
        ("http://1.2.3.4:5", True),
        ("http://ü.de", True),
        ("http://exa_mple.com", True),
        ("http://a.com/%20", True),
        ("abc", False),
        ("", False),
        ("a.b", False),
        (".a.com", False),
        ("http://", False),
        ("http://a b.com", False),
        ("http://.com", False),
        ("javascript:alert(1)", False),
        ("mailto:a@b.co", True),
        ("http://a.com/%zz", False),
        ("http://a.com:x", False),
        ("http://a.com:999999", False),
        ("http://a.com/\x01", False),
        ("http://[::1", False),
        ("http://a%41.com", False),
        ("http://us er@a.com", False),
        ("http://a.com/#%z", False),
        ("x:y//z.com", False),
        ("a/b", False),
        ("https://example.com/" + "a" * 2100, False),
    ],
)
def test_urls(text: str, expected: bool) -> None:
    assert is_url(text) is expected


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.com/x", "example.com"),
        ("https://u:p@example.com:80/x", "example.com:80"),
        ("//example.com", "example.com"),
        ("example.com/x", ""),
        ("http://a.com/%zz", ""),
        ("///a.com", ""),
    ],
)
def test_host_of(url: str, host: str) -> None:
    assert host_of(url) == host


@given(st.text(max_size=60))
def test_any_text_is_judged(text: str) -> None:
    is_email(text)
    is_url(text)
    is_url(f"http://{text}")
