"""Following the log where transactions commit side by side: the present is reached, and no state is left behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rowcast.bus.alone import Alone
from rowcast.bus.memory import MemoryBus
from rowcast.config import SettingsRef
from rowcast.realtime.changelog import ChangeLog, Retention
from rowcast.realtime.follower import Follower
from rowcast.realtime.numbers import ManyWriters
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Logged
from rowcast.schema.rows import new_record
from rowcast.storage import StorageError
from rowcast.storage.directory import open_directory
from rowcast.storage.freshness import Freshness
from tests import postgres
from tests.contract.storages import in_thread
from tests.property import emptied


class Node:
    """What one process has of a database: one connection for states before writes."""

    def __init__(self, path: Path, database: str) -> None:
        separator = "&" if "?" in database else "?"
        self.directory = open_directory(path, database=f"{database}{separator}snapshots=1&pool_timeout=5")
        self.storage = self.directory.data
        catalog = CatalogRef(self.directory.catalog, self.storage.dialect)
        self.log = ChangeLog(self.storage, catalog, Retention(), ManyWriters())
        self.log.settle()
        self.bus = MemoryBus()
        self.follower = Follower(
            storage=self.storage,
            log=self.log,
            bus=self.bus,
            link=Alone("alone"),
            fresh=Freshness(
                self.storage,
                catalog,
                SettingsRef(self.directory.settings, self.directory.key),
                load_settings=lambda _: None,
                on_change=lambda _before, _after: None,
            ),
            wants_state=lambda _: False,
        )
        self.storage.before_commit, self.storage.publish = self.follower.record, self.follower.publish

    def write(self, *names: str) -> None:
        users = self.directory.catalog.find("users")
        assert users is not None
        with self.storage.write() as tx:
            for name in names:
                tx.run('INSERT INTO users (id, email, "tokenKey") VALUES (?, ?, ?)', [name, f"{name}@x.y", name])
                record = new_record(users)
                record.values |= {"id": name}
                tx.changes.append(Change("create", record))

    def delete(self, *names: str) -> None:
        users = self.directory.catalog.find("users")
        assert users is not None
        with self.storage.write() as tx:
            before = tx.before()
            for name in names:
                tx.run("DELETE FROM users WHERE id = ?", [name])
                record = new_record(users)
                record.values |= {"id": name}
                tx.changes.append(Change("delete", record, before=before))

    async def heard(self) -> list[Change]:
        return [event for event in await self.bus.receive() if isinstance(event, Change)]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database that is set up."""
    with emptied.database(tmp_path_factory.mktemp("template") / "pb_data") as found:
        yield found


@pytest.fixture
def database(template: str) -> Iterator[str]:
    found = postgres.new_database(like=template)
    yield found
    postgres.drop_database(found)


@pytest.fixture
def node(tmp_path: Path, database: str) -> Iterator[Node]:
    made = Node(tmp_path / "pb_data", database)
    yield made
    made.directory.close()


