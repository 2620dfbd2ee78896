from __future__ import annotations

from typing import Any

import pytest

from rowcast.schema.collection import EmailTemplate
from rowcast.schema.fields import EmailField
from rowcast.schema.record import Record
from tests.unit.auth.world import INVALID, PASSWORD, REQUIRED, Refusal, World, refused

NEW = "new@example.com"


@pytest.fixture
def user(world: World) -> Record:
    world.alter("users", confirm_email_change_template=EmailTemplate(subject="Change", body="token={TOKEN};"))
    return world.user()


def request(world: World, user: Record, email: str = NEW) -> list[bool]:
    reports: list[bool] = []
    world.accounts.email_change.request(user, email, reports.append)
    return reports


def confirm(world: World, token: str, password: str = PASSWORD) -> None:
    world.accounts.email_change.confirm(world.of("users"), token, password)


def codes(world: World, *args: Any) -> dict[str, object]:
    status, message, data = refused(lambda: confirm(world, *args))
    assert (status, message) == (400, INVALID)
    return {name: error["code"] for name, error in data.items() if isinstance(error, dict)}


def test_the_mailed_token_and_the_password_change_the_address_once(world: World, user: Record) -> None:
    session = world.accounts.tokens.mint_auth(user)
    assert request(world, user) == [True]
    (mail,) = world.mails.sent
    assert mail.to == NEW
    token = world.mails.placed("token")
    confirm(world, token)
    row = world.changed(user)
    assert (row["email"], row["verified"]) == (NEW, True)
    assert world.sign_in(NEW)["record"]["id"] == user.id
    assert world.authenticated(session) == ""
    assert codes(world, token) == {"password": "validation_invalid_password", "token": "validation_invalid_token"}


def test_a_mail_that_fails_is_told(world: World, user: Record) -> None:
    world.mails.is_broken = True
    assert request(world, user) == [False]


@pytest.mark.parametrize(
    ("email", "code"),
    [
        ("", "validation_required"),
        ("nobody", "validation_is_email"),
        ("x" * 300 + "@example.com", "validation_length_out_of_range"),
        ("a@example.com", "validation_not_in_invalid"),
        ("b@example.com", "validation_invalid_new_email"),
    ],
)
def test_addresses_that_can_not_be_taken_are_refused(world: World, user: Record, email: str, code: str) -> None:
    world.user("b@example.com")
    status, message, data = refused(lambda: request(world, user, email))
    assert (status, message) == (400, INVALID)
    error = data["newEmail"]
    assert isinstance(error, dict)
    assert error["code"] == code
    assert world.mails.sent == []


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", "validation_required"),
        ("x" * 101, "validation_length_out_of_range"),
        ("wrong", "validation_invalid_password"),
    ],
)
def test_a_wrong_password_changes_nothing(world: World, user: Record, password: str, code: str) -> None:
    request(world, user)
    assert codes(world, world.mails.placed("token"), password) == {"password": code}
    assert world.changed(user)["email"] == "a@example.com"


def test_bad_tokens_are_refused(world: World, user: Record) -> None:
    mint, claims = world.accounts.tokens.mint, {"email": "a@example.com", "newEmail": NEW}
    wrong = {"password": "validation_invalid_password"}
    assert refused(lambda: confirm(world, "", ""))[2] == {"password": REQUIRED, "token": REQUIRED}
    assert codes(world, "nonsense") == {**wrong, "token": "validation_invalid_token_payload"}
    assert codes(world, mint(user, "emailChange")) == {**wrong, "token": "validation_invalid_token_payload"}
    assert codes(world, mint(user, claims=claims)) == {**wrong, "token": "validation_invalid_token"}
    foreign = mint(world.superuser(), "emailChange", claims=claims)
    assert codes(world, foreign) == {**wrong, "token": "validation_token_collection_mismatch"}


def test_an_address_may_be_taken_in_the_meantime(world: World, user: Record) -> None:
    request(world, user)
    world.user(NEW)
    assert codes(world, world.mails.placed("token"))["token"] == "validation_invalid_token_email"


def test_an_address_that_the_field_refuses_is_refused(world: World, user: Record) -> None:
    request(world, user)
    fields = tuple(
        EmailField(name="email", id=field.id, system=True, except_domains=("example.com",))
        if field.name == "email"
        else field
        for field in world.of("users").fields
    )
    world.alter("users", fields=fields)
    status, message, data = refused(lambda: confirm(world, world.mails.placed("token")))
    assert (status, message, list(data)) == (400, "Failed to confirm email change.", ["email"])


def test_superusers_change_their_address_directly(world: World) -> None:
    root = world.superuser()
    expected: Refusal = (400, "All superusers can change their emails directly.", {})
    assert refused(lambda: request(world, root)) == expected
    assert refused(lambda: world.accounts.email_change.confirm(world.of("_superusers"), "x", "x")) == expected
