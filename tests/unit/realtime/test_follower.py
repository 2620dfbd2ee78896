"""Following the log: changes of several writers, whatever comes first, in one order and whole."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rowcast.bus import Answer, Event, Link, LinkCounts, Lost
from rowcast.bus.alone import Alone
from rowcast.bus.memory import MemoryBus
from rowcast.config import SettingsRef
from rowcast.realtime import follower
from rowcast.realtime.captured import Captured
from rowcast.realtime.changelog import ChangeLog, Retention
from rowcast.realtime.follower import Follower
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Message
from rowcast.schema.rows import new_record
from rowcast.storage.directory import DataDir, open_directory
from rowcast.storage.freshness import Freshness


class Near:
    """A link to others who are always there and never hint."""

    name = "near"
    has_others = True

    def __init__(self) -> None:
        self.counts = LinkCounts("near")

    async def open(self, on_hint: Callable[[], None], answer: Answer) -> None: ...

    def hint(self) -> None: ...

    async def ask(self, node: str, question: bytes) -> bytes | None:
        return None

    async def nodes(self) -> list[str]:
        return []

    async def close(self) -> None: ...


class Node:
    """What one process has of a data directory."""

    def __init__(
        self,
        path: Path,
        *,
        wants_state: bool = False,
        retention: Retention | None = None,
        link: Link | None = None,
    ) -> None:
        self.directory: DataDir = open_directory(path)
        self.storage = self.directory.data
        self.catalog = CatalogRef(self.directory.catalog)
        self.log = ChangeLog(self.storage, self.catalog, retention or Retention())
        self.storage.before_commit = self.log.record
        self.bus = MemoryBus()
        self.follower = Follower(
            storage=self.storage,
            log=self.log,
            bus=self.bus,
            link=link or Near(),
            fresh=Freshness(
                self.storage,
                self.catalog,
                SettingsRef(self.directory.settings, self.directory.key),
                load_settings=lambda _: None,
                on_change=lambda _before, _after: None,
            ),
            wants_state=lambda _: wants_state,
        )
        self.storage.publish = self.follower.publish
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


def test_more_than_is_read_at_a_time_arrives_whole(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    names = [f"n{number}" for number in range(1_200)]
    one.write(*names)
    two.follower.catch_up()
    assert two.ids() == names


def test_what_the_hub_has_no_time_for_waits_in_the_log(
    nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_CHANGES", 2)
    monkeypatch.setattr(follower, "_MOST_WAITING", 4)
    one, two = nodes
    names = [f"n{number}" for number in range(20)]
    one.write(*names)
    two.follower.catch_up()
    assert two.bus.backlog == 4
    two.write("own")
    two.follower.catch_up()
    assert two.bus.backlog == 4

    async def read() -> list[str]:
        heard: list[str] = []

        async def reader() -> None:
            while True:
                heard.extend(event.record.id for event in await two.bus.receive() if isinstance(event, Change))

        task = asyncio.create_task(reader())
        while len(heard) < 21:
            two.follower.catch_up()
            assert two.bus.backlog <= 4
            await asyncio.sleep(0)
        task.cancel()
        return heard

    assert asyncio.run(asyncio.wait_for(read(), 20)) == [*names, "own"]


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


def test_who_numbered_alone_goes_on_in_the_log_that_another_begins(tmp_path: Path) -> None:
    one = Node(tmp_path / "pb_data", link=Alone("one"))
    one.write("a", "b", "c")
    assert not one.log.is_stored
    two = Node(tmp_path / "pb_data")
    two.write("d", "e")
    one.follower.catch_up()
    one.write("f")
    two.follower.catch_up()
    heard = one.heard()
    assert not any(isinstance(event, Lost) for event in heard)
    assert [event.record.id for event in heard if isinstance(event, Change)] == ["a", "b", "c", "", "d", "e", "f"]
    assert two.ids() == ["d", "e", "f"]
    assert one.log.end == two.log.end
    for node in (one, two):
        node.directory.close()


def test_a_cursor_that_is_asked_for_after_another_began_the_log_is_one_of_the_log(tmp_path: Path) -> None:
    one = Node(tmp_path / "pb_data", link=Alone("one"))
    one.write("a", "b", "c")
    two = Node(tmp_path / "pb_data")
    start, _ = one.log.start(None)
    with one.storage.read() as reader:
        assert one.log.last(reader) == start == two.log.end
    for node in (one, two):
        node.directory.close()


def test_an_account_that_another_changed_comes_with_its_token_key(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    one.write("a")
    with one.storage.write() as tx:
        tx.run("UPDATE users SET name = 'Ann' WHERE id = 'a'")
        record = new_record(one.users)
        record.values |= {"id": "a", "name": "Ann"}
        tx.changes.append(Change("update", record, new_record(one.users)))
    two.follower.catch_up()
    updated = two.heard()[-1]
    assert isinstance(updated, Change)
    assert updated.record.text("name") == "Ann"
    # Else its streams would count as those of an account whose tokens have ended.
    assert updated.record.text("tokenKey") == "key of a"


def test_what_could_not_be_told_at_once_is_told_soon_after(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    two.write("a")
    held = [one.storage.snapshot() for _ in range(63)]
    with one.storage.budget():
        # What another has committed can't be read first: no snapshot is to be had.
        one.write("b")
    before = one.log.end
    for snapshot in held:
        snapshot.close()
    one.follower.catch_up()
    assert before != one.log.end == two.log.last(one.storage.snapshot())
    assert one.ids() == ["a", "b"]


def test_nothing_is_told_before_the_rules_are_known_that_it_was_written_under(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    with two.storage.write() as tx:
        tx.run("UPDATE _collections SET listRule = NULL, updated = '2099-01-01 00:00:00.000Z' WHERE name = 'users'")
    two.write("a")
    end = one.log.end
    one.write("b")
    assert one.log.end == end
    one.follower.catch_up()
    assert one.ids() == ["a", "b"]
    users = one.catalog.current.find("users")
    assert users is not None
    assert users.list_rule is None


def test_the_state_for_deletes_is_as_new_as_what_this_one_wrote_itself(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    one.write("a")
    two.follower.catch_up()
    two.write("b")
    two.follower.catch_up()
    one.write("a", delete=True)
    two.follower.catch_up()
    deleted = two.heard()[-1]
    assert isinstance(deleted, Change)
    assert deleted.before is not None
    # An old state would keep SQLite's log from being emptied as well.
    assert deleted.before.value("SELECT count(*) FROM users WHERE id IN ('a', 'b')") == 2
    deleted.before.close()


def test_no_state_is_kept_when_the_others_are_gone(tmp_path: Path) -> None:
    link = Near()
    one, two = Node(tmp_path / "pb_data"), Node(tmp_path / "pb_data", link=link)
    one.write("a")
    two.follower.catch_up()
    one.directory.close()
    link.has_others = False
    two.follower.catch_up()
    two.write("b")
    two.storage.checkpoint()
    assert Path(f"{two.storage.path}-wal").stat().st_size == 0
    two.directory.close()


def test_who_asks_for_the_present_gets_what_another_has_committed(nodes: tuple[Node, Node]) -> None:
    one, two = nodes

    async def play() -> None:
        running = asyncio.create_task(one.follower.run())
        await asyncio.sleep(0)
        for number in range(5):
            two.write(f"n{number}")
            await one.follower.reach()
            told = [event.record.id for event in await asyncio.wait_for(one.bus.receive(), 1)]  # type: ignore[union-attr]
            assert told == [f"n{number}"]
        running.cancel()

    asyncio.run(play())


def test_nobody_waits_until_the_log_is_tidied_up(tmp_path: Path) -> None:
    node = Node(tmp_path / "pb_data")
    node.write(*(f"n{number}" for number in range(1500)))
    short = ChangeLog(node.storage, node.catalog, Retention(max_changes=10))
    with node.storage.read() as reader:
        assert len(short.behind(reader, 0, 1500, 2000)) == 1500
    captured = Captured(node.storage)
    captured.is_on = True

    def first() -> int:
        with node.storage.read() as reader:
            return int(reader.value("SELECT min(number) FROM _rowcast_changes") or 0)

    async def play() -> None:
        is_writing, may_end = threading.Event(), threading.Event()

        def write() -> None:
            with node.storage.write():
                is_writing.set()
                may_end.wait(10)

        writing = asyncio.create_task(asyncio.to_thread(write))
        await asyncio.to_thread(is_writing.wait)
        captured.tidy(short)
        tidying = captured.tidying
        captured.tidy(short)
        assert tidying is not None
        assert captured.tidying is tidying
        await asyncio.wait([tidying], timeout=0.05)
        assert not tidying.done()
        before = first()
        may_end.set()
        await asyncio.gather(writing, tidying)
        assert first() > before

    asyncio.run(play())
    node.directory.close()
