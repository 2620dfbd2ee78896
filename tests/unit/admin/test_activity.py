"""The log of requests: what is written, when, and what bounds it."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from rowcast.admin.activity import ActivityLog
from rowcast.admin.activity_backlog import BACKLOG_TABLE, Backlog
from rowcast.admin.activity_rows import Entry, rows_of
from rowcast.config import LogsSettings, Settings, SettingsRef
from rowcast.schema import dates
from rowcast.storage.directory import DataDir, open_directory

_NOW = time.time()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[DataDir]:
    opened = open_directory(tmp_path / "pb_data")
    yield opened
    opened.close()


def entry(**changes: object) -> Entry:
    values: dict[str, object] = {
        "at": _NOW,
        "took_s": 0.0015,
        "method": "GET",
        "url": "/api/collections/posts/records?filter=a%3D1",
        "status": 200,
        "auth_collection": "users",
        "auth_id": "u1",
        "user_ip": "10.0.0.1",
        "remote_ip": "127.0.0.1",
        "referer": "",
        "user_agent": "test",
    }
    return Entry(**(values | changes))  # type: ignore[arg-type]


def log(directory: DataDir, **logs: object) -> ActivityLog:
    return ActivityLog(directory.auxiliary, SettingsRef(Settings(logs=msgspec.convert(logs, LogsSettings))))


def written(directory: DataDir) -> list[tuple[object, ...]]:
    with directory.auxiliary.read() as reader:
        return [tuple(row) for row in reader.rows("SELECT level, message, data, created FROM _logs ORDER BY rowid")]


def test_an_entry_is_written_as_the_reference_writes_it(directory: DataDir) -> None:
    activity = log(directory)
    activity.add(entry())
    activity.flush()
    [(level, message, data, created)] = written(directory)
    assert (level, message, created) == (
        0, "GET /api/collections/posts/records?filter=a=1", dates.from_unix(_NOW),
    )  # fmt: skip
    assert json.loads(str(data)) == {
        "auth": "users", "execTime": 1.5, "method": "GET", "referer": "", "status": 200, "type": "request",
        "url": "/api/collections/posts/records?filter=a%3D1", "userAgent": "test",
        "remoteIP": "127.0.0.1", "userIP": "10.0.0.1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "absent", "present"),
    [
        ({"logIP": False}, {"userIP", "remoteIP", "authId"}, {"auth"}),
        ({"logAuthId": True}, set(), {"userIP", "remoteIP", "authId"}),
    ],
)
def test_addresses_and_ids_are_written_only_where_asked_for(
    directory: DataDir, settings: dict[str, object], absent: set[str], present: set[str]
) -> None:
    activity = log(directory, **settings)
    activity.add(entry())
    activity.flush()
    keys = set(json.loads(str(written(directory)[0][2])))
    assert not keys & absent
    assert present <= keys


def test_failures_are_errors_and_the_least_level_holds_back_the_rest(directory: DataDir) -> None:
    activity = log(directory, minLevel=8)
    activity.add(entry())
    activity.add(entry(status=404, error="The requested resource wasn't found."))
    activity.flush()
    assert [row[0] for row in written(directory)] == [8]


def test_the_settings_at_the_time_of_the_request_count(directory: DataDir) -> None:
    settings = SettingsRef(Settings(logs=LogsSettings(log_ip=False, min_level=8)))
    activity = ActivityLog(directory.auxiliary, settings)
    activity.add(entry())
    activity.add(entry(error="no"))
    settings.current = Settings(logs=LogsSettings(log_ip=True))
    activity.add(entry())
    activity.flush()
    assert [(row[0], "userIP" in json.loads(str(row[2]))) for row in written(directory)] == [(8, False), (0, True)]


def test_nothing_is_logged_without_retention(directory: DataDir) -> None:
    assert not log(directory, maxDays=0).is_on
    assert log(directory).is_on


def test_entries_beyond_their_days_are_dropped(directory: DataDir) -> None:
    activity = log(directory, maxDays=1)
    activity.add(entry(at=1_000_000_000.0))
    activity.flush()
    assert written(directory) == []


def test_a_full_batch_is_written_at_once_and_the_rest_at_the_end(directory: DataDir) -> None:
    async def scenario() -> None:
        activity = log(directory)
        task = asyncio.create_task(activity.run())
        for _ in range(2_100):
            activity.add(entry())
        async with asyncio.timeout(10):
            while activity.queued > 1_000:  # noqa: ASYNC110 - the queue has no event to await
                await asyncio.sleep(0)
        activity.add(entry())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        activity.add(entry())
        activity.close()

    asyncio.run(scenario())
    assert len(written(directory)) == 2_102


def test_rows_have_the_time_of_the_request_and_ids_of_their_own() -> None:
    times = [1_700_000_000.0, 1_700_000_000.999_999, 1_700_000_000.123, 1_699_999_999.5, 0.0015]
    rows = list(rows_of([entry(at=at) for at in times]))
    assert [row[4] for row in rows] == [
        "2023-11-14 22:13:20.000Z", "2023-11-14 22:13:20.999Z", "2023-11-14 22:13:20.123Z",
        "2023-11-14 22:13:19.500Z", "1970-01-01 00:00:00.001Z",
    ]  # fmt: skip
    many = [row[0] for row in rows_of([entry()] * 3000)]
    assert len(set(many)) == 3000
    assert all(re.fullmatch("[a-z0-9]{15}", id) for id in many)


def test_addresses_are_shown_as_people_read_them() -> None:
    (row,) = rows_of([entry(url="/a%20b?x=%ff%C3%A9")])
    assert row[2] == "GET /a b?x=\ufffdé"


def test_what_can_not_be_written_waits_and_is_written_later(
    directory: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    activity = log(directory)
    activity.flush()
    with directory.auxiliary.write() as transaction:
        transaction.run("CREATE TRIGGER full BEFORE INSERT ON _logs BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    for at in range(3):
        activity.add(entry(url=f"/{at}"))
        activity.flush()
    assert written(directory) == []
    with directory.auxiliary.write() as transaction:
        transaction.run("DROP TRIGGER full")
    activity.flush()
    assert [row[1] for row in written(directory)] == ["GET /0", "GET /1", "GET /2"]
    assert activity.dropped == 0
    assert [record.getMessage() for record in caplog.records] == [
        "the request log can't be written, so it waits in memory: disk full",
        "the request log is written again; 0 entries are lost",
    ]


def test_the_queue_is_bounded_and_keeps_the_newest(
    directory: DataDir, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rowcast.admin.activity._MAX_QUEUE", 5)
    activity = log(directory)
    activity.flush()
    with directory.auxiliary.write() as transaction:
        transaction.run("CREATE TRIGGER full BEFORE INSERT ON _logs BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    for at in range(8):
        activity.add(entry(url=f"/{at}"))
        activity.flush()
    with directory.auxiliary.write() as transaction:
        transaction.run("DROP TRIGGER full")
    activity.flush()
    assert [row[1] for row in written(directory)] == [f"GET /{at}" for at in range(3, 8)]
    assert activity.dropped == 3
    directory.auxiliary.close()
    activity.add(entry())
    activity.close()
    assert activity.dropped == 4
    assert caplog.records[-1].getMessage() == "1 entries of the request log could not be written before the end"


def test_the_table_is_bounded(directory: DataDir) -> None:
    activity = ActivityLog(directory.auxiliary, SettingsRef(Settings()), max_rows=100)
    for at in range(500):
        activity.add(entry(url=f"/{at}"))
        activity.flush()
        assert len(written(directory)) <= 111
    activity.trim()
    assert [row[1] for row in written(directory)] == [f"GET /{at}" for at in range(400, 500)]


def test_a_second_process_that_writes_loses_nothing(directory: DataDir, tmp_path: Path) -> None:
    other = open_directory(tmp_path / "pb_data")
    logs = [log(directory), ActivityLog(other.auxiliary, SettingsRef(Settings()))]

    def write(activity: ActivityLog) -> None:
        for _ in range(20):
            for _ in range(50):
                activity.add(entry())
            activity.flush()

    threads = [threading.Thread(target=write, args=(activity,)) for activity in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for activity in logs:
        activity.close()
        assert activity.dropped == 0
    other.close()
    assert len(written(directory)) == 2000


def burst(activity: ActivityLog, urls: Sequence[str]) -> None:
    """Have the log write these at once, as a busy server does."""
    for url in urls:
        activity.add(entry(url=url))
    activity.flush()


def waiting(directory: DataDir) -> int:
    with directory.auxiliary.read() as reader:
        return Backlog(directory.auxiliary).count(reader)


def messages(directory: DataDir) -> list[object]:
    return [row[1] for row in written(directory)]


def test_what_a_busy_server_logs_waits_until_somebody_reads(directory: DataDir) -> None:
    activity, urls = log(directory), [f"/{at}" for at in range(30 * 70)]
    for start in range(0, len(urls), 70):
        burst(activity, urls[start : start + 70])
    assert (waiting(directory), messages(directory)) == (len(urls), [])
    activity.settle()
    assert (waiting(directory), messages(directory)) == (0, [f"GET {url}" for url in urls])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"error": "no", "details": {"a": {"code": "c", "message": "é\u2028<"}}, "status": 400},
        {"error": "no", "url": "/%ff\x85\n?\u0000", "user_agent": 'a"b'},
        {"auth_collection": "", "auth_id": ""},
    ],
)
@pytest.mark.parametrize("logs", [{}, {"logIP": False, "logAuthId": True}])
def test_an_entry_that_waited_is_the_row_that_it_would_have_been(
    directory: DataDir, changes: dict[str, object], logs: dict[str, object]
) -> None:
    activity = log(directory, **logs)
    activity.flush()
    activity.add(entry(**changes))
    activity.flush()
    for _ in range(64):
        activity.add(entry(**changes))
    activity.flush()
    assert waiting(directory) == 64
    activity.settle()
    assert len(written(directory)) == 65
    assert len(set(written(directory))) == 1


def test_a_quiet_moment_sorts_in_what_waits(directory: DataDir) -> None:
    activity = log(directory)
    burst(activity, ["/busy"] * 100)
    activity.flush()
    assert (waiting(directory), len(written(directory))) == (0, 100)
    burst(activity, ["/busy"] * 100)
    burst(activity, ["/quiet"])
    assert waiting(directory) == 0
    assert messages(directory)[-2:] == ["GET /busy", "GET /quiet"]


def test_what_can_not_be_sorted_in_is_told_once(directory: DataDir, caplog: pytest.LogCaptureFixture) -> None:
    activity = log(directory)
    burst(activity, ["/busy"] * 100)
    with directory.auxiliary.write() as tx:
        tx.run("CREATE TRIGGER full BEFORE INSERT ON _logs BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    for _ in range(3):
        activity.flush()
    assert [record.getMessage() for record in caplog.records] == ["the request log can't be sorted in: disk full"]
    with directory.auxiliary.write() as tx:
        tx.run("DROP TRIGGER full")
    activity.flush()
    assert (waiting(directory), len(written(directory))) == (0, 100)


def test_what_an_earlier_process_left_is_sorted_in(directory: DataDir) -> None:
    burst(log(directory), ["/before"] * 100)
    assert waiting(directory) == 100
    burst(log(directory), ["/after"])
    assert messages(directory) == ["GET /before"] * 100 + ["GET /after"]


def test_several_that_sort_in_at_once_make_each_row_once(directory: DataDir, tmp_path: Path) -> None:
    activity = log(directory)
    for start in range(0, 3_000, 100):
        burst(activity, [f"/{at}" for at in range(start, start + 100)])
    other = open_directory(tmp_path / "pb_data")
    sorters = [threading.Thread(target=Backlog(one.auxiliary).settle) for one in (directory, other) * 2]
    for sorter in sorters:
        sorter.start()
    for sorter in sorters:
        sorter.join()
    other.close()
    assert sorted(messages(directory), key=str) == sorted(f"GET /{at}" for at in range(3_000))


def test_what_waits_is_bounded_by_number_and_by_time(directory: DataDir) -> None:
    activity = ActivityLog(directory.auxiliary, SettingsRef(Settings()), max_rows=1_000)
    for at in range(30):
        burst(activity, [f"/{at}"] * 100)
        assert waiting(directory) + len(written(directory)) <= 1_200
    activity.trim()
    assert messages(directory) == [f"GET /{at}" for at in range(20, 30) for _ in range(100)]
    for _ in range(100):
        activity.add(entry(at=1_000_000_000.0))
    activity.flush()
    assert waiting(directory) == 100
    activity.trim()
    assert (waiting(directory), len(written(directory))) == (0, 1_000)


def test_entries_that_can_not_be_read_are_told_and_dropped(
    directory: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    activity = log(directory)
    burst(activity, ["/a"] * 100)
    with directory.auxiliary.write() as transaction:
        transaction.run(f"UPDATE {BACKLOG_TABLE} SET entries = '[[1]]'")
    burst(activity, ["/b"] * 100)
    activity.settle()
    assert messages(directory) == ["GET /b"] * 100
    assert [record.getMessage() for record in caplog.records] == [
        "100 entries of the request log can't be read and are dropped"
    ]


def test_a_stop_does_not_wait_for_a_long_backlog(directory: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowcast.admin.activity._SOON_DONE", 150)
    activity = log(directory)
    burst(activity, ["/a"] * 100)
    activity.close()
    assert messages(directory) == ["GET /a"] * 100
    for _ in range(20):
        burst(activity, ["/b"] * 100)
    activity.close()
    assert waiting(directory) > 150
    assert waiting(directory) + len(written(directory)) == 2_100
