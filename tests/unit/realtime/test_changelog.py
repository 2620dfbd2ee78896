"""The log of changes: positions, what is behind them, and what is not known."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowcast.realtime.changelog import ChangeLog, Retention, parse_position
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Position
from rowcast.schema.rows import new_record
from rowcast.storage.directory import DataDir, open_directory


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[DataDir]:
    opened = open_directory(tmp_path / "pb_data")
    yield opened
    opened.close()


def open_log(directory: DataDir, retention: Retention | None = None) -> ChangeLog:
    log = ChangeLog(directory.data, CatalogRef(directory.catalog), retention or Retention())
    directory.data.before_commit = log.record
    directory.data.publish = log.publish
    return log


def users(directory: DataDir) -> Collection:
    found = directory.catalog.find("users")
    assert found is not None
    return found


def write(directory: DataDir, *names: str) -> None:
    """Commit one transaction with a change for each name."""
    with directory.data.write() as tx:
        for name in names:
            record = new_record(users(directory))
            record.values |= {"id": name, "name": name, "tokenKey": "secret", "password": "hash"}
            tx.changes.append(Change("create", record))


def behind(log: ChangeLog, directory: DataDir, position: Position, limit: int = 100) -> list[str] | None:
    with directory.data.read() as reader:
        changes = log.between(reader, position, log.end, limit)
    return None if changes is None else [change.record.id for change in changes]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7-abcdefghij", 7),
        ("A" * 40 + "_7-abcdefghij", 7),
        ("", None),
        ("A" * 40, None),
        ("7", None),
        ("-7-abcdefghij", None),
        ("7-ABCDEFGHIJ", None),
        ("7-abcdefghij\n", None),
        ("9" * 30 + "-abcdefghij", None),
    ],
)
def test_a_position_is_read_alone_or_from_a_client_id(text: str, number: int | None) -> None:
    position = parse_position(text)
    assert (position.number if position else None) == number


def test_nothing_is_added_to_a_directory_before_a_cursor_is_used(directory: DataDir) -> None:
    log = open_log(directory)
    write(directory, "a")
    with directory.data.read() as reader:
        assert reader.value("SELECT count(*) FROM sqlite_schema WHERE name LIKE '_rowcast%'") == 0
    assert log.end.number == 1


def test_changes_behind_a_position_come_in_commit_order(directory: DataDir) -> None:
    log = open_log(directory)
    start, is_resumed = log.start(None)
    assert not is_resumed
    write(directory, "a", "b")
    middle = log.end
    write(directory, "c")
    assert behind(log, directory, start) == ["a", "b", "c"]
    assert behind(log, directory, start, limit=2) == ["a", "b"]
    assert behind(log, directory, middle) == ["c"]
    assert behind(log, directory, log.end) == []


def test_positions_hold_over_a_restart_without_secrets(tmp_path: Path) -> None:
    with_log = open_directory(tmp_path / "pb_data")
    start, _ = open_log(with_log).start(None)
    write(with_log, "a")
    with_log.close()
    again = open_directory(tmp_path / "pb_data")
    log = open_log(again)
    write(again, "b")
    assert log.start(start) == (start, True)
    assert behind(log, again, start) == ["a", "b"]
    with again.data.read() as reader:
        [change, _] = log.between(reader, start, log.end, 10) or []
        rows = reader.rows("SELECT row FROM _rowcast_changes")
    assert change.record.values["name"] == "a"
    assert (change.record.values["tokenKey"], change.record.values["password"]) == ("", "")
    assert not any("secret" in str(row) or "hash" in str(row) for row in rows)
    again.close()


def test_a_position_of_another_directory_or_of_a_replaced_state_is_not_known(directory: DataDir) -> None:
    log = open_log(directory)
    log.start(None)
    write(directory, "a", "b", "c")
    assert log.start(Position(2, "zzzzzzzzzz")) == (log.end, False)
    assert log.start(Position(99, log.end.tag)) == (log.end, False)


def test_a_position_that_is_too_old_is_not_known(directory: DataDir) -> None:
    log = open_log(directory, Retention(max_changes=300))
    start, _ = log.start(None)
    for _ in range(16):
        write(directory, *[f"r{number}" for number in range(100)])
    assert log.start(start) == (log.end, False)
    assert behind(log, directory, start) is None
    with directory.data.read() as reader:
        assert 300 <= int(str(reader.value("SELECT count(*) FROM _rowcast_changes"))) < 1000


def test_a_transaction_that_fails_takes_no_position(directory: DataDir) -> None:
    log = open_log(directory)
    log.start(None)
    write(directory, "a")
    with pytest.raises(ValueError, match="no"), directory.data.write() as tx:
        tx.changes.append(Change("create", new_record(users(directory))))
        raise ValueError("no")
    write(directory, "b")
    assert log.end.number == 2
    assert behind(log, directory, Position(1, log.end.tag)) == ["b"]


def test_what_memory_answers_begins_right_behind_the_position_while_threads_write(directory: DataDir) -> None:
    log = open_log(directory)
    begun: list[tuple[int, int]] = []
    is_done = threading.Event()

    def write_many() -> None:
        for first in range(0, 4_000, 20):
            write(directory, *(f"r{first + index}" for index in range(20)))
        is_done.set()

    def ask() -> None:
        with directory.data.read() as reader:
            while not is_done.is_set():
                start = log._memory_start
                found = log.between(reader, start, log.end, 3)
                if found and found[0].position:
                    begun.append((found[0].position.number, start.number + 1))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=write_many), *(threading.Thread(target=ask) for _ in range(3))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert begun
    assert [pair for pair in begun if pair[0] != pair[1]] == []


def test_a_clock_that_was_set_back_leaves_no_hole(directory: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(directory, Retention(100_000, 3_600))
    log.store()
    now = time.time()
    for at, prefix, commits in ((now + 7_200, "ahead", 1), (now, "right", 1), (now + 5_000, "later", 60)):
        monkeypatch.setattr(time, "time", lambda at=at: at)
        for commit in range(commits):
            write(directory, *(f"{prefix}{commit}.{index}" for index in range(20)))
    found = behind(log, directory, Position(10, log.end.tag), 10_000)
    assert found is None or len(found) == log.end.number - 10
