from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rowcast.auth import Device
from rowcast.config import Settings
from rowcast.credentials import read_claims
from rowcast.errors import ApiError, ForbiddenError, NotFoundError
from rowcast.schema.collection import MFAOptions
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from tests.unit.auth.world import HOME, World


def decoded(answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(answer)
    return found


def refresh(world: World, user: Record | None, token: str, device: Device = HOME) -> dict[str, Any]:
    return decoded(world.accounts.refresh(RequestInfo(user, "POST"), device, token))


def impersonate(world: World, user: Record, root: Record, duration_s: int = 0) -> dict[str, Any]:
    return decoded(world.accounts.impersonate(user, RequestInfo(root, "POST"), HOME, duration_s))


def test_refresh_gives_a_token_that_lives_longer(world: World) -> None:
    user = world.user()
    token = world.accounts.tokens.mint_auth(user)
    world.now += 1000
    answer = refresh(world, user, token)
    before, after = read_claims(token), read_claims(answer["token"])
    assert before is not None
    assert after is not None
    assert after.ends == before.ends + 1000
    assert after.refreshable is True
    assert (answer["record"]["id"], world.authenticated(answer["token"])) == (user.id, user.id)


def test_refresh_needs_no_second_method_and_tells_nobody(world: World) -> None:
    user = world.user()
    world.alter("users", mfa=MFAOptions(enabled=True, duration=60))
    refresh(world, user, world.accounts.tokens.mint_auth(user), Device("192.0.2.1"))
    assert world.rows("_mfas") == world.rows("_authOrigins") == []


@pytest.mark.parametrize("claims", [{"refreshable": False}, {}, {"refreshable": "true"}])
def test_a_token_that_can_not_be_renewed_comes_back(world: World, claims: dict[str, object]) -> None:
    user = world.user()
    token = world.accounts.tokens.mint(user, claims=claims)
    assert refresh(world, user, token)["token"] == token


def test_refresh_asks_the_auth_rule(world: World) -> None:
    user = world.user()
    token = world.accounts.tokens.mint_auth(user)
    world.alter("users", auth_rule="verified = true")
    user = Record(world.of("users"), user.values, is_new=False)
    with pytest.raises(ForbiddenError, match="collection requirements"):
        refresh(world, user, token)


def test_refresh_without_an_account_is_refused(world: World) -> None:
    with pytest.raises(NotFoundError, match=r"Missing auth record context\."):
        refresh(world, None, "")


def test_refresh_of_superusers_asks_for_their_address(world: World) -> None:
    root = world.superuser()
    world.settings.current = Settings(superuser_ips=("10.0.0.1",))
    with pytest.raises(ForbiddenError, match="not allowed"):
        refresh(world, root, world.accounts.tokens.mint_auth(root))


@pytest.mark.parametrize(("asked", "lives_s"), [(0, None), (-5, None), (100, 100), (10**9, 10**9)])
def test_impersonation_gives_a_token_that_can_not_be_renewed(world: World, asked: int, lives_s: int | None) -> None:
    user, root = world.user(), world.superuser()
    options = world.of("users").auth
    assert options is not None
    answer = impersonate(world, user, root, asked)
    claims = read_claims(answer["token"])
    assert claims is not None
    assert claims.refreshable is False
    assert claims.exp == int(world.now) + (lives_s or options.auth_token.duration)
    assert world.authenticated(answer["token"]) == user.id
    assert answer["record"]["email"] == "a@example.com"


def test_impersonation_passes_the_auth_rule(world: World) -> None:
    user, root = world.user(), world.superuser()
    changed = world.alter("users", auth_rule=None)
    assert impersonate(world, Record(changed, user.values, is_new=False), root)["token"]


def test_accounts_are_found_by_id(world: World) -> None:
    user = world.user()
    assert world.accounts.find(world.of("users"), user.id).id == user.id
    for wrong in ("", "missing", world.superuser().id):
        with pytest.raises(NotFoundError):
            world.accounts.find(world.of("users"), wrong)


@pytest.mark.parametrize("name", ["missing", "_mfas", ""])
def test_only_auth_collections_have_accounts(world: World, name: str) -> None:
    with pytest.raises(ApiError, match="Missing or invalid auth collection context") as raised:
        world.accounts.collection(name)
    assert raised.value.status == 404
    if name == "_mfas":
        with pytest.raises(NotFoundError, match="Missing or invalid auth collection context"):
            world.accounts.methods(world.of(name))


def test_auth_collections_are_found_by_name_and_id(world: World) -> None:
    users = world.of("users")
    assert world.accounts.collection("users") is world.accounts.collection(users.id) is users
