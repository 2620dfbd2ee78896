"""`rowcast serve --workers`: several processes on one port, one of which may die at any time."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rowcast.bus.sockets import folder_of
from tests.e2e.client import TEXT_FIELD, Api, EventStream
from tests.e2e.server import Server, make_directory, running, stop

pytestmark = pytest.mark.e2e

WORKERS = 3


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    data_dir = tmp_path / "pb_data"
    make_directory("rowcast", data_dir)
    with running("rowcast", data_dir, options=["--workers", str(WORKERS)]) as server:
        # One answers already; the others are waited for by what they hold.
        seen: set[str] = set()
        while len(seen) < WORKERS:
            stream = EventStream(Api(server.url))
            seen |= holders(server, [stream])
            stream.socket.close()
        yield server


def children(server: Server) -> set[int]:
    """The processes of the workers."""
    pid = server.process.pid
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def holders(server: Server, streams: list[EventStream]) -> set[str]:
    """The names of the nodes that hold streams."""
    return {stream.client_id[32:40] for stream in streams}


def event(stream: EventStream) -> dict[str, object]:
    found: dict[str, object] = json.loads(stream.frame().partition("\ndata:")[2])
    return found


def signed_in(server: Server) -> Api:
    api = Api(server.url)
    api.sign_in()
    api.create_open_collection("notes", TEXT_FIELD)
    return api


def test_all_workers_hold_streams_that_hear_all_writers_in_one_order(server: Server) -> None:
    signed_in(server)
    # A new connection each, so that the kernel chooses the worker of each request.
    streams = [EventStream(Api(server.url), ["notes/*"]) for _ in range(24)]
    assert len(holders(server, streams)) == WORKERS

    def write(name: int) -> None:
        api = Api(server.url)
        for number in range(20):
            api.ok("POST", "/api/collections/notes/records", {"title": f"{name} {number}"})

    threads = [threading.Thread(target=write, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heard = [[stream.frame().partition("\ndata:")[2] for _ in range(120)] for stream in streams]
    assert all(each == heard[0] for each in heard)


def test_a_worker_that_dies_is_replaced_and_its_clients_come_back_without_loss(server: Server) -> None:
    api = signed_in(server)
    before = children(server)
    assert len(before) == WORKERS
    streams = [EventStream(Api(server.url), ["notes/*"], query="?cursor=") for _ in range(12)]
    api.ok("POST", "/api/collections/notes/records", {"title": "first"})
    cursors = [event(stream)["cursor"] for stream in streams]
    victim = sorted(before)[0]
    os.kill(victim, signal.SIGKILL)
    Api(server.url).ok("POST", "/api/collections/notes/records", {"title": "second"})
    for stream, cursor in zip(streams, cursors, strict=True):
        try:
            heard = event(stream)
        except (EOFError, ConnectionError):
            again = EventStream(Api(server.url), ["notes/*"], query=f"?cursor={cursor}")
            assert '"resumed":true' in again.first
            heard = event(again)
        assert heard["record"]["title"] == "second"  # type: ignore[index]
    while len(children(server)) < WORKERS:
        # Each is a chance for the parent; the test's time bounds them.
        assert Api(server.url).call("GET", "/api/health")[0] == 200
    assert victim not in children(server)


def status_of_read(server: Server, path: str) -> int:
    """Ask on a new connection, and once more where it was cut, as HTTP clients do with reads.

    A worker that ends may have accepted a connection whose request it did not read any more.
    """
    try:
        return Api(server.url).call("GET", path)[0]
    except ConnectionError:
        return Api(server.url).call("GET", path)[0]


def test_a_hang_up_renews_the_workers_one_by_one(server: Server) -> None:
    signed_in(server)
    before = children(server)
    stream = EventStream(Api(server.url), ["notes/*"])
    server.process.send_signal(signal.SIGHUP)
    # Its worker ends it when it drains.
    stream.rest()
    for _ in range(50):
        assert status_of_read(server, "/api/health") == 200
    assert status_of_read(server, "/api/collections/notes/records") == 200
    assert children(server) - before


def test_all_stop_together(server: Server) -> None:
    workers = children(server)
    assert stop(server) == 0
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def statuses(server: Server, method: str, path: str, bodies: Sequence[object]) -> list[int]:
    """The answers to requests at once, on a new connection each, so that the kernel chooses the worker."""
    with ThreadPoolExecutor(8) as pool:
        return [status for status, *_ in pool.map(lambda body: Api(server.url).call(method, path, body), bodies)]


def test_a_rate_limit_holds_over_all_workers_and_a_save_starts_it_anew_once(server: Server) -> None:
    api = signed_in(server)
    rules = [{"label": "notes:list", "maxRequests": 5, "duration": 600}]
    limits = {"rateLimits": {"enabled": True, "rules": rules}}
    for _ in range(2):
        api.ok("PATCH", "/api/settings", limits)
        found = statuses(server, "GET", "/api/collections/notes/records", [None] * 40)
        assert (found.count(200), found.count(429)) == (5, 35)
        assert statuses(server, "GET", "/api/collections/notes/records", [None] * 20) == [429] * 20
    # A worker that takes the place of another counts on.
    victim = sorted(children(server))[0]
    os.kill(victim, signal.SIGKILL)
    while victim in children(server) or len(children(server)) < WORKERS:
        Api(server.url).call("GET", "/api/health")
    assert statuses(server, "GET", "/api/collections/notes/records", [None] * 20) == [429] * 20


def test_guesses_are_counted_over_all_workers_for_known_and_unknown_addresses_alike(server: Server) -> None:
    api = signed_in(server)
    api.ok("PATCH", "/api/collections/users", {"otp": {"enabled": True, "duration": 300, "length": 8}})
    ann = api.ok(
        "POST",
        "/api/collections/users/records",
        {"email": "a@example.com", "password": "Password1234", "passwordConfirm": "Password1234"},
    )
    # Written by a superuser: there is no mail server here, and what can't be mailed is taken back.
    real = api.ok(
        "POST",
        "/api/collections/_otps/records",
        {"collectionRef": ann["collectionId"], "recordRef": ann["id"], "password": "12345678"},
    )
    asked = Api(server.url).ok("POST", "/api/collections/users/request-otp", {"email": "nobody@example.com"})
    for otp_id in (real["id"], asked["otpId"]):
        guesses = [{"otpId": otp_id, "password": f"guess{number}"} for number in range(24)]
        found = statuses(server, "POST", "/api/collections/users/auth-with-otp", guesses)
        assert (found.count(400), found.count(429)) == (5, 19), otp_id


def test_the_files_of_the_counters_go_with_the_workers(server: Server) -> None:
    folder = folder_of(server.data_dir)
    assert len(list(folder.glob("*.map"))) == 3
    assert stop(server) == 0
    assert list(folder.iterdir()) == []
