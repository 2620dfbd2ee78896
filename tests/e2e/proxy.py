"""A TCP proxy in front of a server that cuts or freezes connections at will."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.e2e.server import free_port


class Proxy:
    """Passes bytes both ways until it is told otherwise."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.target = target
        self.is_refusing = False
        self.accepted = 0
        self._came = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._may_pass = asyncio.Event()
        self._may_pass.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def came(self, count: int) -> None:
        """Wait until so many connections were taken."""
        while self.accepted < count:
            self._came.clear()
            await self._came.wait()

    def cut(self) -> None:
        """Break all connections at once, without a goodbye."""
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> None:
        """Pass nothing on to the client, and keep the connections."""
        self._may_pass.clear()

    def thaw(self) -> None:
        """Pass everything on again."""
        self._may_pass.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection of a client."""
        self._writers.add(writer)
        try:
            if self.is_refusing:
                return
            self.accepted += 1
            self._came.set()
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(back)
            try:
                await asyncio.gather(self._pass(reader, back), self._pass(there, writer, may_freeze=True))
            finally:
                back.transport.abort()
                self._writers.discard(back)
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, may_freeze: bool = False
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if may_freeze:
                    await self._may_pass.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def proxying(url: str) -> AsyncIterator[Proxy]:
    """Run a proxy in front of the server at `url`."""
    proxy = Proxy(int(url.rpartition(":")[2]))
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", proxy.port)
    try:
        yield proxy
    finally:
        listener.close()
        proxy.thaw()
        proxy.cut()
        # The tasks of cut connections end when the loop comes around.
        for _ in range(10):
            await asyncio.sleep(0)
