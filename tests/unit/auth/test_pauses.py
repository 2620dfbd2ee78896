from __future__ import annotations

import pytest

from rowcast.auth.pauses import Attempts, Resends
from rowcast.errors import TooManyRequestsError
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.windows.memory import MemoryWindows

USERS = Collection(id="users", name="users")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def account(number: int = 0) -> Record:
    return Record(USERS, {"id": f"id{number}"})


def test_kinds_and_accounts_wait_apart() -> None:
    resends = Resends(Clock(), MemoryWindows())
    assert resends.begin("verification", account())
    assert not resends.begin("verification", account())
    assert resends.begin("passwordReset", account())
    assert resends.begin("verification", account(1))
    resends.release("verification", account())
    resends.release("verification", account())
    assert resends.begin("verification", account())
    assert not resends.begin("verification", account(1))


def test_waits_end() -> None:
    clock = Clock()
    windows = MemoryWindows()
    resends, attempts = Resends(clock, windows), Attempts(clock, windows)
    assert resends.begin("verification", account())
    for _ in range(5):
        attempts.count(USERS, account().id, "1.2.3.4")
    clock.now += 119.5
    assert not resends.begin("verification", account())
    clock.now += 0.5
    assert resends.begin("verification", account())
    clock.now += 59.5
    with pytest.raises(TooManyRequestsError):
        attempts.count(USERS, account().id, "1.2.3.4")
    clock.now += 0.5
    attempts.count(USERS, account().id, "1.2.3.4")
    assert len(windows) == 2


def test_attempts_count_by_account_and_address() -> None:
    attempts = Attempts(Clock(), MemoryWindows())
    for _ in range(5):
        attempts.count(account().collection, account().id, "1.2.3.4")
    with pytest.raises(TooManyRequestsError):
        attempts.count(account().collection, account().id, "1.2.3.4")
    attempts.count(account().collection, account().id, "1.2.3.5")
    attempts.count(account(1).collection, account(1).id, "1.2.3.4")
