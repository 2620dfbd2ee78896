"""Following the log: changes of several writers, whatever comes first, in one order and whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rowcast.bus import Answer, Event, Lost
from rowcast.bus.memory import MemoryBus
from rowcast.realtime.changelog import ChangeLog, Retention
from rowcast.realtime.follower import Follower
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Logged, Message
from rowcast.schema.rows import new_record
from rowcast.storage import StorageError, Transaction
from rowcast.storage.directory import DataDir, open_directory


class Near:
    """A link to others who are always there and never hint."""

    name = "near"
    has_others = True

    async def open(self, on_hint: Callable[[], None], answer: Answer) -> None: ...

    def hint(self) -> None: ...

    async def ask(self, node: str, question: bytes) -> bytes | None:
        return None

    async def nodes(self) -> list[str]:
        return []

    async def close(self) -> None: ...


class Node:
    """What one process has of a data directory."""

    def __init__(self, path: Path, *, wants_state: bool = False, retention: Retention | None = None) -> None:
        self.directory: DataDir = open_directory(path)
        self.storage = self.directory.data
        self.log = ChangeLog(self.storage, CatalogRef(self.directory.catalog), retention or Retention())
        self.bus = MemoryBus()
        self.follower = Follower(
            storage=self.storage,
            log=self.log,
            bus=self.bus,
            link=Near(),
            refresh=lambda: None,
            wants_state=lambda _: wants_state,
        )
        self.storage.before_commit, self.storage.publish = self.follower.record, self.follower.publish
        self.follower.catch_up()

    @property
    def users(self) -> Collection:
        found = self.directory.catalog.find("users")
        assert found is not None
        return found

    def write(self, *names: str, delete: bool = False) -> None:
        with self.storage.write() as tx:
            for name in names:
                record = new_record(self.users)
                record.values |= {"id": name}
                if delete:
                    tx.run("DELETE FROM users WHERE id = ?", [name])
                else:
                    row = [name, f"{name}@example.com", f"key of {name}"]
                    tx.run("INSERT INTO users (id, email, tokenKey) VALUES (?, ?, ?)", row)
                tx.changes.append(Change("delete" if delete else "create", record))

    def heard(self) -> list[Event]:
        return asyncio.run(self.bus.receive())

    def ids(self) -> list[str]:
        return [event.record.id for event in self.heard() if isinstance(event, Change)]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    pair = Node(tmp_path / "pb_data"), Node(tmp_path / "pb_data", wants_state=True)
    yield pair
    for node in pair:
        node.directory.close()


def test_changes_of_another_come_before_those_that_were_committed_after_them(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    one.write("a", "b")
    two.write("c")
    one.write("d")
    two.follower.catch_up()
    one.follower.catch_up()
    assert one.ids() == two.ids() == ["a", "b", "c", "d"]
    assert one.log.end == two.log.end


def test_nothing_is_told_twice(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    one.write("a")
    two.follower.catch_up()
    two.follower.catch_up()
    two.write("b")
    two.follower.catch_up()
    assert two.ids() == ["a", "b"]


def test_a_commit_that_is_not_published_yet_is_not_read_from_the_log(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    heard: list[list[str]] = []

    def publish(changes: list[Logged]) -> None:
        one.follower.catch_up()
        two.write("b")
        heard.append([*two.ids()])
        one.follower.catch_up()
        one.follower.publish(changes)

    one.storage.publish = publish
    one.write("a")
    one.storage.publish = one.follower.publish
    one.write("c")
    two.follower.catch_up()
    assert heard == [["a", "b"]]
    assert one.ids() == [*heard[0], *two.ids()] == ["a", "b", "c"]


def test_a_commit_that_fails_keeps_nobody_from_the_log(nodes: tuple[Node, Node]) -> None:
    one, two = nodes

    def fail(tx: Transaction) -> None:
        one.follower.record(tx)
        raise StorageError("the disk is full")

    one.storage.before_commit = fail
    with pytest.raises(StorageError):
        one.write("a")
    two.write("b")
    one.follower.catch_up()
    assert one.ids() == ["b"]


def test_more_than_is_read_at_a_time_arrives_whole(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    names = [f"n{number}" for number in range(1_200)]
    one.write(*names)
    two.follower.catch_up()
    assert two.ids() == names


def test_messages_have_their_place_among_the_changes(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    one.write("a")
    with one.storage.write() as tx:
        tx.changes.append(Message("news", b'"hello"'))
    one.write("b")
    two.follower.catch_up()
    heard = [event.topic if isinstance(event, Message) else event.record.id for event in two.heard()]  # type: ignore[union-attr]
    assert heard == ["a", "news", "b"]


def test_a_delete_of_another_carries_the_state_before_it(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    one.write("a")
    two.follower.catch_up()
    one.write("a", delete=True)
    two.follower.catch_up()
    deleted = two.heard()[-1]
    assert isinstance(deleted, Change)
    assert deleted.before is not None
    assert deleted.before.value("SELECT count(*) FROM users WHERE id = 'a'") == 1
    deleted.before.close()
    with two.storage.read() as reader:
        assert reader.value("SELECT count(*) FROM users WHERE id = 'a'") == 0


def test_what_is_gone_from_the_log_is_told_as_lost(tmp_path: Path) -> None:
    one, two = Node(tmp_path / "pb_data", retention=Retention(max_changes=10)), Node(tmp_path / "pb_data")
    one.write("a")
    for batch in range(12):
        one.write(*[f"n{batch}x{number}" for number in range(100)])
    two.follower.catch_up()
    heard = two.heard()
    assert isinstance(heard[0], Lost)
    numbers = [event.position.number for event in heard if event.position is not None]  # type: ignore[union-attr]
    assert numbers == list(range(numbers[0], one.log.end.number + 1))
    for node in (one, two):
        node.directory.close()


def test_a_log_that_another_begins_to_store_is_stored_here_too(tmp_path: Path) -> None:
    first = open_directory(tmp_path / "pb_data")
    log = ChangeLog(first.data, CatalogRef(first.catalog), Retention())
    first.data.before_commit, first.data.publish = log.record, log.publish
    users = first.catalog.find("users")
    assert users is not None
    second = Node(tmp_path / "pb_data")
    with first.data.write() as tx:
        tx.changes.append(Change("create", new_record(users)))
    assert log.is_stored
    second.follower.catch_up()
    assert len(second.ids()) == 1
    first.close()
    second.directory.close()
