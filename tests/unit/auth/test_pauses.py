from __future__ import annotations

import pytest

from rowcast.auth.pauses import Attempts, Resends
from rowcast.errors import TooManyRequestsError
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record

USERS = Collection(id="users", name="users")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def account(number: int = 0) -> Record:
    return Record(USERS, {"id": f"id{number}"})


def test_kinds_and_accounts_wait_apart() -> None:
    resends = Resends(Clock())
    assert resends.begin("verification", account())
    assert not resends.begin("verification", account())
    assert resends.begin("passwordReset", account())
    assert resends.begin("verification", account(1))
    resends.release("verification", account())
    resends.release("verification", account())
    assert resends.begin("verification", account())
    assert not resends.begin("verification", account(1))


@pytest.mark.parametrize("kept", [1, 50])
def test_memory_is_bounded_by_time(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowcast.auth.pauses._MOST_KEPT", kept)
    clock = Clock()
    resends, attempts = Resends(clock), Attempts(clock)
    for number in range(200):
        assert resends.begin("verification", account(number))
        attempts.count(account(number).collection, account(number).id, "1.2.3.4")
        clock.now += 10
    assert len(resends._until) <= max(kept, 13)
    assert len(attempts._made) <= max(kept, 19)


def test_attempts_count_by_account_and_address() -> None:
    attempts = Attempts(Clock())
    for _ in range(5):
        attempts.count(account().collection, account().id, "1.2.3.4")
    with pytest.raises(TooManyRequestsError):
        attempts.count(account().collection, account().id, "1.2.3.4")
    attempts.count(account().collection, account().id, "1.2.3.5")
    attempts.count(account(1).collection, account(1).id, "1.2.3.4")
