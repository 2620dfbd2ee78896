"""What clients see while PostgreSQL is away: a clear answer, open streams, and everything again when it is back."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.client import TEXT_FIELD, Api, EventStream
from tests.e2e.server import Server, running, upsert_superuser
from tests.postgres_server import PostgresServer, running_postgres

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

RECORDS = "/api/collections/notes/records"
AWAY = {"data": {}, "message": "The database can't be reached. Please try again.", "status": 503}

ANSWERED_S = 8.0
BACK_S = 10.0
"""On a machine that does other things as well."""


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with running_postgres() as found:
        yield found


@pytest.fixture(scope="module")
def server(database: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data_dir = tmp_path_factory.mktemp("faults") / "pb_data"
    (data_dir.parent / f"{data_dir.name}.database").write_text(database.url())
    upsert_superuser("postgres", data_dir)
    with running("postgres", data_dir, options=["--queryTimeout", "2"]) as started:
        api = Api(started.url)
        api.sign_in()
        api.create_open_collection("notes", TEXT_FIELD)
        yield started


def requests(stream: EventStream, known: str) -> dict[str, tuple[str, str, object]]:
    return {
        "list": ("GET", RECORDS, None),
        "filtered list": ("GET", f"{RECORDS}?filter=title='x'&sort=-title", None),
        "view": ("GET", f"{RECORDS}/{known}", None),
        "create": ("POST", RECORDS, {"title": "never"}),
        "update": ("PATCH", f"{RECORDS}/{known}", {"title": "never"}),
        "delete": ("DELETE", f"{RECORDS}/{known}", None),
        "sign-in": (
            "POST",
            "/api/collections/users/auth-with-password",
            {"identity": "a@b.cd", "password": "12345678"},
        ),
        "topics": ("POST", "/api/realtime", {"clientId": stream.client_id, "subscriptions": ["notes/*"]}),
        "stream with a cursor": ("GET", "/api/realtime?cursor=5-aaaaaaaaaa", None),
        "settings": ("GET", "/api/settings", None),
        "collections": ("PATCH", "/api/collections/notes", {"listRule": ""}),
        "logs": ("GET", "/api/logs", None),
        "messages": ("POST", "/api/realtime/publish", {"topic": "news", "data": 1}),
    }


def back(api: Api) -> str:
    """Write as soon as that can be done; return the id."""
    until = time.monotonic() + BACK_S
    while True:
        status, data = api.call("POST", RECORDS, {"title": "after"})
        if status == 200:
            return str(data["id"])
        assert (status, data) == (503, AWAY)
        assert time.monotonic() < until


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        pytest.param(PostgresServer.kill, PostgresServer.start, id="killed"),
        pytest.param(PostgresServer.freeze, PostgresServer.thaw, id="frozen"),
    ],
)
def test_requests_are_refused_and_streams_stay_open(
    server: Server,
    database: PostgresServer,
    begin: Callable[[PostgresServer], None],
    end: Callable[[PostgresServer], None],
) -> None:
    root, guest = Api(server.url), Api(server.url)
    root.sign_in()
    known = str(guest.ok("POST", RECORDS, {"title": "before"})["id"])
    streams = [
        EventStream(guest, ["notes/*"]),
        EventStream(guest, ["notes/*"], query="?cursor="),
        EventStream(root, ["notes/*"]),
    ]
    begin(database)
    try:
        took_s = {}
        for name, (method, path, body) in requests(streams[2], known).items():
            began = time.monotonic()
            api = guest if name == "stream with a cursor" else root
            assert api.call(method, path, body) == (503, AWAY), name
            took_s[name] = time.monotonic() - began
        first, *others = took_s.values()
        assert first < ANSWERED_S
        assert max(others) < 2.0, took_s
        # Nobody must restart the server for it.
        assert guest.call("GET", "/api/health")[0] == 200
    finally:
        end(database)
    made = back(root)
    for stream in streams:
        assert event(stream)["record"]["id"] == made
    assert guest.ok("GET", f"{RECORDS}/{known}")["title"] == "before"
    assert "Traceback" not in server.output()


def event(stream: EventStream) -> Any:
    """The data of the next event of a record."""
    while True:
        frame = stream.frame()
        if "\nevent:notes/*" in frame:
            return json.loads(frame.partition("\ndata:")[2])


def test_a_stop_does_not_wait_for_a_frozen_database(database: PostgresServer, tmp_path: Path) -> None:
    data_dir = tmp_path / "pb_data"
    database.run("CREATE DATABASE other")
    (tmp_path / "pb_data.database").write_text(database.url("other"))
    upsert_superuser("postgres", data_dir)
    with running("postgres", data_dir, options=["--queryTimeout", "1"]) as server:
        database.freeze()
        try:
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(30) == 0
            took_s = time.monotonic() - began
        finally:
            database.thaw()
    # Some ask one after the other; nobody for half a minute.
    assert took_s < 20.0


def test_a_write_whose_connection_is_cut_is_refused_as_any_other(server: Server, database: PostgresServer) -> None:
    api = Api(server.url)
    back(api)
    answers: list[tuple[int, Any]] = []
    writer = threading.Thread(target=lambda: answers.append(api.call("POST", RECORDS, {"id": "a" * 15, "title": "x"})))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'rowcast'"
    with psycopg.connect(database.url()) as other, psycopg.connect(database.url(), autocommit=True) as looking:
        # The same id, not committed yet: the INSERT of the request waits for it.
        other.execute("INSERT INTO notes (id, title) VALUES ('aaaaaaaaaaaaaaa', 'first')")
        writer.start()
        until = time.monotonic() + BACK_S
        while looking.execute(waiting).fetchone() == (0,):
            assert time.monotonic() < until
        database.cut()
        writer.join(BACK_S)
        other.rollback()
    assert answers == [(503, AWAY)]
