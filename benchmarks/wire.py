"""HTTP/1.1 over raw sockets: as little work per request as Python allows, so that the server is what is measured.

Sends to the loopback range only. Requests are bytes made beforehand; of an
answer only the status and where it ends are looked at.
"""

from __future__ import annotations

import json
import math
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

_RECEIVE_BYTES = 262_144


class LoadError(Exception):
    """The server answered something that a measurement cannot go on with."""


def connect(port: int) -> socket.socket:
    """Open a connection to the server under test."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def request(method: str, path: str, body: bytes = b"", token: str = "") -> bytes:
    """Return a request as bytes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if token:
        head += f"Authorization: {token}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def answer_length(data: bytes | bytearray) -> int:
    """Return how many bytes the answer at the start of `data` has, or 0 while it is not complete."""
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return 0
    head = bytes(data[:head_end]).lower()
    start = head_end + 4
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        line_end = head.find(b"\r\n", at + 2)
        length = int(head[at + 17 : line_end if line_end > 0 else len(head)])
        return start + length if len(data) >= start + length else 0
    if b"\r\ntransfer-encoding: chunked" in head:
        end = data.find(b"0\r\n\r\n", start)
        while end > start and data[end - 2 : end] != b"\r\n":
            end = data.find(b"0\r\n\r\n", end + 1)
        return end + 5 if end >= 0 else 0
    return start


def status(answer: bytes | bytearray) -> int:
    """Return the status of an answer."""
    return int(answer[9:12])


class Client:
    """Asks one question at a time, for what has to be there before a measurement."""

    def __init__(self, port: int) -> None:
        self._sock = connect(port)

    def call(self, method: str, path: str, body: object = None, token: str = "") -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of the answer, None if it has none. Raises LoadError for a status of 300 or more."""
        payload = b"" if body is None else json.dumps(body).encode()
        self._sock.sendall(request(method, path, payload, token))
        data = bytearray()
        while not answer_length(data):
            chunk = self._sock.recv(_RECEIVE_BYTES)
            if not chunk:
                raise LoadError(f"{method} {path}: the server closed the connection")
            data += chunk
        if status(data) >= 300:
            raise LoadError(f"{method} {path}: {data.decode(errors='replace')}")
        return _json(data)

    def sign_in(self, email: str, password: str) -> str:
        """Return the token of a superuser."""
        path = "/api/collections/_superusers/auth-with-password"
        return str(self.call("POST", path, {"identity": email, "password": password})["token"])


def _json(answer: bytearray) -> Any:  # noqa: ANN401 - JSON
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        body = b"".join(_chunks(body))
    return json.loads(body) if body else None


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, body = body.partition(b"\r\n")
        count = int(size, 16)
        yield body[:count]
        body = body[count + 2 :]


@dataclass(slots=True)
class Load:
    """What a series of requests took."""

    seconds: float = 0.0
    sent: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    errors: int = 0
    answers: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class _Turn:
    """One connection and the request that it waits for."""

    sock: socket.socket
    data: bytearray = field(default_factory=bytearray)
    sent_at: float = 0.0


def drive(
    port: int,
    requests: Iterable[Callable[[], bytes]],
    *,
    clients: int,
    rate_per_s: float = 0.0,
    within_s: float = math.inf,
    keep_answers: bool = False,
) -> Load:
    """Send `requests` over `clients` connections side by side, each as soon as one is free.

    With `rate_per_s` the requests leave on a schedule; after `within_s` no more leave.
    Answers of 300 and more count as errors.
    """
    load = Load()
    due = enumerate(requests)
    poll = select.epoll()
    turns = {turn.sock.fileno(): turn for turn in (_Turn(connect(port)) for _ in range(clients))}
    # In turns: a server may close a connection that is not used for some seconds.
    idle = deque(turns.values())
    busy = 0
    started = time.perf_counter()
    upcoming = next(due, None)
    for fd in turns:
        poll.register(fd, select.EPOLLIN)
    while upcoming or busy:
        wait_s = -1.0
        if upcoming and time.perf_counter() - started > within_s:
            upcoming = None
            continue
        while upcoming and idle:
            wait_s = started + upcoming[0] / rate_per_s - time.perf_counter() if rate_per_s else 0.0
            if wait_s > 0:
                break
            turn = idle.popleft()
            turn.sent_at = time.perf_counter()
            turn.sock.sendall(upcoming[1]())
            busy += 1
            load.sent += 1
            upcoming = next(due, None)
        for fd, _ in poll.poll(wait_s if wait_s > 0 else -1):
            if _receive(turns[fd], load, keep_answers=keep_answers):
                idle.append(turns[fd])
                busy -= 1
    load.seconds = time.perf_counter() - started
    for turn in turns.values():
        turn.sock.close()
    poll.close()
    return load


def _receive(turn: _Turn, load: Load, *, keep_answers: bool) -> bool:
    """Take what has arrived; true once the answer is complete."""
    chunk = turn.sock.recv(_RECEIVE_BYTES)
    if not chunk:
        raise LoadError("the server closed a connection in the middle of a measurement")
    turn.data += chunk
    if not answer_length(turn.data):
        return False
    load.latencies_ms.append((time.perf_counter() - turn.sent_at) * 1000)
    if status(turn.data) >= 300:
        load.errors += 1
    if keep_answers:
        load.answers.append(bytes(turn.data).partition(b"\r\n\r\n")[2])
    turn.data.clear()
    return True


def percentile(values: list[float], percent: float) -> float:
    """Return a percentile of values, 0.0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(percent / 100 * len(ordered)))]
