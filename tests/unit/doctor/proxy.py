"""A small proxy of one server, in a process of its own, that treats streams as bad proxies do."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

Manner = Literal["passes", "holds all", "holds what follows", "cuts", "compresses"]


@contextlib.contextmanager
def proxy(target: int, manner: Manner) -> Iterator[int]:
    """Run a proxy of a port and give its own port."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__)), str(target), manner], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


async def _serve(target: int, manner: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, back = await asyncio.open_connection("127.0.0.1", target)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            back.write(head)
            await _pass(upstream, writer, manner if head.startswith(b"GET /api/realtime") else "passes")
        for end in (back, writer):
            end.transport.abort()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


async def _pass(upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, manner: str) -> None:
    if manner == "holds all":
        await upstream.read()
        return
    text = await upstream.readuntil(b"\r\n\r\n")
    if manner == "compresses":
        text = text.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    writer.write(text)
    while piece := await upstream.read(65_536):
        writer.write(piece)
        await writer.drain()
        if b"PB_CONNECT" in piece and manner == "cuts":
            return
        if b"PB_CONNECT" in piece and manner == "holds what follows":
            await upstream.read()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
