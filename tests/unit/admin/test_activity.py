"""The log of requests: what is written, when, and what bounds it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rowcast.admin.activity import ActivityLog, Entry
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
        for _ in range(200):
            activity.add(entry())
        async with asyncio.timeout(10):
            while not written(directory):  # noqa: ASYNC110 - a database has no event to await
                await asyncio.sleep(0)
        activity.add(entry())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert len(written(directory)) == 201
