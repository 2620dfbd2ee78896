"""The accounts that have streams, and the look-up by their values."""

from __future__ import annotations

import threading

from rowcast.realtime.accounts import Accounts
from rowcast.realtime.stream import Budget, Stream, new_client_id
from rowcast.schema.collection import Collection
from rowcast.schema.fields import TextField
from rowcast.schema.record import Record
from tests.unit.realtime.test_stream import ListSink

TEAM = Collection(
    id="members", name="members", type="auth", fields=(TextField(id="1", name="id"), TextField(id="2", name="team"))
)


class SlowRecord(Record):
    """While its value is read for an index, another account comes."""

    accounts: Accounts
    thread: threading.Thread | None = None

    def text(self, name: str) -> str:
        if self.thread is None and name == "team":
            self.thread = threading.Thread(target=lambda: join(self.accounts, member("late")))
            self.thread.start()
            self.thread.join(0.1)
        return super().text(name)


def member(name: str) -> Record:
    return Record(TEAM, {"id": name, "team": "red"})


def join(accounts: Accounts, record: Record) -> None:
    stream = Stream(ListSink(), new_client_id(), address="", account=accounts.guest, budget=Budget())
    accounts.assign(stream, record)


def test_an_account_that_comes_while_an_index_is_made_is_in_it() -> None:
    accounts = Accounts()
    slow = SlowRecord(TEAM, {"id": "slow", "team": "red"})
    slow.accounts = accounts
    join(accounts, slow)
    slow.thread = None
    accounts.with_value("members", "team", "red")
    assert slow.thread is not None
    slow.thread.join()
    found = accounts.with_value("members", "team", "red")
    assert sorted(account.record.id for account in found if account.record) == ["late", "slow"]


def test_an_index_follows_the_values_of_accounts() -> None:
    accounts = Accounts()
    join(accounts, member("one"))
    [account] = accounts.with_value("members", "team", "red")
    accounts.update(account, Record(TEAM, {"id": "one", "team": "blue"}))
    assert accounts.with_value("members", "team", "red") == ()
    assert accounts.with_value("members", "team", "blue") == (account,)
