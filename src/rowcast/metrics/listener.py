"""`GET /metrics` at an address of its own, for scrapers of a network that clients do not reach.

A few lines of HTTP/1.1: one request for each connection, bounded in size and time.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from rowcast.errors import RowcastError
from rowcast.metrics.metrics import Metrics

_MAX_HEAD_BYTES = 16 * 1024
_TIMEOUT_S = 10.0
_MAX_CONNECTIONS = 16
"""How many may be open: a scraper needs one, and what nobody may ask needs no more."""


class Listener:
    """An open socket and who answers at it. Raises RowcastError where `address` can't be listened at."""

    def __init__(self, address: str, metrics: Metrics) -> None:
        self._metrics = metrics
        self._socket = _listen(address)
        self._open = 0

    @property
    def port(self) -> int:
        """The port that it listens at."""
        port: int = self._socket.getsockname()[1]
        return port

    async def run(self) -> None:
        """Answer until cancelled; then the socket is closed."""
        server = await asyncio.start_server(self._answer, sock=self._socket, limit=_MAX_HEAD_BYTES)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()

    def close(self) -> None:
        """Close the socket; `run`, where it was called, has done so."""
        self._socket.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= _MAX_CONNECTIONS:
                async with asyncio.timeout(_TIMEOUT_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._reply(head))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # Whoever it was does not speak HTTP, or has left.
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _reply(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            return _response(b"404 Not Found", b"Numbers are at /metrics.\n", "text/plain; charset=utf-8")
        if method not in {b"GET", b"HEAD"}:
            return _response(b"405 Method Not Allowed", b"", "text/plain; charset=utf-8")
        text, content_type = self._metrics.scrape()
        return _response(b"200 OK", text, content_type, with_body=method == b"GET")


def _response(status: bytes, body: bytes, content_type: str, *, with_body: bool = True) -> bytes:
    head = b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (status, content_type.encode(), len(body)) + (body if with_body else b"")


def _listen(address: str) -> socket.socket:
    host, colon, port = address.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise RowcastError(f"{address!r} is no place for metrics; write api, or HOST:PORT, for example 127.0.0.1:9090")
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", int(port), type=socket.SOCK_STREAM)  # noqa: S104 - asked for by an empty host
        family, _, _, _, where = found[0]
        return socket.create_server(where[:2], family=family, backlog=64)
    except OSError as error:
        raise RowcastError(f"can't listen at {address} for metrics: {error.strerror or error}") from error
