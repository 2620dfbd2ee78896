"""Which origins may read answers."""

from __future__ import annotations

import pytest

from rowcast.api.cors import Cors
from tests.unit.api.client import request

ALLOWED = b"access-control-allow-origin"


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (["*"], "http://a.com", b"*"),
        ([], "http://a.com", b"*"),
        (["http://a.com"], "http://a.com", b"http://a.com"),
        (["http://a.com"], "http://b.com", None),
        (["http://a.com"], "https://a.com", None),
        (["http://*.a.com"], "http://x.y.a.com", b"http://x.y.a.com"),
        (["http://*.a.com"], "http://a.com", None),
        (["http://a?.com"], "http://ab.com", b"http://ab.com"),
        (["http://a.com"], "http://axcom", None),
        (["http://*"], "http://" + "a" * 300, None),
        (["a*"], "abc", None),
        (["http://b.com", "*"], "http://a.com", b"*"),
    ],
)
def test_origins_are_compared(origins: list[str], origin: str, allowed: bytes | None) -> None:
    headers = dict(Cors(origins).headers(request(headers=[("Origin", origin)])))
    assert headers.get(ALLOWED) == allowed
    assert headers[b"vary"] == b"Origin"


def test_a_request_without_an_origin_gets_none() -> None:
    assert Cors(["*"]).headers(request()) == [(b"vary", b"Origin")]


def test_a_preflight_is_told_what_is_allowed() -> None:
    asked = request("OPTIONS", headers=[("Origin", "http://a.com"), ("Access-Control-Request-Headers", "X-A, X-B")])
    answer = Cors(["*"]).preflight(asked)
    headers = dict(answer.headers or [])
    assert answer.status == 204
    assert headers[b"access-control-allow-methods"] == b"GET,HEAD,PUT,PATCH,POST,DELETE"
    assert headers[b"access-control-allow-headers"] == b"X-A, X-B"


@pytest.mark.parametrize("headers", [[], [("Origin", "http://evil.com")]])
def test_a_preflight_from_elsewhere_is_told_nothing(headers: list[tuple[str, str]]) -> None:
    answer = Cors(["http://a.com"]).preflight(request("OPTIONS", headers=headers))
    assert (answer.status, answer.headers) == (204, None)
