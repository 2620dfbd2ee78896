from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowcast import App, Config
from rowcast.api.server import Server, TransportProtocol
from rowcast.doctor import outside
from rowcast.doctor.outside import Outside
from tests.e2e.server import free_port
from tests.unit.doctor.proxy import Manner, proxy

WAIT_S = 3.0


@pytest.fixture
def port(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A real server in a thread, with quick heartbeats."""
    import uvicorn

    monkeypatch.setattr(outside, "_TIMEOUT_S", WAIT_S)
    ready = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    app = App(config=Config(data_dir=str(data_dir), heartbeat_s=0.5))
    config = uvicorn.Config(app, http=TransportProtocol, ws="none", lifespan="off", log_config=None)
    server = Server(config, app, started=ready.set)
    # Only the main thread may have handlers of signals.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]

    async def serve() -> None:
        await app.start()
        await server.serve(sockets=[listening])
        await app.stop()

    running = threading.Thread(target=lambda: asyncio.run(serve()))
    running.start()
    assert ready.wait(20)
    yield listening.getsockname()[1]
    server.end()
    running.join(20)
    listening.close()


def told(port: int) -> dict[str, tuple[str, str]]:
    found = Outside(f"http://127.0.0.1:{port}", wait_s=WAIT_S).findings()
    return {one.check: (one.level, one.text) for one in found}


def test_a_good_server_is_well(port: int) -> None:
    found = told(port)
    assert {level for level, _ in found.values()} == {"ok"}
    assert set(found) == {"health", "HTTP version", "clock", "stream headers", "stream", "idle stream"}
    assert "heartbeat arrived" in found["idle stream"][1]


@pytest.mark.parametrize(
    ("manner", "check", "said"),
    [
        ("holds all", "stream", "is held back"),
        ("holds what follows", "idle stream", "are held back"),
        ("cuts", "idle stream", "is cut after"),
        ("compresses", "stream headers", "is compressed (gzip)"),
    ],
)
def test_what_a_proxy_does_to_streams_is_told(
    port: int, manner: Manner, check: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "_HEARTBEAT_S", 1.0)
    with proxy(port, manner) as between:
        found = told(between)
    assert found[check][0] == "problem"
    assert said in found[check][1]
    assert found["health"][0] == "ok"


def test_a_proxy_that_passes_is_well(port: int) -> None:
    with proxy(port, "passes") as between:
        assert {level for level, _ in told(between).values()} == {"ok"}


def test_nobody_there() -> None:
    found = told(free_port())
    assert found["reach"][0] == "problem"


@pytest.mark.parametrize(
    ("date", "level"),
    [("", "warning"), ("nonsense", "warning"), ("Wed, 21 Oct 2015 07:28:00 GMT", "problem")],
)
def test_clocks_are_compared(date: str, level: str) -> None:
    assert outside._skew(date).level == level


@pytest.mark.parametrize("url", ["", "example.com", "ftp://example.com", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        Outside(url)
