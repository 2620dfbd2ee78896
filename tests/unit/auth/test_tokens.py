from __future__ import annotations

from itertools import permutations

import msgspec
import pytest

from rowcast.auth.tokens import Tokens, key_of
from rowcast.credentials import TokenKind, read_claims, sign
from rowcast.errors import InternalError
from rowcast.schema.collection import AuthOptions, TokenOptions
from rowcast.schema.record import Record
from tests.unit.auth.world import World

KINDS: tuple[TokenKind, ...] = ("auth", "file", "verification", "passwordReset", "emailChange")


def found(world: World, token: str, kind: TokenKind = "auth") -> str:
    with world.storage.read() as reader:
        account = world.accounts.tokens.find(reader, token, kind)
    return account.id if account is not None else ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_leads_to_its_account(world: World, kind: TokenKind) -> None:
    user = world.user()
    token = world.accounts.tokens.mint(user, kind)
    assert found(world, token, kind) == user.id
    assert found(world, token, kind) == user.id


@pytest.mark.parametrize(("minted", "asked"), list(permutations(KINDS, 2)))
def test_a_token_of_one_kind_is_none_of_another(world: World, minted: TokenKind, asked: TokenKind) -> None:
    token = world.accounts.tokens.mint(world.user(), minted)
    assert found(world, token, minted)
    assert not found(world, token, asked)


def test_kinds_with_equal_secrets_are_still_apart(world: World) -> None:
    same = TokenOptions(secret="s" * 40, duration=100)
    world.alter("users", auth_token=same, file_token=same)
    user = world.user()
    token = world.accounts.tokens.mint(user, "file")
    assert not found(world, token, "auth")


def test_a_relabelled_token_is_refused(world: World) -> None:
    user = world.user()
    claims = {"type": "auth", "id": user.id, "collectionId": user.collection.id, "exp": int(world.now) + 100}
    assert not found(world, sign(claims, key_of(user, "file")))
    assert found(world, sign(claims, key_of(user, "auth")))


def test_a_token_does_not_pass_for_another_account(world: World) -> None:
    user, other, root = world.user(), world.user("b@example.com"), world.superuser()
    for target in (other, root):
        claims = {"type": "auth", "id": target.id, "collectionId": target.collection.id, "exp": int(world.now) + 100}
        assert not found(world, sign(claims, key_of(user, "auth")))


def test_a_token_does_not_pass_for_the_same_id_of_another_collection(world: World) -> None:
    user = world.user()
    claims = {"type": "auth", "id": user.id, "collectionId": world.of("_superusers").id, "exp": int(world.now) + 100}
    assert not found(world, sign(claims, key_of(user, "auth")))


@pytest.mark.parametrize(
    "changed",
    [
        {"id": ""},
        {"id": "missing"},
        {"collectionId": ""},
        {"collectionId": "users"},
        {"collectionId": "missing"},
        {"collectionId": "_mfas"},
        {"type": ""},
        {"type": "Auth"},
        {"type": "admin"},
        {"exp": 1},
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
    ],
)
def test_odd_claims_are_refused_even_if_signed(world: World, changed: dict[str, object]) -> None:
    user = world.user()
    claims = {"type": "auth", "id": user.id, "collectionId": user.collection.id, "exp": int(world.now) + 100}
    assert found(world, sign(claims, key_of(user, "auth")))
    assert not found(world, sign(claims | changed, key_of(user, "auth")))


def test_tokens_of_records_that_are_no_accounts_are_refused(world: World) -> None:
    user = world.user()
    mfa = world.add("_mfas", collectionRef=user.collection.id, recordRef=user.id, method="password")
    claims = {"type": "auth", "id": mfa.id, "collectionId": mfa.collection.id, "exp": int(world.now) + 100}
    for key in ("", "x", key_of(mfa, "auth")):
        assert not found(world, sign(claims, key))
    with pytest.raises(InternalError):
        world.accounts.tokens.mint(mfa)


