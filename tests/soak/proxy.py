"""A TCP proxy before several nodes: each connection goes to the next one that accepts it.

Nothing sticks: the requests of one client reach another node each time that it connects.
A node that is down is passed over; one that is stopped still accepts, as its kernel does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

_PIECE_BYTES = 16_384
_WINDOW_BYTES = 16_384
"""Little is held here: a client that reads nothing must be felt by the node."""


class Proxy:
    """Spreads connections over ports of this machine."""

    def __init__(self, targets: Sequence[int]) -> None:
        self.port = 0
        self.passed = 0
        self._targets = targets
        self._next = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen at a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_WINDOW_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut all connections and listen no more."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            node = await self._connect()
            if node is not None:
                self.passed += 1
                await _join((reader, writer), node)
        except asyncio.CancelledError:
            pass  # The proxy stops: nobody else cancels this.
        finally:
            writer.transport.abort()
            self._open.discard(task)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in self._targets:
            target = self._targets[self._next % len(self._targets)]
            self._next += 1
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", target, limit=_WINDOW_BYTES)
        return None


async def _join(
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter], node: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Pass bytes both ways until either side ends."""
    ways = [asyncio.ensure_future(_pass(client[0], node[1])), asyncio.ensure_future(_pass(node[0], client[1]))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        node[1].transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.set_write_buffer_limits(high=_WINDOW_BYTES)
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        # The end of an answer is an end that the peer may see, not a broken connection.
        if writer.can_write_eof():
            writer.write_eof()
            await writer.drain()
