"""Two servers with Redis between them: what holds when Redis goes and comes back, and wrong settings."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.client import TEXT_FIELD, Api, EventStream
from tests.e2e.server import Server, apart, command, make_directory, running
from tests.redis_server import RedisServer, running_redis

pytestmark = pytest.mark.e2e


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder) as server:
        yield server


@pytest.fixture
def servers(redis: RedisServer, tmp_path: Path) -> Iterator[list[Server]]:
    """Two servers on one data directory."""
    data_dir = tmp_path / "pb_data"
    make_directory("rowcast", data_dir)
    with ExitStack() as stack:
        yield [stack.enter_context(apart(data_dir, redis.url("a"))) for _ in range(2)]


def numbers(stream: EventStream, count: int) -> list[int]:
    return [int(json.loads(stream.frame().partition("\ndata:")[2])["record"]["title"]) for _ in range(count)]


def submit_at(api: Api, stream: EventStream) -> int:
    return api.call("POST", "/api/realtime", {"clientId": stream.client_id, "subscriptions": ["notes/*"]})[0]


def test_nothing_is_lost_while_redis_is_away(redis: RedisServer, servers: list[Server]) -> None:
    apis = [Api(server.url) for server in servers]
    apis[0].sign_in()
    apis[0].create_open_collection("notes", TEXT_FIELD)
    guests = [Api(server.url) for server in servers]
    streams = [EventStream(guest, ["notes/*"]) for guest in guests]

    def write(start: int) -> None:
        for number in range(start, start + 20):
            guests[number % 2].ok("POST", "/api/collections/notes/records", {"title": str(number)})

    write(0)
    redis.send(signal.SIGKILL)
    write(20)
    assert [numbers(stream, 40) for stream in streams] == [list(range(40))] * 2
    late = EventStream(guests[0])
    # The node that holds the stream can't be asked: it counts as gone. Itself it can be.
    assert submit_at(guests[1], late) == 404
    assert submit_at(guests[0], late) == 204
    write(40)
    assert [numbers(stream, 20) for stream in streams] == [list(range(40, 60))] * 2
    assert numbers(late, 20) == list(range(40, 60))
    redis.start()
    other = EventStream(guests[0])
    deadline = time.monotonic() + 15
    while submit_at(guests[1], other) != 204:
        assert time.monotonic() < deadline
    write(60)
    assert [numbers(stream, 20) for stream in (*streams, late, other)] == [list(range(60, 80))] * 4
    assert all(server.output().count("is away") == 1 for server in servers)


def test_a_server_starts_although_redis_is_not_there(redis: RedisServer, tmp_path: Path) -> None:
    redis.send(signal.SIGKILL)
    data_dir = tmp_path / "pb_data"
    make_directory("rowcast", data_dir)
    with running("rowcast", data_dir, options=["--bus", redis.url("a"), "--workers", "2"]) as server:
        api = Api(server.url)
        api.sign_in()
        api.create_open_collection("notes", TEXT_FIELD)
        assert "is away" in server.output()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_wrong_bus_is_told_at_once(tmp_path: Path, workers: str) -> None:
    arguments = ["serve", "--http", "127.0.0.1:0", "--bus", "http://user:secret@host", "--workers", workers]
    ended = subprocess.run(
        [*command("rowcast"), *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "Error: the bus must be a URL like redis://host:6379/0 or rediss://host:6379/0\n"
    assert list(tmp_path.iterdir()) == []
