"""The URL of a bus: what it says, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowcast.bus import LinkError
from rowcast.bus.choice import check, link_of
from rowcast.bus.redis_address import RedisAddress, parse
from rowcast.bus.sockets import SocketLink


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://host", RedisAddress((("host", 6379),))),
        ("redis://127.0.0.1:1/3?prefix=my-app", RedisAddress((("127.0.0.1", 1),), db=3, prefix="my-app")),
        ("redis://[::1]:70/", RedisAddress((("::1", 70),))),
        ("redis://:p%40ss@h", RedisAddress((("h", 6379),), password="p@ss")),
        ("rediss://u%3A:a:b@h", RedisAddress((("h", 6379),), username="u:", password="a:b", is_encrypted=True)),
        (
            "redis://u:p@a,b:7/2?sentinel=main&sentinel-password=s",
            RedisAddress((("a", 26379), ("b", 7)), 2, "u", "p", sentinel="main", sentinel_password="s"),
        ),
        ("redis://a,b:7?cluster=yes", RedisAddress((("a", 6379), ("b", 7)), is_cluster=True)),
    ],
)
def test_what_a_url_says(url: str, address: RedisAddress) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("host:6379", "must be a URL"),
        ("http://host", "must be a URL"),
        ("redis://", "needs a host"),
        ("redis://host:port", "needs a host"),
        ("redis://host:0", "needs a host"),
        ("redis://host:65536", "needs a host"),
        ("redis://a b", "needs a host"),
        ("redis://[::1", "is no URL"),
        ("redis://host/x", "number of a database"),
        ("redis://host/-1", "number of a database"),
        ("redis://host/٣", "number of a database"),
        ("redis://host/99999", "number of a database"),
        ("redis://host?db=1", "unknown option; known are ca, cluster"),
        ("redis://host?prefix", "is no URL"),
        ("redis://host?prefix=", "prefix"),
        ("redis://host?prefix=a:b", "prefix"),
        ("redis://a,b", "several hosts"),
        ("redis://a?sentinel=", "needs the name"),
        ("redis://a/1?cluster=yes", "neither sentinels nor"),
        ("redis://a?cluster=maybe", "yes or no"),
        ("redis://a?ca=/x", "needs rediss"),
        ("rediss://a?ca=/not/there", "is no file"),
    ],
)
def test_what_is_wrong_is_named(url: str, text: str) -> None:
    with pytest.raises(LinkError, match=text):
        parse(url)
    with pytest.raises(LinkError, match=text):
        check(url)


@pytest.mark.parametrize("rest", ["", "x?prefix=a:b", ":x", "/x", "?secretword", "h?secretword=1"])
def test_no_error_tells_a_password(rest: str) -> None:
    with pytest.raises(LinkError) as caught:
        parse(f"redis://user:secretword@{rest}")
    assert "secretword" not in str(caught.value)


def test_what_is_logged_has_no_login() -> None:
    assert str(parse("rediss://user:secret@[::1]:7,host/0?sentinel=main")) == "rediss://[::1]:7,host:26379/0"


def test_without_a_bus_there_are_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    check("")
    assert isinstance(link_of("", tmp_path / "pb_data", "one"), SocketLink)


def test_a_missing_client_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "redis"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "rowcast.bus.redis", raising=False)
    # As an interpreter sees what is not installed.
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(LinkError, match=r"pip install 'rowcast\[redis\]'"):
        check("redis://host")
