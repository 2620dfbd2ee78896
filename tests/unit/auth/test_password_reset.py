from __future__ import annotations

from typing import Any

import pytest

from rowcast.auth import changes
from rowcast.auth.password_reset import NewPasswordForm
from rowcast.schema.collection import EmailTemplate, PasswordAuthOptions
from rowcast.schema.record import Record
from tests.unit.auth.world import INVALID, PASSWORD, REQUIRED, World, refused

NEW = "another horse"


@pytest.fixture
def user(world: World) -> Record:
    world.alter("users", reset_password_template=EmailTemplate(subject="Reset", body="token={TOKEN};"))
    return world.user()


def request(world: World, email: str = "a@example.com") -> str:
    world.accounts.password_reset.request(world.of("users"), email)
    return world.mails.placed("token") if world.mails.sent else ""


def confirm(world: World, token: str, password: str = NEW, again: str | None = None) -> None:
    form = NewPasswordForm(token, password, password if again is None else again)
    world.accounts.password_reset.confirm(world.of("users"), form)


def codes(world: World, *args: Any) -> dict[str, object]:
    status, message, data = refused(lambda: confirm(world, *args))
    assert (status, message) == (400, INVALID)
    return {name: error["code"] for name, error in data.items() if isinstance(error, dict)}


def test_the_mailed_token_gives_a_new_password_once(world: World, user: Record) -> None:
    session = world.accounts.tokens.mint_auth(user)
    token = request(world)
    confirm(world, token)
    assert world.sign_in(password=NEW)["record"]["id"] == user.id
    assert world.refusal(password=PASSWORD)[1] == "Failed to authenticate."
    assert world.authenticated(session) == ""
    assert codes(world, token) == {"token": "validation_invalid_token"}


def test_the_mail_verifies_the_address(world: World, user: Record) -> None:
    confirm(world, request(world))
    assert world.changed(user)["verified"] is True


def test_a_token_for_a_former_address_verifies_nothing(world: World, user: Record) -> None:
    token = world.accounts.tokens.mint(user, "passwordReset", claims={"email": "old@example.com"})
    confirm(world, token)
    assert world.changed(user)["verified"] is False
    assert world.sign_in(password=NEW)["token"]


@pytest.mark.parametrize(
    ("password", "again", "expected"),
    [
        ("", "", {"password": "validation_required", "passwordConfirm": "validation_required"}),
        ("", NEW, {"password": "validation_required", "passwordConfirm": "validation_values_mismatch"}),
        (NEW, "", {"passwordConfirm": "validation_required"}),
        (NEW, NEW + " ", {"passwordConfirm": "validation_values_mismatch"}),
        ("short", "short", {"password": "validation_length_out_of_range"}),
        ("x" * 256, "x" * 256, {"password": "validation_length_out_of_range"}),
    ],
)
def test_unusable_passwords_are_refused(
    world: World, user: Record, password: str, again: str, expected: dict[str, object]
) -> None:
    token = request(world)
    assert codes(world, token, password, again) == expected
    assert codes(world, "x", password, again) == {**expected, "token": "validation_invalid_token"}
    assert world.sign_in()["token"]


@pytest.mark.parametrize("password", ["x" * 72, "ä" * 71, "ä" * 4])
def test_passwords_that_the_field_refuses_are_refused(world: World, user: Record, password: str) -> None:
    status, message, data = refused(lambda: confirm(world, request(world), password))
    assert (status, message, list(data)) == (400, "Failed to set new password.", ["password"])
    assert world.sign_in()["token"]


def test_nothing_is_hashed_for_a_bad_token(world: World, user: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "hash_for", lambda *_: pytest.fail("hashed"))
    assert codes(world, "nonsense") == {"token": "validation_invalid_token"}


def test_a_token_is_looked_at_again_when_it_is_used(
    world: World, user: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = request(world)
    hash_for = changes.hash_for

    def slow(*args: Any) -> str:
        # Somebody else is quicker.
        monkeypatch.setattr(changes, "hash_for", hash_for)
        confirm(world, token, "quicker horse")
        return hash_for(*args)

    monkeypatch.setattr(changes, "hash_for", slow)
    assert codes(world, token) == {"token": "validation_invalid_token"}
    assert world.sign_in(password="quicker horse")["token"]


def test_bad_tokens_are_refused(world: World, user: Record) -> None:
    mint = world.accounts.tokens.mint
    assert refused(lambda: confirm(world, "")) == (400, INVALID, {"token": REQUIRED})
    for token in (mint(user), mint(user, "verification"), mint(user, "emailChange"), "a.b.c"):
        assert codes(world, token) == {"token": "validation_invalid_token"}
    foreign = mint(world.superuser(), "passwordReset")
    assert codes(world, foreign) == {"token": "validation_token_collection_mismatch"}


def test_nobody_learns_who_has_an_account(world: World, user: Record) -> None:
    assert request(world, "missing@example.com") == ""
    assert world.mails.sent == []


def test_a_mail_is_sent_once_in_two_minutes(world: World, user: Record) -> None:
    token = request(world)
    request(world)
    assert len(world.mails.sent) == 1
    world.now += 121
    request(world)
    assert len(world.mails.sent) == 2
    confirm(world, token)
    request(world)
    assert len(world.mails.sent) == 3


def test_a_mail_that_fails_may_be_asked_for_again(world: World, user: Record) -> None:
    world.mails.is_broken = True
    request(world)
    world.mails.is_broken = False
    request(world)
    assert len(world.mails.sent) == 1


def test_the_installer_gets_no_mail(world: World) -> None:
    world.superuser("__pbinstaller@example.com")
    world.accounts.password_reset.request(world.of("_superusers"), "__pbinstaller@example.com")
    assert world.mails.sent == []


def test_collections_without_passwords_have_none_to_reset(world: World, user: Record) -> None:
    world.alter("users", password_auth=PasswordAuthOptions())
    assert refused(lambda: request(world))[:2] == (
        400,
        "The collection is not configured to allow password authentication.",
    )