@contextmanager
def about_to_commit(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction of somebody else that has a number."""
    with psycopg.connect(database) as other:
        other.execute(f"SELECT pg_advisory_xact_lock_shared({ManyWriters.lock})")
        other.execute("SELECT nextval('_rowcast_numbers')")
        yield other


def test_who_asks_for_the_present_gets_what_is_committed(node: Node) -> None:
    async def play() -> None:
        running = asyncio.create_task(node.follower.run())
        await asyncio.sleep(0)
        for number in range(10):
            node.write(f"n{number}")
            await node.follower.reach()
            assert [change.record.id for change in await asyncio.wait_for(node.heard(), 1)] == [f"n{number}"]
        running.cancel()

    asyncio.run(play())


@pytest.mark.parametrize(("is_busy", "space_s"), [(False, 0.01), (True, 0.05)])
def test_a_burst_of_hints_is_answered_by_few_looks(node: Node, is_busy: bool, space_s: float) -> None:
    async def play() -> None:
        if is_busy:
            # Nobody takes it from the bus.
            node.bus.publish([Change("create", new_record(Collection(id="x")))])
        running = asyncio.create_task(node.follower.run())
        began = time.monotonic()
        for _ in range(100):
            node.follower.hint()
            await asyncio.sleep(0.001)
        looks = sum(node.follower.behind.looks.values())
        assert 1 <= looks <= (time.monotonic() - began) / space_s + 1
        running.cancel()

    asyncio.run(play())


def test_the_present_is_reached_when_what_is_about_to_commit_has(node: Node, database: str) -> None:
    async def play() -> None:
        running = asyncio.create_task(node.follower.run())
        await asyncio.sleep(0)
        with about_to_commit(database) as other:
            node.write("behind")
            reached = asyncio.create_task(node.follower.reach())
            done, _ = await asyncio.wait([reached], timeout=0.3)
            assert not done
            other.rollback()
            await asyncio.wait_for(reached, 5)
        assert [change.record.id for change in await node.heard()] == ["behind"]
        running.cancel()

    asyncio.run(play())


def test_who_waits_for_the_present_waits_no_longer_than_it_is_followed(node: Node, database: str) -> None:
    async def play() -> None:
        running = asyncio.create_task(node.follower.run())
        await asyncio.sleep(0)
        with about_to_commit(database):
            reached = asyncio.create_task(node.follower.reach())
            await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait_for(reached, 5)

    asyncio.run(play())


def test_the_deletes_of_one_transaction_share_the_state_before_it_and_leave_none_behind(node: Node) -> None:
    for number in range(3):
        names = [f"a{number}", f"b{number}"]
        node.write(*names)
        node.delete(*names)
        node.follower.catch_up()
        first, second = (change for change in asyncio.run(node.heard()) if change.action == "delete")
        assert first.before is not None
        assert second.before is not None
        first.before.close()
        assert second.before.value("SELECT count(*) FROM users") == 2
        second.before.close()
        with pytest.raises(StorageError, match="has ended"):
            second.before.value("SELECT 1")


def test_the_log_may_be_read_between_a_commit_and_what_follows_it(node: Node) -> None:
    def read_early(_: list[Logged]) -> None:
        in_thread(node.follower.catch_up)

    for number in range(3):
        node.write(f"n{number}")
        node.storage.publish = read_early
        node.delete(f"n{number}")
        _, deleted = asyncio.run(node.heard())
        assert deleted.before is not None
        assert deleted.before.value("SELECT count(*) FROM users") == 1
        deleted.before.close()
        node.storage.publish = node.follower.publish


def test_a_commit_that_fails_leaves_no_state_behind(node: Node) -> None:
    node.write("kept")
    with node.storage.write() as tx:
        tx.run("CREATE TABLE refers (id text REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED)")
        tx.run("INSERT INTO refers VALUES ('kept')")
    for _ in range(3):
        with pytest.raises(StorageError):
            node.delete("kept")
    node.follower.catch_up()
    assert [change.action for change in asyncio.run(node.heard())] == ["create"]


def test_changes_that_are_lost_leave_no_state_behind(node: Node) -> None:
    for number in range(3):
        node.write(f"n{number}")
        node.delete(f"n{number}")
        with node.storage.write() as tx:
            last = tx.value("SELECT max(number) FROM _rowcast_changes")
            tx.run(
                "INSERT INTO _params (id, value, created, updated) VALUES ('rowcast:changes', ?, '', '')"
                " ON CONFLICT (id) DO UPDATE SET value = excluded.value",
                [str(int(last or 0) - 1)],
            )
            tx.run("DELETE FROM _rowcast_changes WHERE number < ?", [last])
        node.follower.catch_up()
        assert asyncio.run(node.heard()) == []


def test_what_another_process_changed_is_taken_over_while_all_writers_wait_for_a_state(
    tmp_path: Path, database: str
) -> None:
    separator = "&" if "?" in database else "?"
    node = Node(tmp_path / "pb_data", f"{database}{separator}pool_size=2")
    node.write("first", "second")
    node.follower.catch_up()
    # It has the only state, until somebody has heard of it.
    node.delete("first")
    with psycopg.connect(database) as other:
        other.execute("UPDATE _collections SET updated = '2999-01-01 00:00:00.000Z' WHERE name = 'users'")
    with ThreadPoolExecutor(1) as threads:
        deleting = threads.submit(node.delete, "second")
        while not node.storage.connections()["snapshots"].waiting:
            assert not deleting.done()
        node.follower.catch_up()
        *_, first = asyncio.run(node.heard())
        assert (first.action, first.record.id) == ("delete", "first")
        assert first.before is not None
        first.before.close()
        deleting.result()
    node.directory.close()
