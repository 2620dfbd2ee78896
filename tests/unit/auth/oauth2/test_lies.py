"""Providers that lie, hang, flood or answer garbage: a clear refusal, and nothing half-created."""

from __future__ import annotations

import time

import pytest

from rowcast.auth.oauth2 import flow
from tests.oidc_provider import LIES
from tests.unit.auth.oauth2.conftest import Entrance
from tests.unit.auth.world import Refusal, refused

NO_TOKEN: Refusal = (400, "Failed to fetch OAuth2 token.", {})
NO_USER: Refusal = (400, "Failed to fetch OAuth2 user.", {})


def test_an_honest_id_token_is_believed(entrance: Entrance) -> None:
    entrance.by_id_token()
    record = entrance.enter("ada")["record"]
    assert (record["email"], record["verified"]) == ("ada@example.com", True)
    assert "honest/userinfo" not in entrance.provider.asked


@pytest.mark.parametrize("lie", LIES)
def test_an_id_token_that_proves_nothing(entrance: Entrance, lie: str) -> None:
    entrance.by_id_token(lie)
    assert refused(lambda: entrance.enter("ada")) == NO_USER
    assert entrance.world.rows("users") == []


def test_keys_that_can_not_be_fetched(entrance: Entrance) -> None:
    for url in ("http://127.0.0.1:1/jwks", f"{entrance.provider.url}/honest/none", f"{entrance.provider.url}/garbage"):
        entrance.configure(user_info_url="", extra={"jwksURL": url})
        assert refused(lambda: entrance.enter("ada")) == NO_USER


def test_without_keys_the_connection_vouches_for_the_token(entrance: Entrance) -> None:
    # As in the reference: the token comes straight from the provider.
    entrance.configure("wrong_signature", user_info_url="")
    assert entrance.enter("ada")["record"]["email"] == "ada@example.com"
    for lie in ("wrong_aud", "no_aud", "time_is_text", "no_token"):
        entrance.configure(lie, user_info_url="")
        assert refused(lambda: entrance.enter("ada")) == NO_USER


@pytest.mark.parametrize(
    "how", ["garbage", "empty", "nothing", "null", "deep", "number", "page", "packed", "flood", "moved"]
)
def test_broken_answers(entrance: Entrance, how: str) -> None:
    entrance.configure(how)
    assert refused(lambda: entrance.enter("ada")) == NO_TOKEN
    entrance.configure(user_info_url=f"{entrance.provider.url}/{how}/userinfo")
    refusal = refused(lambda: entrance.enter("ada"))
    # An object without an id says nothing of a user; it fails when the account is linked.
    expected = {"nothing", "number"}
    assert refusal == NO_USER or how in expected
    assert entrance.world.rows("users") == []
    assert entrance.links() == []


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_slow_answers_end(entrance: Entrance, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "_SECONDS", 0.5)
    entrance.configure(how)
    started = time.monotonic()
    assert refused(lambda: entrance.enter("ada")) == NO_TOKEN
    entrance.configure(user_info_url=f"{entrance.provider.url}/{how}/userinfo")
    assert refused(lambda: entrance.enter("ada")) == NO_USER
    assert time.monotonic() - started < 10
