"""Many realtime streams in a process of their own: opens them, subscribes them, counts what arrives.

One epoll loop reads whole socket buffers and finds the events by one regular
expression, so that the reader's own cost stays below the server's.
"""

from __future__ import annotations

import gc
import json
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
_SUBSCRIBE_DEADLINE_S = 600.0

# Keys of a record are sorted, so these two are neighbours.
_EVENT = re.compile(rb'"sent":(\d+),"seq":(\d+)')
_CLIENT_ID = re.compile(rb'"clientId":"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Seat:
    """What one stream asks for."""

    topic: str
    token: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What all streams have heard. `out_of_order` counts events that arrived after a later one of the same stream."""

    deliveries: int
    out_of_order: int
    different_orders: int
    latencies_ms: list[float]


class Audience:
    """Streams held by another process, from the side of the measurement."""

    def __init__(self, port: int, seats: Sequence[Seat]) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._count: Synchronized[int] = spawn.Value("q", 0)
        self._process = spawn.Process(target=_hold, args=(port, list(seats), theirs, self._count), daemon=True)
        self._process.start()
        theirs.close()
        if not self._pipe.poll(_SUBSCRIBE_DEADLINE_S):
            raise LoadError("the streams were not subscribed in time")
        try:
            self._pipe.recv()
        except EOFError:
            raise LoadError("the streams could not be opened") from None

    def wait_for(self, deliveries: int, *, settle_s: float = 10.0) -> None:
        """Wait until so many events have arrived, or none has for `settle_s`."""
        last, last_change = -1, time.monotonic()
        while (count := self._count.value) < deliveries:
            if count != last:
                last, last_change = count, time.monotonic()
            elif time.monotonic() - last_change > settle_s:
                return
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
    """Run the process: open and subscribe, tell that it is ready, read until told to stop."""
    opened = [_open(port, seat, client) for client in [Client(port)] for seat in seats]
    tally = _Tally({stream.sock.fileno(): stream for stream in opened})
    pipe.send("ready")
    poll = select.epoll()
    for fd in tally.streams:
        poll.register(fd, select.EPOLLIN)
    poll.register(pipe.fileno(), select.EPOLLIN)
    gc.freeze()
    gc.disable()
    while True:
        for fd, _ in poll.poll(maxevents=1024):
            stream = tally.streams.get(fd)
            if stream is None:
                pipe.send(tally.heard())
                return
            if not tally.read(stream):
                poll.unregister(fd)
        count.value = tally.deliveries


def _open(port: int, seat: Seat, client: Client) -> _Stream:
    sock = connect(port)
    sock.sendall(request("GET", "/api/realtime"))
    data = b""
    while not (found := _CLIENT_ID.search(data)):
        chunk = sock.recv(4096)
        if not chunk:
            raise LoadError(f"a stream was closed before PB_CONNECT: {data!r}")
        data += chunk
    body = {"clientId": found[1].decode(), "subscriptions": [seat.topic]}
    client.call("POST", "/api/realtime", json.loads(json.dumps(body)), seat.token)
    return _Stream(sock)
