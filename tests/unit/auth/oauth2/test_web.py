"""Other servers are asked within bounds, and internal ones not at all where a user has a say."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest

from rowcast.auth.oauth2.addresses import is_public
from rowcast.auth.oauth2.web import Guard, Session, Web, WebError
from tests.oidc_provider import PNG, Provider

INTERNAL = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",  # noqa: S104
    "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::", "2001:0:7f00:1::1", "not an address", "",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]


@pytest.mark.parametrize("address", INTERNAL)
def test_internal_addresses(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


SPELLINGS = [
    "http://127.0.0.1:{port}", "http://localhost:{port}", "http://127.1:{port}", "http://2130706433:{port}",
    "http://0x7f000001:{port}", "http://0177.0.0.1:{port}", "http://0:{port}", "http://[::ffff:127.0.0.1]:{port}",
    "http://[::1]:{port}", "http://user@127.0.0.1:{port}", "http://LOCALHOST.:{port}", "http://①②⑦.0.0.1:{port}",
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_leads_inside(provider: Provider, spelling: str) -> None:
    url = spelling.format(port=provider.server.server_port) + "/honest/avatar.png"
    with Web().session(5, guards=Guard()) as session, pytest.raises(WebError):
        session.ask(url)
    assert provider.asked == []


def test_no_redirect_leads_inside(provider: Provider) -> None:
    host = provider.url.removeprefix("http://")
    inside = provider.url.replace("127.0.0.1", "localhost")
    with Web().session(5, guards=Guard(frozenset({host}))) as session:
        assert session.ask(f"{provider.url}/honest/avatar.png").body == PNG
        assert session.ask(f"{provider.url}/moved/userinfo").body == PNG, "the same host may redirect"
    guard = Guard(frozenset({inside.removeprefix("http://")}))
    with Web().session(5, guards=guard) as session, pytest.raises(WebError, match="internal"):
        session.ask(f"{inside}/moved/userinfo")
    assert provider.asked.count("honest/avatar.png") == 2


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads elsewhere when it is looked up again gains nothing: it is looked up once."""
    looked_up: list[str] = []
    answers = ["203.0.113.5", "127.0.0.1"]

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[len(looked_up) - 1], port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with Web().session(5, guards=Guard()) as session, pytest.raises(WebError, match="internal address"):
        session.ask("http://rebinding.example/avatar.png")
    assert looked_up == ["rebinding.example"]


def test_one_internal_address_among_others_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with Web().session(5, guards=Guard()) as session, pytest.raises(WebError, match=r"10\.0\.0\.1"):
        session.ask("http://both.example/")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://8.8.8.8/x", "gopher://8.8.8.8", "data:,x", "//8.8.8.8", "x"]
)
def test_other_schemes_are_no_web(url: str) -> None:
    with Web().session(5) as session, pytest.raises(WebError):
        session.ask(url)


@pytest.mark.parametrize(("how", "why"), [("flood", "more than"), ("packed", "compressed"), ("drip", "time is up")])
def test_answers_have_bounds(provider: Provider, how: str, why: str) -> None:
    with Web().session(1) as session, pytest.raises(WebError, match=why):
        session.ask(f"{provider.url}/{how}/userinfo")


def test_redirects_in_a_circle_end() -> None:
    circle = httpx.MockTransport(lambda request: httpx.Response(302, headers={"Location": str(request.url)}))
    with Session(circle) as session, pytest.raises(WebError, match="redirects"):
        session.ask("https://circle.example/")


def test_a_token_stays_with_its_host() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(302 if len(asked) == 1 else 200, headers={"Location": "https://other.example/"})

    with Session(httpx.MockTransport(answer)) as session:
        session.ask("https://provider.example/userinfo", headers={"Authorization": "Bearer secret"})
    assert [request.headers.get("authorization") for request in asked] == ["Bearer secret", None]
