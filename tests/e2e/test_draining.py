"""A rolling restart as a balancer and the clients of the old process see it."""

from __future__ import annotations

import http.client
import json
import select
import signal
import socket
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e.client import TEXT_FIELD, Api, EventStream
from tests.e2e.server import make_directory, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

DRAIN_S = 3.0
STREAMS = 30


def _ends(streams: list[EventStream], within_s: float) -> list[float]:
    """When each stream was ended, in seconds from now."""
    started = time.monotonic()
    still: dict[socket.socket, None] = {stream.socket: None for stream in streams}
    ended = []
    while still and time.monotonic() < started + within_s:
        readable, _, _ = select.select(list(still), [], [], 0.5)
        for one in readable:
            if not one.recv(65_536):
                ended.append(time.monotonic() - started)
                del still[one]
    return ended


def _status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_stop_drains(tmp_path: Path) -> None:
    data_dir = tmp_path / "pb_data"
    make_directory("rowcast", data_dir)
    with running("rowcast", data_dir, options=["--drain", str(DRAIN_S)]) as server:
        api = Api(server.url)
        api.sign_in()
        api.create_open_collection("notes", TEXT_FIELD)
        streams = [EventStream(api, ["notes/*"]) for _ in range(STREAMS)]
        assert _status(api.port, "/api/ready") == 200
        body = json.dumps({"title": "kept"}).encode()
        with socket.create_connection(("127.0.0.1", api.port), timeout=20) as slow:
            head = f"POST /api/collections/notes/records HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
            slow.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body[:3])
            server.process.send_signal(signal.SIGTERM)
            # The signal is seen a moment later.
            _wait_for(api.port, "/api/ready", 503)
            assert _status(api.port, "/api/health") == 200
            assert _status(api.port, "/api/realtime") == 503
            ended = _ends(streams, DRAIN_S + 5)
            slow.sendall(body[3:])
            assert slow.recv(65_536).startswith(b"HTTP/1.1 200")
        assert server.process.wait(10) == 0
        assert "Traceback" not in server.output()
    assert len(ended) == STREAMS
    assert ended[-1] - ended[0] > DRAIN_S / 2
    gaps = [later - earlier for earlier, later in pairwise(ended)]
    assert max(gaps) < DRAIN_S / 3


def _wait_for(port: int, path: str, status: int) -> None:
    deadline = time.monotonic() + 5
    while _status(port, path) != status:
        assert time.monotonic() < deadline
