"""What the edge reads from a request line and headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.api.request import Request, expanded, first_values, query_pairs, unescape
from rowcast.config import TrustedProxySettings
from tests.unit.api.client import request, scope


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        (b"", []),
        (b"a=1&b=2", [("a", "1"), ("b", "2")]),
        (b"a=1&a=2", [("a", "1"), ("a", "2")]),
        (b"a", [("a", "")]),
        (b"=x", [("", "x")]),
        (b"&&a=1&", [("a", "1")]),
        (b"a=b=c", [("a", "b=c")]),
        (b"a+b=c+d%2B", [("a b", "c d+")]),
        (b"a=1;b=2&c=3", [("c", "3")]),
        (b"a=%zz&b=%4&c=%41", [("c", "A")]),
        (b"a=%ff", [("a", "\ufffd")]),
        (b"filter=a%3D%22%C3%A9%22", [("filter", 'a="é"')]),
    ],
)
def test_reads_queries_as_go_does(query: bytes, pairs: list[tuple[str, str]]) -> None:
    assert query_pairs(query) == pairs


def test_the_first_value_of_a_parameter_counts() -> None:
    assert first_values([("a", "1"), ("b", "2"), ("a", "3")]) == {"a": "1", "b": "2"}


@given(st.binary(max_size=40))
def test_any_query_can_be_read(query: bytes) -> None:
    for name, value in query_pairs(query):
        (name + value).encode()


@given(st.text(max_size=20))
def test_what_is_escaped_is_read_back(text: str) -> None:
    from urllib.parse import quote_plus

    text = text.encode("utf-8", "replace").decode()
    assert unescape(quote_plus(text), is_query=True) == text


@pytest.mark.parametrize(
    ("root", "target", "path", "raw_path"),
    [
        ("", "/a%20b?x=1", "/a b", "/a%20b"),
        ("", "/", "/", "/"),
        ("/sub", "/api/health", "/api/health", "/api/health"),
        ("/sub", "", "/", "/"),
        ("/s b", "/x", "/x", "/x"),
    ],
)
def test_paths_are_those_below_the_mount_point(root: str, target: str, path: str, raw_path: str) -> None:
    made = request(target=target, root=root)
    assert (made.path, made.raw_path) == (path, raw_path)


def test_a_server_may_leave_the_raw_path_out() -> None:
    given_scope = scope("GET", "/a%20b%2Fc")
    del given_scope["raw_path"]
    made = Request(given_scope, request().receive)
    assert made.raw_path == "/a%20b/c"


def test_the_first_of_equal_headers_counts() -> None:
    made = request(headers=[("X-A", "1"), ("x-a", "2")])
    assert made.header(b"x-a") == "1"
    assert made.header(b"x-b") == ""


def test_rules_see_the_headers_in_snake_case_without_the_host() -> None:
    made = request(target="/?a=1&a=2", headers=[("Host", "h"), ("X-My-Token", "é"), ("CONTENT-TYPE", "x")])
    info = made.info({"b": 1})
    assert info.headers == {"x_my_token": "é", "content_type": "x"}
    assert info.query == {"a": "1"}
    assert info.body == {"b": 1}
    assert info.method == "GET"
    assert info.context == "default"


PROXY = TrustedProxySettings(headers=("X-Real", "X-Forwarded-For"))
LEFTMOST = TrustedProxySettings(headers=("X-Forwarded-For",), use_leftmost_ip=True)


@pytest.mark.parametrize(
    ("proxy", "headers", "address"),
    [
        (TrustedProxySettings(), [("X-Forwarded-For", "1.1.1.1")], "10.0.0.1"),
        (PROXY, [], "10.0.0.1"),
        (PROXY, [("X-Forwarded-For", "1.1.1.1, 2.2.2.2")], "2.2.2.2"),
        (PROXY, [("X-Forwarded-For", "1.1.1.1, nonsense")], "1.1.1.1"),
        (PROXY, [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "3.3.3.3")], "3.3.3.3"),
        (PROXY, [("X-Real", ""), ("X-Forwarded-For", "1.1.1.1")], "1.1.1.1"),
        (PROXY, [("X-Real", "4.4.4.4"), ("X-Forwarded-For", "1.1.1.1")], "4.4.4.4"),
        (PROXY, [("X-Real", "nonsense")], "10.0.0.1"),
        (LEFTMOST, [("X-Forwarded-For", "x, 1.1.1.1, 2.2.2.2")], "1.1.1.1"),
        (LEFTMOST, [("X-Forwarded-For", "2001:db8::1")], "2001:0db8:0000:0000:0000:0000:0000:0001"),
    ],
)
def test_locates_the_client(proxy: TrustedProxySettings, headers: list[tuple[str, str]], address: str) -> None:
    assert request(headers=headers).locate(proxy) == address


def test_a_connection_without_an_address_has_an_invalid_one() -> None:
    assert request(client=None).remote == "invalid IP"
    assert request(client=("", 0)).remote == "invalid IP"
    assert expanded("1.2.3") == ""


def test_the_query_of_a_request_without_one_is_empty() -> None:
    assert request().query == {}
