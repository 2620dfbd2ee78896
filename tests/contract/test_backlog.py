"""The log of requests over every storage driver, with several processes' worth of writers at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowcast.admin.activity import ActivityLog
from rowcast.admin.activity_backlog import Backlog
from rowcast.admin.activity_rows import Entry
from rowcast.config import Settings, SettingsRef
from rowcast.storage import Storage
from rowcast.storage.migrations import create_auxiliary
from rowcast.storage.postgres import PostgresStorage
from rowcast.storage.sqlite import SQLiteStorage
from tests import postgres

_WRITERS, _BURSTS, _EACH = 4, 6, 80


@pytest.fixture(params=["sqlite", "postgres"])
def auxiliaries(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Storage]]:
    """Storages of one new database of each engine, as several processes have them."""
    url = postgres.new_database() if request.param == "postgres" else ""
    opened: list[Storage] = []
    for number in range(_WRITERS):
        opened.append(
            PostgresStorage(url) if url else SQLiteStorage(tmp_path / "auxiliary.db", create=not number)
        )  # fmt: skip
        create_auxiliary(opened[-1])
    yield opened
    for each in opened:
        each.close()
    if url:
        postgres.drop_database(url)


def test_many_that_write_and_sort_in_at_once_lose_and_repeat_nothing(auxiliaries: list[Storage]) -> None:
    def work(number: int, auxiliary: Storage) -> None:
        log = ActivityLog(auxiliary, SettingsRef(Settings()))
        for burst in range(_BURSTS):
            for at in range(_EACH):
                log.add(
                    Entry(time.time(), 0.001, "GET", f"/{number}/{burst}/{at:03d}", 200, "", None, "", "", "", "\x00é")
                )
            log.flush()
            if burst == number:
                Backlog(auxiliary).settle()
        log.close()
        assert log.dropped == 0

    workers = [threading.Thread(target=work, args=each) for each in enumerate(auxiliaries)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with auxiliaries[0].read() as reader:
        rows = reader.rows("SELECT message FROM _logs ORDER BY _rowid_")
    texts = [str(row[0]) for row in rows]
    assert sorted(texts) == sorted(
        f"GET /{number}/{burst}/{at:03d}"
        for number in range(_WRITERS)
        for burst in range(_BURSTS)
        for at in range(_EACH)
    )
    with auxiliaries[0].read() as reader:
        assert Backlog(auxiliaries[0]).count(reader) == 0


def test_an_address_with_a_nul_character_stops_nothing(auxiliaries: list[Storage]) -> None:
    log = ActivityLog(auxiliaries[0], SettingsRef(Settings()))
    for count in (1, 100):
        for _ in range(count):
            log.add(Entry(time.time(), 0.001, "GET", "/a%00b", 200, "", None, "", "", "", ""))
        log.flush()
    log.close()
    assert (log.queued, log.dropped) == (0, 0)
    with auxiliaries[0].read() as reader:
        assert reader.value("SELECT count(*) FROM _logs WHERE message LIKE 'GET /a%'") == 101
