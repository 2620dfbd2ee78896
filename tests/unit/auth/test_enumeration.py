"""Nobody learns who has an account: neither by an answer nor by the work, and so the time, that it takes.

Work is counted, not timed: hashes and comparisons of passwords, statements, records
that are written, mails that are looked up in the background.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from rowcast import credentials
from rowcast.auth import Device
from rowcast.auth.decoys import MemoryDecoys
from rowcast.auth.otp import OTPSignInForm
from rowcast.auth.passwords import PasswordSignInForm
from rowcast.errors import ApiError
from rowcast.records import Records
from rowcast.schema.collection import OTPOptions
from rowcast.schema.fields import PasswordField
from rowcast.schema.request import RequestInfo
from rowcast.storage.sqlite_readers import Statements
from rowcast.storage.sqlite_writer import SQLiteTransaction
from tests.unit.auth.world import HOME, World

KNOWN, UNKNOWN = "a@example.com", "nobody@example.com"
REQUEST = RequestInfo(None, "POST")

Flow = Callable[[World, str], object]


@pytest.fixture
def people(world: World) -> World:
    world.alter("users", otp=OTPOptions(enabled=True, duration=60, length=6))
    otps = world.of("_otps")
    # The lowest cost, for the sake of time.
    fields = tuple(
        msgspec.structs.replace(field, cost=4) if isinstance(field, PasswordField) else field for field in otps.fields
    )
    world.catalog.current = world.catalog.current.replaced(otps.replaced(fields=fields))
    world.user(KNOWN)
    world.mails.is_held = True
    return world


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What was done since the counter was cleared."""
    done: Counter[str] = Counter()

    def counted(owner: Any, name: str, kind: str) -> None:
        call = getattr(owner, name)

        def counting(*args: Any, **options: Any) -> Any:
            done[kind] += 1
            return call(*args, **options)

        monkeypatch.setattr(owner, name, counting)

    counted(credentials, "hash_password", "hashes")
    counted(credentials, "is_password", "comparisons")
    counted(Records, "save", "records")
    for name in ("rows", "row", "value"):
        counted(Statements, name, "reads")
    counted(SQLiteTransaction, "run", "writes")
    return done


def outcome(world: World, flow: Flow, email: str) -> tuple[object, ...]:
    """Return what the client sees; ids and tokens by their length."""
    world.mails.held.clear()
    try:
        answer = flow(world, email)
    except ApiError as error:
        return error.status, error.message, error.data.to_json()
    return (200, len(answer) if isinstance(answer, str) else answer)


def request_otp(world: World, email: str) -> object:
    return world.accounts.otps.request(world.of("users"), email)


def request_reset(world: World, email: str) -> None:
    world.accounts.password_reset.request(world.of("users"), email)


def request_verification(world: World, email: str) -> None:
    world.accounts.verification.request(world.of("users"), email)


def wrong_password(world: World, email: str) -> object:
    form = PasswordSignInForm(email, "wrong")
    return world.accounts.passwords.sign_in(world.of("users"), form, REQUEST, HOME)


@pytest.mark.parametrize("flow", [request_otp, request_reset, request_verification, wrong_password])
def test_answer_and_work_are_those_of_a_known_address(people: World, work: Counter[str], flow: Flow) -> None:
    seen = []
    for email in (KNOWN, UNKNOWN, KNOWN, UNKNOWN):
        work.clear()
        answer = outcome(people, flow, email)
        waiting = len(people.mails.held)
        # Validation of a record reads a few rows more; no password is hashed or compared for it.
        seen.append((answer, waiting, {kind: count for kind, count in work.items() if kind != "reads"}))
    assert seen[0] == seen[1] == seen[2] == seen[3]


@pytest.mark.parametrize("flow", [request_reset, request_verification])
def test_whether_to_mail_is_looked_up_later(people: World, work: Counter[str], flow: Flow) -> None:
    outcome(people, flow, KNOWN)
    assert work == Counter()
    assert people.mails.sent == []
    for write in people.mails.held:
        write()
    assert [mail.to for mail in people.mails.sent] == [KNOWN]


def test_guessing_a_password_that_was_mailed_to_nobody_looks_the_same(people: World, work: Counter[str]) -> None:
    """Five comparisons and wrong answers, then the limit; and elsewhere a new count."""

    def guess(otp_id: str, device: Device = HOME) -> tuple[object, ...]:
        def flow(world: World, _: str) -> object:
            form = OTPSignInForm(otp_id, "wrong")
            return world.accounts.otps.sign_in(world.of("users"), form, REQUEST, device)

        work.clear()
        return *outcome(people, flow, ""), work["comparisons"], work["hashes"]

    courses = []
    for email in (KNOWN, UNKNOWN):
        ids = [str(request_otp(people, email)) for _ in range(2)]
        course = [guess(ids[number % 2]) for number in range(7)]
        courses.append([*course, guess(ids[0], Device("192.0.2.1"))])
    assert courses[0] == courses[1]
    assert [status for status, *_ in courses[1]] == [400] * 5 + [429] * 2 + [400]
    assert [comparisons for *_, comparisons, _ in courses[1]] == [1] * 5 + [0] * 2 + [1]


def test_an_id_that_was_never_given_is_compared_too(people: World, work: Counter[str]) -> None:
    def flow(world: World, _: str) -> object:
        return world.accounts.otps.sign_in(world.of("users"), OTPSignInForm("nope", "1"), REQUEST, HOME)

    for _ in range(6):
        work.clear()
        assert outcome(people, flow, "") == (400, "Invalid or expired OTP.", {})
        assert work["comparisons"] == 1


def test_the_tenth_id_is_given_again(people: World) -> None:
    for email in (KNOWN, UNKNOWN):
        ids = [request_otp(people, email) for _ in range(12)]
        assert len(set(ids)) == 10
        assert ids[9] == ids[10] == ids[11]


def test_ids_given_to_nobody_end(people: World) -> None:
    first = request_otp(people, UNKNOWN)
    people.now += 61
    ids = {request_otp(people, UNKNOWN) for _ in range(10)}
    assert len(ids) == 10
    assert first not in ids
    assert request_otp(people, UNKNOWN) in ids


def test_the_ids_given_to_nobody_are_bounded(people: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowcast.auth.decoys._MOST_KEPT", 5)
    for number in range(20):
        request_otp(people, f"{number % 7}@nowhere.example.com")
    decoys = people.accounts.otps._decoys
    assert isinstance(decoys, MemoryDecoys)
    assert len(decoys._kept) == sum(map(len, decoys._of.values())) == 5
