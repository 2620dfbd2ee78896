"""The log of requests: what is written, when, and what bounds it."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rowcast.admin.activity import ActivityLog
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
        for _ in range(600):
            activity.add(entry())
        async with asyncio.timeout(10):
            while not written(directory):  # noqa: ASYNC110 - a database has no event to await
                await asyncio.sleep(0)
        activity.add(entry())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        activity.add(entry())
        activity.close()

    asyncio.run(scenario())
    assert len(written(directory)) == 602


def test_rows_have_the_time_of_the_request_and_ids_of_their_own() -> None:
    times = [1_700_000_000.0, 1_700_000_000.999_999, 1_700_000_000.123, 1_699_999_999.5, 0.0015]
    rows = list(rows_of([(entry(at=at), LogsSettings()) for at in times]))
    assert [row[4] for row in rows] == [
        "2023-11-14 22:13:20.000Z", "2023-11-14 22:13:20.999Z", "2023-11-14 22:13:20.123Z",
        "2023-11-14 22:13:19.500Z", "1970-01-01 00:00:00.001Z",
    ]  # fmt: skip
    many = [row[0] for _ in range(3) for row in rows_of([(entry(), LogsSettings())] * 1296)]
    assert len(set(many)) == 3 * 1296
    assert all(re.fullmatch("[a-z0-9]{15}", id) for id in many)


def test_addresses_are_shown_as_people_read_them() -> None:
    (row,) = rows_of([(entry(url="/a%20b?x=%ff%C3%A9"), LogsSettings())])
    assert row[2] == "GET /a b?x=\ufffdé"


def test_what_can_not_be_written_waits_and_is_written_later(
    directory: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    activity = log(directory)
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
