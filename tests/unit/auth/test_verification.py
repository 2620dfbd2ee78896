from __future__ import annotations

import pytest

from rowcast.auth.tokens import key_of
from rowcast.credentials import sign
from rowcast.schema.collection import EmailTemplate, PasswordAuthOptions
from rowcast.schema.record import Record
from tests.unit.auth.world import INVALID, PASSWORD, REQUIRED, Refusal, World, refused


@pytest.fixture
def user(world: World) -> Record:
    template = EmailTemplate(subject="Verify", body="token={TOKEN};")
    world.alter("users", verification_template=template)
    return world.user()


def request(world: World, email: str = "a@example.com") -> str:
    world.accounts.verification.request(world.of("users"), email)
    return world.mails.placed("token") if world.mails.sent else ""


def confirm(world: World, token: str, collection: str = "users") -> None:
    world.accounts.verification.confirm(world.of(collection), token)


def code(world: World, token: str, collection: str = "users") -> object:
    status, message, data = refused(lambda: confirm(world, token, collection))
    assert (status, message) == (400, INVALID)
    error = data["token"]
    return error["code"] if isinstance(error, dict) else error


def test_the_mailed_token_verifies(world: World, user: Record) -> None:
    session = world.accounts.tokens.mint_auth(user)
    token = request(world)
    assert world.mails.sent[0].to == "a@example.com"
    confirm(world, token)
    row = world.changed(user)
    assert (row["verified"], row["password"]) == (True, user.text("password"))
    # Nothing was proved twice, so sessions and tokens stay as they are.
    assert world.authenticated(session) == user.id
    confirm(world, token)


def test_without_passwords_the_old_one_ends(world: World, user: Record) -> None:
    world.alter("users", password_auth=PasswordAuthOptions(enabled=False, identity_fields=("email",)))
    token = request(world)
    confirm(world, token)
    row = world.changed(user)
    assert row["verified"] is True
    assert row["password"] != user.text("password")
    assert row["tokenKey"] != user.text("tokenKey")
    assert code(world, token) == "validation_invalid_token"
    world.alter("users", password_auth=PasswordAuthOptions(enabled=True, identity_fields=("email",)))
    assert world.refusal(password=PASSWORD)[1] == "Failed to authenticate."


def test_links_to_providers_end_with_the_proof(world: World, user: Record) -> None:
    world.add("_externalAuths", collectionRef=user.collection.id, recordRef=user.id, provider="google", providerId="1")
    session = world.accounts.tokens.mint_auth(user)
    confirm(world, request(world))
    assert world.rows("_externalAuths") == []
    assert world.authenticated(session) == ""


def test_nobody_learns_who_has_an_account(world: World, user: Record) -> None:
    world.save(world.user("b@example.com"), verified=True)
    for email in ("missing@example.com", "b@example.com"):
        assert request(world, email) == ""
    assert world.mails.sent == []


def test_a_mail_is_sent_once_in_two_minutes(world: World, user: Record) -> None:
    request(world)
    request(world)
    assert len(world.mails.sent) == 1
    world.now += 119
    request(world)
    assert len(world.mails.sent) == 1
    world.now += 2
    request(world)
    assert len(world.mails.sent) == 2


def test_a_confirmed_account_may_ask_again_at_once(world: World, user: Record) -> None:
    confirm(world, request(world))
    world.save(user, verified=False, name="x")
    with world.storage.write() as tx:
        tx.run("UPDATE users SET verified = 0")
    request(world)
    assert len(world.mails.sent) == 2


@pytest.mark.parametrize("email", ["", "nobody", "x" * 300 + "@example.com"])
def test_only_addresses_are_asked_for(world: World, user: Record, email: str) -> None:
    status, message, data = refused(lambda: request(world, email))
    assert (status, message, list(data)) == (400, INVALID, ["email"])


def test_superusers_are_verified(world: World) -> None:
    world.superuser()
    expected: Refusal = (400, "All superusers are verified by default.", {})
    superusers = world.of("_superusers")
    assert refused(lambda: world.accounts.verification.request(superusers, "root@example.com")) == expected
    assert refused(lambda: world.accounts.verification.confirm(superusers, "x")) == expected


def test_bad_tokens_are_refused(world: World, user: Record) -> None:
    token = request(world)
    mint = world.accounts.tokens.mint
    claims = {"email": "a@example.com"}
    assert refused(lambda: confirm(world, "")) == (400, INVALID, {"token": REQUIRED})
    assert code(world, "nonsense") == "validation_invalid_token_claims"
    assert code(world, mint(user, "verification")) == "validation_invalid_token_claims"
    assert code(world, token[:-3] + "abc") == "validation_invalid_token"
    assert code(world, mint(user, "auth", claims=claims)) == "validation_invalid_token"
    assert code(world, mint(user, "passwordReset", claims=claims)) == "validation_invalid_token"
    assert code(world, mint(user, "verification", claims={"email": "b@x.com"})) == "validation_token_email_mismatch"
    expired = {"type": "verification", "id": user.id, "collectionId": user.collection.id, "exp": 1} | claims
    assert code(world, sign(expired, key_of(user, "verification"))) == "validation_invalid_token"
    other = world.of("users").replaced(id="other", name="other")
    status, _, data = refused(lambda: world.accounts.verification.confirm(other, token))
    assert status == 400
    assert "validation_token_collection_mismatch" in str(data)
    assert world.changed(user)["verified"] is False


def test_an_account_that_can_not_be_saved_says_so(world: World, user: Record) -> None:
    token = request(world)
    with world.storage.write() as tx:
        tx.run("CREATE TRIGGER no BEFORE UPDATE ON users BEGIN SELECT RAISE(ABORT, 'no'); END")
    expected: Refusal = (400, "An error occurred while saving the verified state.", {})
    assert refused(lambda: confirm(world, token)) == expected
