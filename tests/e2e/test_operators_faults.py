"""Servers that are killed while they write logs and settings, and a database of logs that somebody else holds."""

from __future__ import annotations

import http.client
import os
import random
import signal
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.client import Api
from tests.e2e.server import Server, make_directory, running, stop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ROUNDS = 4


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    make_directory("rowcast", tmp_path / "pb_data")
    return tmp_path / "pb_data"


def check(data_dir: Path) -> None:
    for name in ("data.db", "auxiliary.db"):
        with closing(sqlite3.connect(data_dir / name)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def save_until_it_dies(server: Server, acknowledged: list[int], saved: threading.Event) -> None:
    """Save ascending numbers in the settings, with requests between that are logged."""
    api = Api(server.url)
    number = acknowledged[-1]
    try:
        api.sign_in()
        while True:
            for _ in range(5):
                api.call("GET", "/api/nothing")
            number += 1
            api.ok("PATCH", "/api/settings", {"meta": {"appName": f"n{number}"}})
            acknowledged.append(number)
            saved.set()
    except (OSError, http.client.HTTPException):
        return


def test_acknowledged_settings_survive_kills(data_dir: Path) -> None:
    seed = random.randrange(1 << 32)  # noqa: S311
    print(f"seed {seed}")  # noqa: T201 - shown where the test fails
    chance, acknowledged = random.Random(seed), [0]  # noqa: S311
    for _ in range(ROUNDS):
        with running("rowcast", data_dir) as server:
            saved = threading.Event()
            writer = threading.Thread(target=save_until_it_dies, args=(server, acknowledged, saved))
            writer.start()
            assert saved.wait(30)
            writer.join(chance.random() / 2)
            os.kill(server.process.pid, signal.SIGKILL)
            writer.join(30)
            stop(server)
        check(data_dir)
        with running("rowcast", data_dir) as server:
            api = Api(server.url)
            api.sign_in()
            # The last save may have been committed without an answer.
            found = int(api.ok("GET", "/api/settings")["meta"]["appName"].removeprefix("n"))
            assert acknowledged[-1] <= found <= acknowledged[-1] + 1


def test_logs_wait_while_another_process_holds_their_database(data_dir: Path) -> None:
    with running("rowcast", data_dir) as server, closing(sqlite3.connect(data_dir / "auxiliary.db")) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        api = Api(server.url)
        for _ in range(1_200):
            assert api.call("GET", "/api/locked")[0] == 404
        other.execute("ROLLBACK")
        assert stop(server) == 0
    check(data_dir)
    with closing(sqlite3.connect(data_dir / "auxiliary.db")) as connection:
        counted = connection.execute("SELECT count(*) FROM _logs WHERE message = 'GET /api/locked'").fetchone()
    assert counted == (1_200,)


def test_two_servers_on_one_directory_lose_no_logs(data_dir: Path) -> None:
    def ask(server: Server) -> None:
        api = Api(server.url)
        for _ in range(1_000):
            api.call("GET", "/api/both")

    with running("rowcast", data_dir) as first, running("rowcast", data_dir) as second:
        askers = [threading.Thread(target=ask, args=(server,)) for server in (first, second)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        assert (stop(first), stop(second)) == (0, 0)
    with closing(sqlite3.connect(data_dir / "auxiliary.db")) as connection:
        assert connection.execute("SELECT count(*) FROM _logs WHERE message = 'GET /api/both'").fetchone() == (2_000,)


def ask_until_it_dies(server: Server, first: int, answered: list[int]) -> None:
    """Ask for ascending numbers, and read the log now and then, which sorts it in."""
    api = Api(server.url)
    try:
        api.sign_in()
        for number in range(first, first + 100_000):
            api.call("GET", f"/api/killed/{number:06d}")
            answered.append(number)
            if number % 300 == 299:
                api.ok("GET", "/api/logs?perPage=1")
    except (OSError, http.client.HTTPException):
        return


def test_a_log_that_is_sorted_in_while_its_server_is_killed_repeats_nothing(data_dir: Path) -> None:
    answered = [0]
    for at in range(ROUNDS):
        with running("rowcast", data_dir) as server:
            # One more may have been asked for than was answered.
            writer = threading.Thread(target=ask_until_it_dies, args=(server, answered[-1] + 2, answered))
            writer.start()
            api = Api(server.url)
            api.sign_in()
            # What is asked for in this round is being written.
            later = quote(f"message > 'GET /api/killed/{answered[-1]:06d}'")
            while not api.ok("GET", f"/api/logs?perPage=1&filter={later}")["items"]:
                assert writer.is_alive()
            threading.Event().wait(at / 20)
            os.kill(server.process.pid, signal.SIGKILL)
            writer.join(30)
            stop(server)
        check(data_dir)
    with running("rowcast", data_dir) as server:
        assert stop(server) == 0
    with closing(sqlite3.connect(data_dir / "auxiliary.db")) as connection:
        found = connection.execute("SELECT message FROM _logs WHERE message LIKE 'GET /api/killed/%' ORDER BY rowid")
        messages = [row[0] for row in found]
        assert connection.execute("SELECT count(*) FROM _rowcast_logs").fetchone() == (0,)
    assert messages == sorted(set(messages))
    assert len(messages) > ROUNDS
