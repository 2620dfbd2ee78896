from __future__ import annotations

import logging
import threading
from typing import Any

import msgspec
import pytest

from rowcast.auth import Device, SecondFactorError, changes
from rowcast.auth.otp import OTPSignInForm
from rowcast.errors import BadRequestError
from rowcast.schema.collection import Collection, EmailTemplate, MFAOptions, OTPOptions
from rowcast.schema.fields import NumberField, PasswordField
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from tests.unit.auth.world import HOME, INVALID, PASSWORD, REQUIRED, Refusal, World, refused

WRONG: Refusal = (400, "Invalid or expired OTP.", {})
TOO_MANY: Refusal = (429, "Too many attempts, please try again later with a new OTP.", {})
TEMPLATE = EmailTemplate(subject="OTP for {APP_NAME}", body="id={OTP_ID}; pass={OTP};")


@pytest.fixture
def user(world: World) -> Record:
    world.alter("users", otp=OTPOptions(enabled=True, duration=60, length=6, email_template=TEMPLATE))
    otps = world.of("_otps")
    # The lowest cost, for the sake of time.
    fields = tuple(
        msgspec.structs.replace(field, cost=4) if isinstance(field, PasswordField) else field for field in otps.fields
    )
    world.catalog.current = world.catalog.current.replaced(otps.replaced(fields=fields))
    return world.user()


def request(world: World, email: str = "a@example.com") -> tuple[str, str]:
    """Return id and password of a new one-time password."""
    otp_id = world.accounts.otps.request(world.of("users"), email)
    return otp_id, world.mails.placed("pass") if world.mails.sent else ""


def sign_in(
    world: World, otp_id: str, password: str, *, device: Device = HOME, mfa_id: str = "", collection: str = "users"
) -> dict[str, Any]:
    answer = world.accounts.otps.sign_in(
        world.of(collection), OTPSignInForm(otp_id, password), RequestInfo(None, "POST", "otp"), device, mfa_id=mfa_id
    )
    found: dict[str, Any] = msgspec.json.decode(answer)
    return found


def test_a_mailed_password_signs_in_once(world: World, user: Record) -> None:
    otp_id, password = request(world)
    assert (len(password), password.isdigit(), world.mails.placed("id")) == (6, True, otp_id)
    (row,) = world.rows("_otps")
    assert (row["id"], row["recordRef"], row["sentTo"]) == (otp_id, user.id, "a@example.com")
    assert row["password"].startswith("$2a$04$")
    assert sign_in(world, otp_id, password)["record"]["id"] == user.id
    assert world.rows("_otps") == []
    assert refused(lambda: sign_in(world, otp_id, password)) == WRONG


@pytest.mark.parametrize(
    ("otp_id", "password", "data"),
    [
        ("", "", {"otpId": REQUIRED, "password": REQUIRED}),
        ("x", "", {"password": REQUIRED}),
        (
            "x" * 256,
            "x" * 72,
            {
                "otpId": {
                    "code": "validation_length_out_of_range",
                    "message": "The length must be between 1 and 255.",
                    "params": {"min": 1, "max": 255},
                },
                "password": {
                    "code": "validation_length_out_of_range",
                    "message": "The length must be between 1 and 71.",
                    "params": {"min": 1, "max": 71},
                },
            },
        ),
    ],
)
def test_unusable_forms_are_refused(
    world: World, user: Record, otp_id: str, password: str, data: dict[str, object]
) -> None:
    assert refused(lambda: sign_in(world, otp_id, password)) == (400, INVALID, data)


@pytest.mark.parametrize("email", ["", "nobody", "x" * 300 + "@example.com"])
def test_only_addresses_are_asked_for(world: World, user: Record, email: str) -> None:
    status, message, data = refused(lambda: request(world, email))
    assert (status, message, list(data)) == (400, INVALID, ["email"])


