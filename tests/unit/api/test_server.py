"""The server around the application: heads, signals, streams at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from rowcast import App
from rowcast.api import server
from rowcast.api.server import TransportProtocol
from rowcast.api.stream import TRANSPORT_EXTENSION
from rowcast.errors import DataDirError


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the length of the body, where the transport was handed over."""
    assert TRANSPORT_EXTENSION in scope["extensions"]
    size, is_more = 0, True
    while is_more:
        message = await receive()
        size += len(message.get("body", b""))
        is_more = message.get("more_body", False)
    body = str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config = uvicorn.Config(echo, http=TransportProtocol, lifespan="off", log_config=None, ws="none")
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()
    listening = await loop.create_server(
        lambda: TransportProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        listening.close()
        await listening.wait_closed()


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
    assert head.startswith(b"HTTP/1.1 200")
    return await reader.readexactly(size)


def test_requests_on_one_connection_are_answered() -> None:
    async def run() -> None:
        async with connected() as (reader, writer):
            for size in (0, 5, 3_000_000):
                writer.write(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n" % size)
                await asyncio.sleep(0.001)
                writer.write(b"\r\n" + b"x" * size)
                assert await answer(reader) == str(size).encode()

    asyncio.run(run())


def test_a_head_without_an_end_is_not_read_for_ever() -> None:
    async def run() -> None:
        async with connected() as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert await answer(reader) == b"0"
            writer.write(b"GET / HTTP/1.1\r\n")
            with pytest.raises(ConnectionError):
                for _ in range(200):
                    writer.write(b"X-A: " + b"a" * 20_000 + b"\r\n")
                    await writer.drain()
                    await asyncio.sleep(0)
                raise ConnectionError if await reader.read(1) == b"" else AssertionError

    asyncio.run(run())


@pytest.mark.parametrize("what", [b"X-A: " + b"a" * 20_000 + b"\r\n", b"a" * 20_000])
def test_what_comes_besides_the_content_of_a_body_is_bounded(what: bytes) -> None:
    async def run() -> None:
        async with connected() as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
            # Trailers without an end, and one chunk extension.
            writer.write(b"1\r\na\r\n" + (b"0\r\n" if b":" in what else b"2;"))
            with pytest.raises(ConnectionError):
                for _ in range(200):
                    writer.write(what)
                    await writer.drain()
                    await asyncio.sleep(0)
                raise ConnectionError if await reader.read(1) == b"" else AssertionError

    asyncio.run(run())


def test_many_small_chunks_are_one_body() -> None:
    async def run() -> None:
        async with connected() as (reader, writer):
            for _ in range(2):
                writer.write(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
                writer.write(b"1\r\na\r\n" * 300_000 + b"0\r\nX-A: b\r\n\r\n")
                assert await answer(reader) == b"300000"

    asyncio.run(run())


def test_a_head_must_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_HEAD_TIMEOUT_S", 0.05)

    async def run() -> None:
        async with connected() as (reader, _):
            assert await asyncio.wait_for(reader.read(1), 5) == b""
        async with connected() as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert await answer(reader) == b"0"
            writer.write(b"GET / HT")
            assert await asyncio.wait_for(reader.read(1), 5) == b""

    asyncio.run(run())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server(data_dir: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    app, told = App(data_dir), []

    def started() -> None:
        told.append(app.has_superuser())
        os.kill(os.getpid(), number)

    server.run(app, socket.create_server(("127.0.0.1", 0)), started=started)
    assert told == [True]
    assert not app.has_superuser()
    assert signal.getsignal(number) == before


def test_a_signal_is_noticed_without_a_look(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_TICK_S", 3_600)
    app, told = App(data_dir), []

    def started() -> None:
        told.append(app.has_superuser())
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)

    server.run(app, socket.create_server(("127.0.0.1", 0)), started=started)
    assert told == [True]


def test_a_stop_waits_for_nothing_where_nothing_is_under_way(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever waits for a request here waits for longer than a test may take.
    monkeypatch.setattr(server, "_LOOK_S", 3_600)
    monkeypatch.setattr(server, "_GRACE_S", 3_600)
    signalled: list[int] = []

    def started() -> None:
        signalled.append(signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    for count in range(1, 6):
        server.run(App(data_dir), socket.create_server(("127.0.0.1", 0)), started=started)
        assert len(signalled) == count


def test_a_directory_that_can_not_be_opened_is_told_to_who_asked(tmp_path: Path) -> None:
    (tmp_path / "data.db").write_bytes(b"nonsense" * 1000)
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(DataDirError):
        server.run(App(tmp_path), listening)
