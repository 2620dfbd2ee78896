"""Realtime streams on raw sockets for asyncio: many at once, cut or frozen at will, with or without a cursor.

A stream keeps what the wire brought: frames in their order, and why it ended. Nothing
here reconnects by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

_OPENED: list[asyncio.StreamWriter] = []


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own; what it opened is closed when it ends."""

    async def closing() -> T:
        try:
            return await main
        finally:
            for writer in _OPENED:
                writer.transport.abort()
            _OPENED.clear()
            # A transport lets go of its socket when the loop comes around.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    return asyncio.run(closing())


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event."""

    id: str
    event: str
    data: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class StreamError(Exception):
    """The server refused or broke off."""


@dataclass(slots=True)
class WireStream:
    """One open stream."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    client_id: str = ""
    connected: Mapping[str, Any] = field(default_factory=dict)
    _raw: bytearray = field(default_factory=bytearray)
    _text: bytearray = field(default_factory=bytearray)
    _is_ended: bool = False

    async def frame(self) -> Frame:
        """Return the next frame. Raises EOFError when the server ended the stream or the connection broke.

        May be cancelled: nothing that was read is lost.
        """
        while True:
            end = self._text.find(b"\n\n")
            if end >= 0:
                lines = bytes(self._text[:end]).decode().split("\n")
                del self._text[: end + 2]
                parts = dict(line.split(":", 1) for line in lines if not line.startswith(":"))
                if parts:
                    return Frame(parts.get("id", ""), parts.get("event", ""), parts.get("data", ""))
                continue
            if self._is_ended:
                raise EOFError("ended")
            try:
                data = await self.reader.read(65_536)
            except OSError as error:
                raise EOFError("broken off") from error
            if not data:
                raise EOFError("broken off")
            self._raw += data
            self._unchunk()

    def _unchunk(self) -> None:
        """Move the chunks that are there as a whole from `_raw` to `_text`."""
        while (head := self._raw.find(b"\r\n")) >= 0:
            size = int(self._raw[:head], 16)
            end = head + 2 + size + 2
            if len(self._raw) < end:
                return
            self._text += self._raw[head + 2 : end - 2]
            del self._raw[:end]
            self._is_ended = size == 0

    def cut(self) -> None:
        """Break the connection at once, without a goodbye."""
        self.writer.transport.abort()

    def freeze(self) -> None:
        """Stop reading; what the peer sends fills its buffers."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def thaw(self) -> None:
        """Read again."""
        with contextlib.suppress(RuntimeError):
            self.writer.transport.resume_reading()  # type: ignore[attr-defined]


async def open_stream(
    port: int, *, query: str = "", headers: Mapping[str, str] | None = None, buffer_bytes: int = 0
) -> WireStream:
    """Open a stream and wait for its id. Raises StreamError and OSError where the server does not answer so."""
    peer = socket.socket()
    if buffer_bytes:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    peer.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", port))
    except OSError:
        peer.close()
        raise
    reader, writer = await asyncio.open_connection(sock=peer, limit=buffer_bytes or 65_536)
    _OPENED.append(writer)
    lines = [f"GET /api/realtime{query} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    try:
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise StreamError(head.decode())
        stream = WireStream(reader, writer)
        first = await stream.frame()
    except (EOFError, asyncio.IncompleteReadError) as error:
        writer.transport.abort()
        raise StreamError("no first frame") from error
    except BaseException:
        writer.transport.abort()
        raise
    stream.connected = first.json
    stream.client_id = stream.connected["clientId"]
    return stream


class Wire:
    """One connection for requests, used by one task at a time; opens itself again when it broke."""

    def __init__(self, port: int, token: str = "") -> None:
        self.port = port
        self.token = token
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and decoded body. Raises OSError and EOFError where there is no whole answer."""
        if self._pair is None:
            self._pair = await asyncio.open_connection("127.0.0.1", self.port)
            _OPENED.append(self._pair[1])
        reader, writer = self._pair
        payload = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(payload)}"]
        lines += ["Content-Type: application/json"] if payload else []
        lines += [f"Authorization: {self.token}"] if self.token else []
        try:
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + payload)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = next((line for line in head.split("\r\n") if line.startswith("content-length:")), "x:0")
            data = await reader.readexactly(int(length.partition(":")[2]))
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise EOFError("no answer") from error
        except BaseException:
            self.close()
            raise
        return int(head.split(" ", 2)[1]), json.loads(data) if data else None

    async def subscribe(self, stream: WireStream, topics: Sequence[str]) -> int:
        """Submit the topics of a stream and return the status."""
        status, _ = await self.call(
            "POST", "/api/realtime", {"clientId": stream.client_id, "subscriptions": list(topics)}
        )
        return status

    def close(self) -> None:
        """Break the connection."""
        if self._pair is not None:
            self._pair[1].transport.abort()
            self._pair = None
