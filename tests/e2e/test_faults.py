"""Peers that freeze and processes that die: the others go on, memory stays bounded, clients come back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.client import Api
from tests.e2e.server import Server, make_directory, running, stop
from tests.e2e.wire import Wire, WireStream, open_stream, run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

FIELDS: list[dict[str, object]] = [{"name": "n", "type": "number"}, {"name": "text", "type": "text", "max": 1_000_000}]
RECORDS = "/api/collections/notes/records"
TEXT = "x" * 100_000

AT_ONCE_S = 2.0
"""When an event must be there, on a machine that does other things as well."""

# The stream's own budget, the transport's share and what the kernel takes from a sender (net.ipv4.tcp_wmem).
MOST_BUFFERED = (1 << 20) + 16_384 + (6 << 20)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """rowcast on a new data directory with an open collection."""
    data_dir = tmp_path / "pb_data"
    make_directory("rowcast", data_dir)
    with running("rowcast", data_dir) as started:
        prepare(started)
        yield started


def prepare(server: Server) -> None:
    api = Api(server.url)
    api.sign_in()
    api.create_open_collection("notes", FIELDS)


def port_of(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


def superuser_token(server: Server) -> str:
    api = Api(server.url)
    api.sign_in()
    return api.token


def resident_bytes(server: Server) -> int:
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def listening(wire: Wire, count: int, *, frozen: bool = False, query: str = "") -> list[WireStream]:
    """Open streams that listen to all notes; frozen ones have small buffers and never read again."""
    streams = []
    for _ in range(count):
        stream = await open_stream(wire.port, query=query, buffer_bytes=4_096 if frozen else 0)
        assert await wire.subscribe(stream, ["notes/*"]) == 204
        if frozen:
            stream.freeze()
        streams.append(stream)
    return streams


async def write(wire: Wire, number: int, text: str = TEXT) -> str:
    status, record = await wire.call("POST", RECORDS, {"n": number, "text": text})
    assert status == 200
    return str(record["id"])


async def hear(streams: Sequence[WireStream], number: int) -> float:
    """Wait until each stream has the event of a number as its next one, and return how long the last took."""
    began = time.monotonic()
    for frame in await asyncio.gather(*[asyncio.wait_for(stream.frame(), 30) for stream in streams]):
        assert frame.json["record"]["n"] == number
    return time.monotonic() - began


def test_frozen_reader_is_closed_within_its_budget_and_delays_nobody(server: Server) -> None:
    token = superuser_token(server)

    async def play() -> None:
        wire, root = Wire(port_of(server)), Wire(port_of(server), token)
        lively = await listening(wire, 30)
        [frozen] = await listening(wire, 1, frozen=True)
        written, longest = 0, 0.0
        while frozen.client_id in await open_ids(root):
            assert written * len(TEXT) < MOST_BUFFERED
            await write(wire, written)
            longest = max(longest, await hear(lively, written))
            written += 1
        assert longest < AT_ONCE_S
        # It did not have everything, and was told so by the end of its connection.
        frozen.thaw()
        got = 0
        with pytest.raises(EOFError):
            while True:
                frame = await asyncio.wait_for(frozen.frame(), 30)
                assert frame.json["record"]["n"] == got
                got += 1
        assert got < written
        # And it may come again.
        [again] = await listening(wire, 1)
        await write(wire, -1, "")
        await hear([*lively, again], -1)

    run(play())


async def open_ids(root: Wire) -> set[str]:
    status, found = await root.call("GET", "/api/realtime/clients")
    assert status == 200
    return {item["id"] for item in found["items"]}


def test_hundreds_of_frozen_readers_take_bounded_memory(server: Server) -> None:
    frozen_count, most_each = 300, 1 << 20
    token = superuser_token(server)

    async def play() -> None:
        wire, root = Wire(port_of(server)), Wire(port_of(server), token)
        lively = await listening(wire, 5)
        before = resident_bytes(server)
        frozen = await listening(wire, frozen_count, frozen=True)
        ids = {stream.client_id for stream in frozen}
        number, longest, most = 0, 0.0, 0
        while ids & await open_ids(root):
            assert number * len(TEXT) < MOST_BUFFERED
            await write(wire, number)
            longest = max(longest, await hear(lively, number))
            most = max(most, resident_bytes(server) - before)
            number += 1
        assert longest < AT_ONCE_S
        # Far below what each may have waiting: the frames that wait are shared.
        assert most < frozen_count * most_each / 2

    run(play())


@pytest.mark.parametrize("frozen_count", [0, 20])
def test_sigterm_ends_streams_and_the_process_in_seconds(server: Server, frozen_count: int) -> None:
    async def play() -> None:
        wire = Wire(port_of(server))
        streams = await listening(wire, 200)
        frozen = await listening(wire, frozen_count, frozen=True)
        for number in range(2 * bool(frozen)):
            await write(wire, number)
            await hear(streams, number)
        wire.close()
        last = Wire(port_of(server))
        await write(last, -1, "")
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        await hear(streams, -1)
        for stream in streams:
            with pytest.raises(EOFError, match="ended"):
                await asyncio.wait_for(stream.frame(), 10)
        while server.process.poll() is None:
            assert time.monotonic() - began < 8, "the process does not end"
            await asyncio.sleep(0.02)

    run(play())
    assert server.process.returncode == 0
    assert "Traceback" not in server.output()


def test_clients_are_back_after_a_kill_and_have_lost_nothing(server: Server) -> None:
    port = port_of(server)
    ids = run(_until_the_kill(server))
    with running("rowcast", server.data_dir, port=port) as again:
        run(_after_the_kill(again, ids))


async def _until_the_kill(server: Server) -> list[tuple[str, int]]:
    """Return for some streams the position that they had and how many events were behind it."""
    wire = Wire(port_of(server))
    streams = await listening(wire, 20, query="?cursor=")
    kept: list[tuple[str, int]] = []
    for number in range(40):
        await write(wire, number, "")
        for place, stream in enumerate(streams):
            frame = await asyncio.wait_for(stream.frame(), 30)
            while frame.event == "PB_CURSOR":
                frame = await asyncio.wait_for(stream.frame(), 30)
            if place == number // 2:
                kept.append((frame.id, number))
    stop(server, signal.SIGKILL)
    for stream in streams:
        with pytest.raises(EOFError, match=r"broken off|ended"):
            await asyncio.wait_for(stream.frame(), 10)
    return kept


async def _after_the_kill(server: Server, kept: list[tuple[str, int]]) -> None:
    wire = Wire(port_of(server))
    streams = [await open_stream(wire.port, headers={"Last-Event-ID": position}) for position, _ in kept]
    for stream in streams:
        assert stream.connected["resumed"] is True
        assert await wire.subscribe(stream, ["notes/*"]) == 204
    await write(wire, 40, "")
    for stream, (_, number) in zip(streams, kept, strict=True):
        got = [(await asyncio.wait_for(stream.frame(), 30)).json["record"]["n"] for _ in range(number + 1, 41)]
        assert got == list(range(number + 1, 41))