def test_an_unknown_address_looks_like_a_known_one(world: World, user: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    hash_for = changes.hash_for

    def counted(collection: Collection, password: str) -> str:
        hashed.append("once")
        return hash_for(collection, password)

    monkeypatch.setattr(changes, "hash_for", counted)
    known, _ = request(world)
    unknown, _ = request(world, "b@example.com")
    assert len(known) == len(unknown) == 15
    assert hashed == ["once", "once"]
    assert len(world.mails.sent) == len(world.rows("_otps")) == 1
    assert refused(lambda: sign_in(world, unknown, "123456")) == WRONG


def test_it_must_be_enabled(world: World) -> None:
    refusal: Refusal = (403, "The collection is not configured to allow OTP authentication.", {})
    world.user()
    assert refused(lambda: request(world)) == refusal
    assert refused(lambda: sign_in(world, "x", "x")) == refusal


def test_it_ends_with_its_time(world: World, user: Record) -> None:
    otp_id, password = request(world)
    world.now += 61
    assert refused(lambda: sign_in(world, otp_id, password)) == WRONG


def test_it_is_for_its_collection(world: World, user: Record) -> None:
    options = world.of("users").auth
    assert options is not None
    world.alter("_superusers", otp=options.otp)
    otp_id, password = request(world)
    assert refused(lambda: sign_in(world, otp_id, password, collection="_superusers")) == WRONG


def test_it_is_void_without_its_account(world: World, user: Record) -> None:
    otp_id, password = request(world)
    with world.storage.write() as tx:
        tx.run("DELETE FROM users")
    assert refused(lambda: sign_in(world, otp_id, password)) == WRONG


def test_a_new_token_key_ends_it(world: World, user: Record) -> None:
    request(world)
    user.refresh_token_key()
    world.save(user)
    assert world.rows("_otps") == []


def test_guesses_are_few(world: World, user: Record) -> None:
    first, password = request(world)
    second, _ = request(world)
    for otp_id in (first, second, first, second, first):
        assert refused(lambda otp_id=otp_id: sign_in(world, otp_id, "wrong")) == WRONG  # type: ignore[misc]
    assert refused(lambda: sign_in(world, first, password)) == TOO_MANY
    assert refused(lambda: sign_in(world, second, password)) == TOO_MANY
    # An attacker elsewhere does not lock the owner out.
    assert sign_in(world, first, password, device=Device("192.0.2.1"))["token"]


def test_guesses_are_allowed_again_after_three_minutes(world: World, user: Record) -> None:
    world.alter("users", otp=OTPOptions(enabled=True, duration=600, length=6, email_template=TEMPLATE))
    otp_id, password = request(world)
    for _ in range(5):
        refused(lambda: sign_in(world, otp_id, "wrong"))
    world.now += 179
    assert refused(lambda: sign_in(world, otp_id, password)) == TOO_MANY
    world.now += 2
    assert sign_in(world, otp_id, password)["token"]


def test_the_tenth_request_gives_the_last_password_again(
    world: World, user: Record, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [request(world)[0] for _ in range(10)]
    with world.storage.write() as tx:
        for number, otp_id in enumerate(ids):
            tx.run("UPDATE _otps SET created = replace(created, 'Z', '') || ? WHERE id = ?", [f"{number}Z", otp_id])
    with caplog.at_level(logging.WARNING):
        assert request(world)[0] == ids[-1]
    assert "too many one-time passwords" in caplog.text
    assert len(world.mails.sent) == len(set(ids)) == 10


def test_a_mail_that_fails_takes_its_password_with_it(world: World, user: Record) -> None:
    world.mails.is_broken = True
    assert len(world.accounts.otps.request(world.of("users"), "a@example.com")) == 15
    assert world.rows("_otps") == []


def test_the_mail_may_leave_after_the_password_was_used(world: World, user: Record) -> None:
    otps = world.accounts.otps
    otps._note_sent("gone", "a@example.com")
    otps._forget("gone")
    assert world.rows("_otps") == []


@pytest.mark.parametrize("is_mfa", [False, True])
def test_the_mail_verifies_the_address(world: World, user: Record, is_mfa: bool) -> None:
    world.alter("users", mfa=MFAOptions(enabled=is_mfa, duration=60))
    old = world.accounts.tokens.mint_auth(user)
    otp_id, password = request(world)
    try:
        answer = sign_in(world, otp_id, password)
    except SecondFactorError:
        answer = {}
    row = world.changed(user)
    assert row["verified"] is True
    if is_mfa:
        assert row["password"] == user.text("password")
        assert world.authenticated(old) == user.id
    else:
        # Whoever registered the address before its owner came must stay outside.
        assert world.refusal(password=PASSWORD)[1] == "Failed to authenticate."
        assert world.authenticated(old) == ""
        assert world.authenticated(answer["token"]) == user.id
        assert answer["record"]["verified"] is True


@pytest.mark.parametrize("sent_to", ["", "b@example.com"])
def test_another_way_verifies_nothing(world: World, user: Record, sent_to: str) -> None:
    otp_id, password = request(world)
    with world.storage.write() as tx:
        tx.run("UPDATE _otps SET sentTo = ?", [sent_to])
    assert sign_in(world, otp_id, password)["record"]["verified"] is False
    assert world.changed(user)["password"] == user.text("password")


def test_an_account_that_can_not_be_saved_is_signed_in_all_the_same(
    world: World, user: Record, caplog: pytest.LogCaptureFixture
) -> None:
    otp_id, password = request(world)
    with world.storage.write() as tx:
        tx.run("ALTER TABLE users ADD COLUMN rank NUMERIC DEFAULT 0 NOT NULL")
    users = world.of("users")
    world.alter("users", fields=(*users.fields, NumberField(name="rank", min=5, required=True)))
    with caplog.at_level(logging.WARNING):
        assert sign_in(world, otp_id, password)["record"]["verified"] is False
    assert "verified state" in caplog.text
    assert world.rows("_otps") == []


def test_two_requests_at_once_sign_in_once(world: World, user: Record) -> None:
    otp_id, password = request(world)
    barrier, outcomes = threading.Barrier(4), list[str]()

    def run() -> None:
        barrier.wait()
        try:
            sign_in(world, otp_id, password)
        except BadRequestError as error:
            outcomes.append(error.message)
        else:
            outcomes.append("signed in")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["Invalid or expired OTP."] * 3 + ["signed in"]


def test_it_goes_with_a_password_as_second_method(world: World, user: Record) -> None:
    world.alter("users", mfa=MFAOptions(enabled=True, duration=60))
    with pytest.raises(SecondFactorError) as raised:
        world.sign_in()
    otp_id, password = request(world)
    assert sign_in(world, otp_id, password, mfa_id=raised.value.mfa_id)["record"]["id"] == user.id