def test_a_token_ends_with_its_time(world: World) -> None:
    token = world.accounts.tokens.mint(world.user(), duration_s=60)
    assert found(world, token)
    world.now += 59
    assert found(world, token)
    world.now += 2
    assert not found(world, token)


def test_a_token_lives_as_long_as_the_collection_says(world: World) -> None:
    options = world.of("users").auth
    assert options is not None
    claims = read_claims(world.accounts.tokens.mint(world.user()))
    assert claims is not None
    assert claims.exp == int(world.now) + options.auth_token.duration


@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_new_token_key_ends_tokens_at_once(world: World, is_remembered: bool) -> None:
    user = world.user()
    token = world.accounts.tokens.mint_auth(user)
    if is_remembered:
        assert found(world, token)
    user.refresh_token_key()
    world.save(user)
    assert not found(world, token)
    assert found(world, world.accounts.tokens.mint_auth(user))


@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_new_secret_ends_tokens_at_once(world: World, is_remembered: bool) -> None:
    token = world.accounts.tokens.mint_auth(world.user())
    if is_remembered:
        assert found(world, token)
    world.alter("users", auth_token=TokenOptions(secret="n" * 40, duration=100))
    assert not found(world, token)


def test_a_token_comes_back_with_its_key(world: World) -> None:
    user = world.user()
    old = str(user.values["tokenKey"])
    token = world.accounts.tokens.mint_auth(user)
    assert found(world, token)
    world.save(user, tokenKey="k" * 40)
    assert not found(world, token)
    world.save(user, tokenKey=old)
    assert found(world, token)


@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_deleted_account_has_no_token(world: World, is_remembered: bool) -> None:
    user = world.user()
    token = world.accounts.tokens.mint_auth(user)
    if is_remembered:
        assert found(world, token)
    world.delete(user)
    assert not found(world, token)


def test_a_deleted_collection_has_no_tokens(world: World) -> None:
    token = world.accounts.tokens.mint_auth(world.user())
    assert found(world, token)
    world.catalog.current = world.catalog.current.without(world.of("users").id)
    assert not found(world, token)


def test_the_account_is_read_anew(world: World) -> None:
    user = world.user(name="old")
    token = world.accounts.tokens.mint_auth(user)
    assert found(world, token)
    world.save(user, name="new")
    with world.storage.read() as reader:
        account = world.accounts.authenticate(reader, token)
    assert account is not None
    assert account.text("name") == "new"


def test_an_account_without_any_key_gets_no_token(world: World) -> None:
    user = world.user()
    keyless = Record(user.collection.replaced(auth=AuthOptions()), {**user.values, "tokenKey": ""}, is_new=False)
    assert key_of(keyless, "auth") == ""
    with pytest.raises(InternalError):
        world.accounts.tokens.mint(keyless)


def test_memory_of_tokens_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowcast.auth.tokens._MOST_REMEMBERED", 3)
    user = world.user()
    tokens = Tokens(world.catalog, now=lambda: world.now)
    minted = [tokens.mint(user, duration_s=100 + number) for number in range(8)]
    with world.storage.read() as reader:
        for token in minted:
            assert tokens.find(reader, token) is not None
        assert len(tokens._verified) <= 3
        assert all(tokens.find(reader, token) is not None for token in minted)


def test_refused_tokens_are_not_remembered(world: World) -> None:
    token = world.accounts.tokens.mint_auth(world.user())
    assert not found(world, token + "x")
    assert not found(world, token, "file")
    assert world.accounts.tokens._verified == {}


def test_claims_of_a_kind_are_in_its_token(world: World) -> None:
    user = world.user()
    token = world.accounts.tokens.mint(user, "emailChange", claims={"email": "a@x.com", "newEmail": "b@x.com"})
    claims = read_claims(token)
    assert claims is not None
    assert (claims.type, claims.email, claims.new_email) == ("emailChange", "a@x.com", "b@x.com")
    assert msgspec.structs.asdict(claims)["refreshable"] is False
