from __future__ import annotations

import threading

import pytest

from rowcast.auth import SecondFactorError
from rowcast.auth.origins import Device
from rowcast.errors import BadRequestError
from rowcast.schema.collection import MFAOptions
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from tests.unit.auth.world import HOME, World

EXPIRED = "Invalid or expired MFA session."
FOREIGN = "Invalid MFA session."
SAME = "A different authentication method is required."


@pytest.fixture
def user(world: World) -> Record:
    world.alter("users", mfa=MFAOptions(enabled=True, duration=60))
    return world.user()


def begin(world: World) -> str:
    with pytest.raises(SecondFactorError) as raised:
        world.sign_in()
    return raised.value.mfa_id


def complete(world: World, user: Record, method: str, mfa_id: str) -> bytes:
    return world.accounts.signin.complete(user, RequestInfo(method="POST"), HOME, method, mfa_id=mfa_id)


def test_the_first_method_leaves_a_row(world: World, user: Record) -> None:
    mfa_id = begin(world)
    (row,) = world.rows("_mfas")
    assert (row["id"], row["method"], row["recordRef"]) == (mfa_id, "password", user.id)
    assert row["collectionRef"] == user.collection.id
    assert [(change.action, change.record.collection.name) for change in world.changes[-1:]] == [("create", "_mfas")]
    assert world.rows("_authOrigins") == []


def test_another_method_completes_it_once(world: World, user: Record) -> None:
    mfa_id = begin(world)
    assert b'"token":' in complete(world, user, "otp", mfa_id)
    assert world.rows("_mfas") == []
    with pytest.raises(BadRequestError, match=EXPIRED):
        complete(world, user, "otp", mfa_id)


def test_a_password_completes_what_another_method_began(world: World, user: Record) -> None:
    with pytest.raises(SecondFactorError) as raised:
        complete(world, user, "otp", "")
    assert world.sign_in(mfa_id=raised.value.mfa_id)["record"]["id"] == user.id


def test_the_same_method_is_not_enough(world: World, user: Record) -> None:
    mfa_id = begin(world)
    assert world.refusal(mfa_id=mfa_id) == (400, SAME, {})
    assert len(world.rows("_mfas")) == 1
    assert complete(world, user, "otp", mfa_id)


def test_a_wrong_password_takes_nothing(world: World, user: Record) -> None:
    with pytest.raises(SecondFactorError) as raised:
        complete(world, user, "otp", "")
    mfa_id = raised.value.mfa_id
    assert world.refusal(mfa_id=mfa_id, password="wrong")[1] == "Failed to authenticate."
    assert world.sign_in(mfa_id=mfa_id)["token"]


@pytest.mark.parametrize("mfa_id", ["missing", "' OR 1=1 --", "\x00"])
def test_an_unknown_id_is_refused(world: World, user: Record, mfa_id: str) -> None:
    begin(world)
    with pytest.raises(BadRequestError, match=EXPIRED):
        complete(world, user, "otp", mfa_id)
    assert len(world.rows("_mfas")) == 1


def test_a_foreign_id_is_refused_and_stays(world: World, user: Record) -> None:
    mfa_id = begin(world)
    other = world.user("b@example.com")
    with pytest.raises(BadRequestError, match=FOREIGN):
        complete(world, other, "otp", mfa_id)
    assert complete(world, user, "otp", mfa_id)


def test_an_old_id_is_refused_and_deleted(world: World, user: Record) -> None:
    mfa_id = begin(world)
    world.now += 59
    with pytest.raises(BadRequestError, match=SAME):
        complete(world, user, "password", mfa_id)
    world.now += 2
    with pytest.raises(BadRequestError, match=EXPIRED):
        complete(world, user, "otp", mfa_id)
    assert world.rows("_mfas") == []


def test_two_requests_at_once_complete_it_once(world: World, user: Record) -> None:
    mfa_id = begin(world)
    barrier, outcomes = threading.Barrier(4), list[str]()

    def run() -> None:
        barrier.wait()
        try:
            complete(world, user, "otp", mfa_id)
        except BadRequestError as error:
            outcomes.append(error.message)
        else:
            outcomes.append("signed in")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [EXPIRED] * 3 + ["signed in"]


@pytest.mark.parametrize(
    ("rule", "is_wanted"), [("", True), ("name = ''", True), ("name = 'x'", False), ("email = 'a@example.com'", True)]
)
def test_the_rule_says_who_needs_two_methods(world: World, user: Record, rule: str, is_wanted: bool) -> None:
    world.alter("users", mfa=MFAOptions(enabled=True, duration=60, rule=rule))
    if is_wanted:
        assert begin(world)
    else:
        assert world.sign_in()["record"]["id"] == user.id


def test_a_broken_rule_lets_nobody_in(world: World, user: Record) -> None:
    world.alter("users", mfa=MFAOptions(enabled=True, duration=60, rule="no such field = 1"))
    assert world.refusal() == (400, "Failed to authenticate.", {})


def test_the_auth_rule_comes_first(world: World, user: Record) -> None:
    world.alter("users", auth_rule="verified = true")
    assert world.refusal()[0] == 403
    assert world.rows("_mfas") == []


def test_being_superuser_does_not_spare_the_second_method(world: World, user: Record) -> None:
    with pytest.raises(SecondFactorError):
        world.sign_in(auth=world.superuser())


def test_a_new_password_ends_what_was_begun(world: World, user: Record) -> None:
    begin(world)
    world.save(user, password=world.user("b@example.com").text("password") + " ")
    assert world.rows("_mfas") == []


def test_a_new_place_is_noted_only_after_the_second_method(world: World, user: Record) -> None:
    mfa_id = begin(world)
    complete(world, user, "otp", mfa_id)
    assert [row["fingerprint"] for row in world.rows("_authOrigins")] == [Device("127.0.0.1", "browser").fingerprint]
