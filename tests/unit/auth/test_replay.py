"""What was mailed works once, also for requests at the same time, and not after the password has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from rowcast.auth.password_reset import NewPasswordForm
from rowcast.credentials import TokenKind
from rowcast.errors import ApiError, BadRequestError
from rowcast.schema.record import Record
from tests.unit.auth.world import HASH, PASSWORD, World, refused

Confirm = Callable[[World, str, str], None]


def confirm_verification(world: World, token: str, _: str) -> None:
    world.accounts.verification.confirm(world.of("users"), token)


def confirm_reset(world: World, token: str, word: str) -> None:
    world.accounts.password_reset.confirm(world.of("users"), NewPasswordForm(token, word, word))


def confirm_email_change(world: World, token: str, _: str) -> None:
    world.accounts.email_change.confirm(world.of("users"), token, PASSWORD)


FLOWS: dict[TokenKind, Confirm] = {
    "verification": confirm_verification,
    "passwordReset": confirm_reset,
    "emailChange": confirm_email_change,
}

ONCE: list[TokenKind] = ["passwordReset", "emailChange"]
"""Verifying again changes nothing, and is as good as the first time."""


@pytest.fixture
def user(world: World) -> Record:
    return world.user()


def mint(world: World, user: Record, kind: TokenKind) -> str:
    claims = {"email": user.text("email")}
    if kind == "emailChange":
        claims["newEmail"] = "new@example.com"
    return world.accounts.tokens.mint(user, kind, claims=claims)


def token_error(call: Callable[[], object]) -> str:
    status, _, data = refused(call)
    found = data["token"]
    assert isinstance(found, dict)
    assert status == 400
    return str(found["code"])


@pytest.mark.parametrize("kind", ONCE)
def test_a_used_token_is_worth_nothing(world: World, user: Record, kind: TokenKind) -> None:
    token = mint(world, user, kind)
    FLOWS[kind](world, token, "another one")
    assert token_error(lambda: FLOWS[kind](world, token, "one more")) == "validation_invalid_token"


@pytest.mark.parametrize("kind", FLOWS)
def test_a_new_password_ends_what_was_mailed_before(world: World, user: Record, kind: TokenKind) -> None:
    token = mint(world, user, kind)
    confirm_reset(world, mint(world, user, "passwordReset"), "another one")
    assert token_error(lambda: FLOWS[kind](world, token, "one more")) == "validation_invalid_token"


@pytest.mark.parametrize("kind", FLOWS)
def test_a_token_ends_with_its_time(world: World, user: Record, kind: TokenKind) -> None:
    token = mint(world, user, kind)
    world.now += 10 * 365 * 86_400
    assert token_error(lambda: FLOWS[kind](world, token, "another one")) == "validation_invalid_token"


@pytest.mark.parametrize("kind", ONCE)
def test_requests_at_once_use_a_token_once(world: World, user: Record, kind: TokenKind) -> None:
    token = mint(world, user, kind)
    barrier, won = threading.Barrier(4), list[str]()

    def run(word: str) -> None:
        barrier.wait()
        try:
            FLOWS[kind](world, token, word)
        except BadRequestError:
            return
        except ApiError as error:
            raise AssertionError(error) from error
        won.append(word)

    threads = [threading.Thread(target=run, args=(f"password {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    if kind == "passwordReset":
        assert world.sign_in(password=won[0])["token"]
        assert world.changed(user)["password"] != HASH
    else:
        assert world.changed(user)["email"] == "new@example.com"
