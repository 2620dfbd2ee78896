"""The GET of a realtime stream: from an ASGI connection to a stream of the hub.

Two ways to the socket. Under a server that hands over its transport (see
`server.py`) frames are written to it at once, and an idle stream has neither a task
nor its request in memory. Under any other ASGI server a sink
keeps one piece in flight through `send`, with a time limit, and the frames behind
it wait in the stream's queue, where its budget counts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from rowcast.realtime import frames
from rowcast.realtime.changelog import parse_position
from rowcast.realtime.hub import Hub
from rowcast.schema.record import Position

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

TRANSPORT_EXTENSION = "rowcast.transport"

_HEADERS: Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    # nginx would gather the events otherwise.
    (b"x-accel-buffering", b"no"),
]

_ROOM_BYTES = 16 * 1024
"""A transport with more than this pending has no room: the rest waits in the stream's queue."""

_SEND_TIMEOUT_S = 60.0
"""How long one piece may take through ASGI's `send` before the peer counts as frozen."""

_DEAD_PEER_MS = 45_000
"""How long the kernel waits for an acknowledgement before it drops the connection."""


class Connection(Protocol):
    """What a server offers that hands over its connections (see `server.py`)."""

    transport: asyncio.Transport

    def detach(self, on_lost: Callable[[], None]) -> None:
        """Leave the connection to the application; `on_lost` is called when it is gone."""
        ...


class TransportSink:
    """Writes straight to the transport of an HTTP/1.1 response, in its chunked framing."""

    __slots__ = ("_transport",)

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def has_room(self) -> bool:
        """Whether the socket is not behind."""
        return self._transport.get_write_buffer_size() <= _ROOM_BYTES

    def write(self, data: bytes) -> bool:
        """Write `data` as one chunk, unless the socket is behind."""
        transport = self._transport
        if transport.get_write_buffer_size() > _ROOM_BYTES:
            return False
        if not transport.is_closing():
            transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    def pending(self) -> int:
        """Return how many bytes the transport holds."""
        return self._transport.get_write_buffer_size()

    def close(self, *, abort: bool) -> None:
        """End the response with its last chunk, or drop the connection."""
        if self._transport.is_closing():
            return
        if abort:
            self._transport.abort()
        else:
            self._transport.write(b"0\r\n\r\n")
            self._transport.close()


class SendSink:
    """Keeps one piece in flight through ASGI's `send`."""

    __slots__ = ("_is_closed", "_piece", "_wake")

    def __init__(self) -> None:
        self._piece = b""
        self._is_closed = False
        self._wake = asyncio.Event()

    def has_room(self) -> bool:
        """Whether nothing is under way."""
        return not self._piece

    def write(self, data: bytes) -> bool:
        """Take `data` unless an earlier piece is still under way."""
        if self._piece:
            return False
        self._piece = data
        self._wake.set()
        return True

    def pending(self) -> int:
        """Return how many bytes are under way."""
        return len(self._piece)

    def close(self, *, abort: bool) -> None:
        """Let the sending task end; with `abort`, without the piece that is under way."""
        if abort:
            self._piece = b""
        self._is_closed = True
        self._wake.set()

    async def run(self, send: Send) -> None:
        """Send pieces until closed. Raises TimeoutError when the peer does not read."""
        while self._piece or not self._is_closed:
            await self._wake.wait()
            self._wake.clear()
            if self._piece:
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    await send({"type": "http.response.body", "body": self._piece, "more_body": True})
                self._piece = b""
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a GET asks of its stream: a cursor or none, and the position to resume from."""

    cursor: bool = False
    position: Position | None = None


def asked(query: Mapping[str, str], last_event_id: str) -> Asked:
    """Return what a request asks for.

    `cursor` in the query asks for a cursor; its value, or rather the `Last-Event-ID` that
    a browser sends by itself, is the position. What is no position is a fresh start.
    """
    last = parse_position(last_event_id)
    if last is not None:
        return Asked(cursor=True, position=last)
    return Asked(cursor="cursor" in query, position=parse_position(query.get("cursor", "")))


async def serve_stream(
    hub: Hub, scope: Message, receive: Receive, send: Send, *, asked: Asked, address: str, headers: Headers
) -> None:
    """Answer `GET /api/realtime`: open a stream and hold it until the peer leaves or the hub closes it.

    `headers` are sent besides those of an event stream. Copies apis/realtime.go, realtimeConnect.
    """
    start, is_resumed = None, False
    if asked.cursor:
        start, is_resumed = await hub.present.start(asked.position)
        if asked.position is not None:
            hub.tally.resumed[is_resumed] += 1
    connection: Connection | None = (scope.get("extensions") or {}).get(TRANSPORT_EXTENSION)
    if connection is not None and scope["http_version"] != "1.1":
        connection = None
    sink = SendSink() if connection is None else TransportSink(connection.transport)
    stream = hub.connect(sink, address=address, start=start)
    first = frames.connect(stream.id) if start is None else frames.connect_at(stream.id, start, is_resumed=is_resumed)
    is_held = False
    try:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS + headers})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        if connection is not None:
            _drop_dead_peers(connection.transport)
            connection.detach(partial(hub.disconnect, stream))
            is_held = True
        elif isinstance(sink, SendSink):
            await _first_of(sink.run(send), _until_disconnect(receive))
    finally:
        if not is_held:
            hub.disconnect(stream)


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first_of(*calls: Awaitable[None]) -> None:
    """Run all until the first ends, then end the others; a peer that timed out is no error."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, (TimeoutError, OSError)):
                raise result


def _drop_dead_peers(transport: asyncio.Transport) -> None:
    """Have the kernel drop the connection when heartbeats stay unacknowledged (no FIN was seen)."""
    peer = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if peer is None or option is None or peer.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # A second handle on the same socket: the loop's own object may not offer setsockopt.
    # The peer may be gone already.
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(peer.fileno())) as handle:
        handle.setsockopt(socket.IPPROTO_TCP, option, _DEAD_PEER_MS)
