"""Many realtime streams in a process of their own: opens them, subscribes them, counts what arrives.

One epoll loop reads whole socket buffers and finds the events by one regular
expression, so that the reader's own cost stays below the server's.
"""

from __future__ import annotations

import gc
import multiprocessing
import re
import select
import socket
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized

from benchmarks.wire import Client, LoadError, connect, request

_RECEIVE_BYTES = 262_144
_MAX_LATENCIES = 2_000_000
_SUBSCRIBE_DEADLINE_S = 120.0

# Keys of a record are sorted, so these two are neighbours.
_EVENT = re.compile(rb'"sent":(\d+),"seq":(\d+)')
_CLIENT_ID = re.compile(rb'"clientId":"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Seat:
    """What one stream asks for. With a `cursor` it has positions, and resumes from this one unless it is empty."""

    topics: tuple[str, ...]
    token: str = ""
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What all streams have heard. `out_of_order` counts events that arrived after a later one of the same stream."""

    deliveries: int
    out_of_order: int
    different_orders: int
    latencies_ms: list[float]


class Audience:
    """Streams held by another process, from the side of the measurement.

    With `subscribed` false they are open but have no topics until `subscribe` is called.
    """

    def __init__(self, port: int, seats: Sequence[Seat], *, subscribed: bool = True) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._count: Synchronized[int] = spawn.Value("q", 0)
        self._process = spawn.Process(target=_hold, args=(port, list(seats), theirs, self._count), daemon=True)
        self._process.start()
        theirs.close()
        self._expect_word("the streams could not be opened")
        if subscribed:
            self.subscribe()

    def subscribe(self) -> None:
        """Give the streams their topics. Raises LoadError if that takes too long."""
        self._pipe.send("subscribe")
        self._expect_word("the streams could not be subscribed")

    def _expect_word(self, otherwise: str) -> None:
        if not self._pipe.poll(_SUBSCRIBE_DEADLINE_S):
            self._process.kill()
            raise LoadError(f"{otherwise} in time")
        try:
            self._pipe.recv()
        except EOFError:
            raise LoadError(otherwise) from None

    def wait_for(self, deliveries: int, *, settle_s: float = 5.0, within_s: float = 60.0) -> float:
        """Wait until so many events have arrived, or none has for `settle_s`; return when the last was noticed.

        The time is that of the monotonic clock.
        """
        started = last_change = time.monotonic()
        last = -1
        while True:
            now, count = time.monotonic(), self._count.value
            if count != last:
                last, last_change = count, now
            if count >= deliveries or now - last_change > settle_s or now - started > within_s:
                return last_change
            time.sleep(0.001)

    def close(self) -> Heard:
        """Leave, and tell what was heard."""
        self._pipe.send("stop")
        heard: Heard = self._pipe.recv()
        self._process.join()
        return heard


@dataclass(slots=True)
class _Stream:
    sock: socket.socket
    id: str
    rest: bytes = b""
    last_seq: int = -1
    out_of_order: int = 0
    order: int = 0


@dataclass(slots=True)
class _Tally:
    """Counts what all streams of the process hear."""

    streams: dict[int, _Stream]
    latencies_ms: list[float] = field(default_factory=list)
    deliveries: int = 0

    def read(self, stream: _Stream) -> bool:
        """Take what has arrived for one stream; false once the server has closed it."""
        chunk = stream.sock.recv(_RECEIVE_BYTES)
        if not chunk:
            return False
        data = stream.rest + chunk
        end = data.rfind(b"\n\n") + 2
        if end < 2:
            stream.rest = data
            return True
        stream.rest = data[end:]
        events = _EVENT.findall(data, 0, end)
        if events:
            self._note(stream, events)
        return True

    def _note(self, stream: _Stream, events: list[tuple[bytes, bytes]]) -> None:
        now_us = time.time_ns() // 1000
        seqs = [seq for _, seq in events]
        stream.order = zlib.crc32(b",".join(seqs) + b",", stream.order)
        for seq in map(int, seqs):
            if seq < stream.last_seq:
                stream.out_of_order += 1
            stream.last_seq = seq
        self.deliveries += len(events)
        if len(self.latencies_ms) < _MAX_LATENCIES:
            self.latencies_ms += [(now_us - int(sent)) / 1000 for sent, _ in events]

    def heard(self) -> Heard:
        """Return what there is to tell."""
        return Heard(
            deliveries=self.deliveries,
            out_of_order=sum(stream.out_of_order for stream in self.streams.values()),
            different_orders=len({stream.order for stream in self.streams.values()}),
            latencies_ms=self.latencies_ms,
        )


def _hold(port: int, seats: list[Seat], pipe: Connection, count: Synchronized[int]) -> None:
    """Run the process: open, tell, subscribe when told to, tell, read until told to stop."""
    opened = [_open(port, seat) for seat in seats]
    tally = _Tally({stream.sock.fileno(): stream for stream in opened})
    pipe.send("open")
    pipe.recv()
    client = Client(port)
    for seat, stream in zip(seats, opened, strict=True):
        client.call("POST", "/api/realtime", {"clientId": stream.id, "subscriptions": seat.topics}, seat.token)
    pipe.send("subscribed")
    poll = select.epoll()
    for fd in tally.streams:
        poll.register(fd, select.EPOLLIN)
    poll.register(pipe.fileno(), select.EPOLLIN)
    gc.freeze()
    gc.disable()
    while True:
        for fd, _ in poll.poll(maxevents=1024):
            heard_by = tally.streams.get(fd)
            if heard_by is None:
                pipe.send(tally.heard())
                return
            if not tally.read(heard_by):
                poll.unregister(fd)
        count.value = tally.deliveries


def _open(port: int, seat: Seat) -> _Stream:
    sock = connect(port)
    path = "/api/realtime" if seat.cursor is None else f"/api/realtime?cursor={seat.cursor}"
    sock.sendall(request("GET", path))
    data = b""
    while not (found := _CLIENT_ID.search(data)):
        chunk = sock.recv(4096)
        if not chunk:
            raise LoadError(f"a stream was closed before PB_CONNECT: {data!r}")
        data += chunk
    return _Stream(sock, found[1].decode())
