"""The PostgreSQL driver when the server is killed, frozen or started again, and connections are cut."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from rowcast.schema.record import Position
from rowcast.sql import SQLValue
from rowcast.storage import CHANGES_TABLE, Storage, StorageError, Transaction, UnavailableError
from rowcast.storage.postgres import PostgresStorage
from rowcast.storage.postgres_writer import _Write
from tests.contract.storages import change, create_table, ids, insert
from tests.postgres_server import PostgresServer, running_postgres

pytestmark = pytest.mark.timeout(120)

TIMEOUT_S = 0.5
"""How long a statement may take here; the server is given up some seconds later."""

GIVEN_UP_S = 10.0
AT_ONCE_S = 1.0
BACK_S = 10.0
"""On a machine that does other things as well."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as found:
        yield found


@pytest.fixture
def storage(server: PostgresServer) -> Iterator[Storage]:
    server.run("DROP DATABASE IF EXISTS one WITH (FORCE)")
    server.run("CREATE DATABASE one")
    found = PostgresStorage(f"{server.url('one')}?pool_size=4", query_timeout_s=TIMEOUT_S)
    create_table(found)
    yield found
    found.close()


def refused(storage: Storage) -> float:
    """See that a read is refused; return how long that took, in seconds."""
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="can't be reached"):
        ids(storage)
    return time.monotonic() - began


def back(storage: Storage) -> list[object]:
    """Return what is in the table as soon as it can be read."""
    until = time.monotonic() + BACK_S
    while True:
        try:
            return ids(storage)
        except UnavailableError:
            assert time.monotonic() < until


def test_what_was_committed_is_there_after_a_kill(
    server: PostgresServer, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    insert(storage, "a", "b")
    server.kill()
    assert refused(storage) < GIVEN_UP_S
    # Nobody waits for what is known to be away.
    assert max(refused(storage) for _ in range(5)) < AT_ONCE_S
    with pytest.raises(UnavailableError):
        insert(storage, "c")
    server.start()
    assert back(storage) == ["a", "b"]
    insert(storage, "c")
    assert ids(storage) == ["a", "b", "c"]
    said = [record.getMessage() for record in caplog.records if record.name == "rowcast.storage"]
    assert [text.split()[4] for text in said] == ["away,", "back"]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_cut_connections_are_replaced_unnoticed(server: PostgresServer, storage: Storage) -> None:
    insert(storage, "a")
    for _ in range(3):
        assert server.cut() > 0
        assert ids(storage) == ["a"]


def test_a_write_under_way_fails_when_the_server_dies(server: PostgresServer, storage: Storage) -> None:
    with pytest.raises(UnavailableError), storage.write() as tx:
        tx.run("INSERT INTO t (id, a) VALUES ('a', '')")
        server.kill()
        tx.run("INSERT INTO t (id, a) VALUES ('b', '')")
    server.start()
    assert back(storage) == []


def test_a_frozen_server_is_given_up(server: PostgresServer, storage: Storage) -> None:
    insert(storage, "a")
    server.freeze()
    try:
        assert TIMEOUT_S < refused(storage) < GIVEN_UP_S
        assert max(refused(storage) for _ in range(5)) < AT_ONCE_S
    finally:
        server.thaw()
    assert back(storage) == ["a"]


def test_writers_do_not_wait_one_after_the_other_for_a_frozen_server(server: PostgresServer, storage: Storage) -> None:
    storage.publish = lambda _: None
    together = threading.Barrier(3)

    def write(number: int) -> float:
        with pytest.raises(StorageError), storage.write() as tx:
            tx.run("INSERT INTO t (id, a) VALUES (?, '')", [str(number)])
            tx.on_commit(lambda: None)
            if together.wait(10) == 0:
                server.freeze()
            together.wait(10)
            began = time.monotonic()
        return time.monotonic() - began

    try:
        with ThreadPoolExecutor(3) as threads:
            took_s = list(threads.map(write, range(3)))
    finally:
        server.thaw()
    assert max(took_s) < min(took_s) + 1.5
    assert len(back(storage)) <= 1


@pytest.mark.parametrize("is_committed", [True, False])
def test_what_follows_a_commit_in_doubt_waits_for_the_truth(
    server: PostgresServer, storage: Storage, is_committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed, rolled_back = threading.Event(), threading.Event()
    with storage.write() as tx:
        tx.run(f"CREATE TABLE {CHANGES_TABLE} (number bigint, tag text)")

    def last(tx: Transaction) -> None:
        tx.run(f"INSERT INTO {CHANGES_TABLE} VALUES (1, 'x')")
        tx.changes[0] = replace(tx.changes[0], position=Position(1, "x"))

    number_of = _Write._number

    def last_answer(tx: _Write) -> SQLValue:
        number = number_of(tx)
        server.freeze() if is_committed else server.kill()
        return number

    storage.before_commit = last
    monkeypatch.setattr(_Write, "_number", last_answer)
    with pytest.raises(UnavailableError), storage.write() as tx:
        tx.run("INSERT INTO t (id, a) VALUES ('a', '')")
        tx.changes.append(change("a"))
        tx.on_commit(committed.set)
        tx.on_rollback(rolled_back.set)
    assert not committed.is_set()
    assert not rolled_back.is_set()
    if is_committed:
        # It finds the COMMIT in its socket.
        server.thaw()
    else:
        server.start()
    assert (committed if is_committed else rolled_back).wait(BACK_S)
    assert not (rolled_back if is_committed else committed).is_set()
    assert ids(storage) == (["a"] if is_committed else [])
