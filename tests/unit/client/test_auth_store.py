"""Accounts in memory, in files and in cookies."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from urllib.parse import unquote

import pytest

from rowcast.client import AuthStore, FileAuthStore, Record


def token(**values: object) -> str:
    held = base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")
    return f"e30.{held}.x"


END = 4_000_000_000
TOKEN = token(exp=END, type="auth", id="i")
RECORD = {"id": "i", "email": "ä@example.com", "collectionName": "users", "verified": True, "note": 'a;b"c'}


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        ("", False),
        ("a.b.c", False),
        ("e30.e30.x", False),
        (TOKEN, True),
        (token(type="auth"), True),
        (token(exp=time.time() - 1), False),
        (token(exp=time.time() + 86_400), True),
    ],
    # The times in them differ for each process that collects the tests.
    ids=["none", "no token", "empty", "far end", "no end", "past", "future"],
)
def test_a_token_is_valid_until_it_ends(text: str, is_valid: bool) -> None:
    store = AuthStore()
    store.save(text)
    assert store.is_valid is is_valid


def test_superusers_are_known_by_their_collection() -> None:
    store = AuthStore()
    store.save(TOKEN, {"id": "i", "collectionName": "_superusers"})
    assert store.is_superuser
    store.save(token(type="auth", collectionId="pbc_3142635823"))
    assert store.is_superuser
    store.save(TOKEN, RECORD)
    assert not store.is_superuser


def test_listeners_are_told_until_they_stop() -> None:
    store, told = AuthStore(), []
    stop = store.on_change(lambda text, record: told.append((text, record)), fire_immediately=True)
    store.save("t", RECORD)
    store.clear()
    stop()
    store.save("later")
    assert told == [("", None), ("t", RECORD), ("", None)]
    assert isinstance(told[1][1], Record)


def test_a_cookie_takes_an_account_along() -> None:
    store, other = AuthStore(), AuthStore()
    store.save(TOKEN, RECORD)
    cookie = store.export_to_cookie(domain="example.com")
    pair, *attributes = cookie.split("; ")
    assert attributes == [
        "Domain=example.com",
        "Path=/",
        "Expires=Tue, 02 Oct 2096 07:06:40 GMT",
        "HttpOnly",
        "Secure",
        "SameSite=Strict",
    ]
    other.load_from_cookie(f"theme=dark; {pair}; x")
    assert (other.token, other.record) == (TOKEN, RECORD)


def test_a_long_cookie_keeps_who_it_is() -> None:
    store = AuthStore()
    store.save(TOKEN, {**RECORD, "text": "x" * 5_000})
    cookie = store.export_to_cookie()
    assert len(cookie) < 4_096
    held = json.loads(unquote(cookie.partition("=")[2].partition(";")[0]))
    assert held["record"] == {name: RECORD[name] for name in ("id", "email", "collectionName", "verified")}


@pytest.mark.parametrize("header", ["", "pb_auth", "pb_auth=", "pb_auth=%7B", "pb_auth=[1]", "pb_auth=%ff", "other=1"])
def test_a_cookie_that_holds_nothing_is_a_guests(header: str) -> None:
    store = AuthStore()
    store.save(TOKEN, RECORD)
    store.load_from_cookie(header)
    assert (store.token, store.record) == ("", None)


def test_a_cookie_cannot_be_broken_out_of() -> None:
    with pytest.raises(ValueError, match="cannot stand"):
        AuthStore().export_to_cookie(path="/; Domain=evil")


def test_a_file_keeps_the_account_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    store = FileAuthStore(path)
    assert store.token == ""
    store.save(TOKEN, RECORD)
    assert path.stat().st_mode & 0o777 == 0o600
    again = FileAuthStore(path)
    assert (again.token, again.record) == (TOKEN, RECORD)
    again.clear()
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"token": 1}', b"\xff"])
def test_a_damaged_file_is_a_guests(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "auth.json"
    path.write_bytes(content)
    assert FileAuthStore(path).token == ""
