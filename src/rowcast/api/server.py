"""uvicorn with a few changes: streams get their transport and end before the server waits for them; a stop is quick.

The application is opened before the server accepts and closed after its last
answer; what it raises while it is opened reaches whoever called `run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import Protocol

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rowcast.api.request import Receive, Scope, Send
from rowcast.api.stream import TRANSPORT_EXTENSION

_GRACE_S = 10
"""How long a stop waits for the requests that are under way."""


_KEEP_ALIVE_S = 300
"""How long an idle connection stays open; the reference's ReadTimeout (apis/serve.go)."""

_TICK_S = 1.0
"""How often the date of the answers is brought up to date."""

_LOOK_S = 0.01
"""How often a stop looks whether the requests that are under way have ended."""


_HEAD_TIMEOUT_S = 60
_MAX_HEAD_BYTES = 1 << 20
"""What the head of a request may take; the reference's ReadHeaderTimeout and net/http's DefaultMaxHeaderBytes."""


class Application(Protocol):
    """What is served."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        ...

    async def start(self) -> None:
        """Open what requests need."""
        ...

    async def stop(self) -> None:
        """Close it."""
        ...

    async def drain(self) -> None:
        """End what would not end by itself."""
        ...


class TransportProtocol(HttpToolsProtocol):
    """HTTP/1.1 by httptools; hands itself to the application as an extension of the scope.

    The application may `detach` the connection of a response that it has started: then it
    writes to the transport itself, and neither a task nor the request stays in memory.

    uvicorn bounds neither the size of a request's head nor the time that it may take, nor what
    comes besides the content of a chunked body: its trailers are kept like headers.
    """

    _on_lost: Callable[[], None] | None = None
    _head_bytes = -1
    _other_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect the first request within some time."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(_HEAD_TIMEOUT_S, transport.close)

    def detach(self, on_lost: Callable[[], None]) -> None:
        """Take the connection from uvicorn; `on_lost` is called when it is gone, at once if it is already."""
        self.cycle.response_complete = True
        self.scope = None  # type: ignore[assignment]
        self.headers = []
        self.flow.resume_reading()
        if self.transport.is_closing():
            on_lost()
        else:
            self._on_lost = on_lost

    def data_received(self, data: bytes) -> None:
        """Read a piece; count it while the head of a request is not complete."""
        if self._on_lost is not None:
            # The peer of a stream has nothing more to say.
            return
        if self._head_bytes >= 0:
            self._head_bytes += len(data)
        else:
            self._other_bytes += len(data)
        super().data_received(data)
        if self._head_bytes < 0:
            if self._other_bytes > _MAX_HEAD_BYTES:
                self.transport.close()
            return
        if self._head_bytes > _MAX_HEAD_BYTES:
            self.transport.close()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_TIMEOUT_S, self.transport.close)

    def on_message_begin(self) -> None:
        """Start a request's scope."""
        super().on_message_begin()
        self._head_bytes = self._other_bytes = 0
        self.scope["extensions"] = {TRANSPORT_EXTENSION: self}  # type: ignore[dict-item]

    def on_headers_complete(self) -> None:
        """Start the request."""
        self._head_bytes = -1
        self._stop_head_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._other_bytes = 0
        super().on_body(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the connection."""
        self._stop_head_timer()
        super().connection_lost(exc)
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class Server(uvicorn.Server):
    """Serves one application until a signal asks to stop. Streams would never end by themselves."""

    def __init__(self, config: uvicorn.Config, application: Application, *, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._application = application
        self._tell_started = started
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_asked = asyncio.Event()

    def end(self) -> None:
        """Ask it to stop, from any thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._is_asked.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at the first signal; a second SIGINT does not wait for the requests that are under way."""
        super().handle_exit(sig, frame)
        self.end()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept, and tell it."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._tell_started()

    async def main_loop(self) -> None:
        """Serve until it is asked to stop. uvicorn would look ten times in a second whether it is."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_asked.wait(), _TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, end streams, wait for the other requests. uvicorn would wait where there are none, too."""
        await self._application.drain()
        for each in (*self.servers, *(sockets or ())):
            each.close()
        state = self.server_state
        for connection in tuple(state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(_GRACE_S):
                while (state.connections or state.tasks) and not self.force_exit:  # noqa: ASYNC110 - uvicorn tells nobody
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            for task in state.tasks:
                task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at the first signal. uvicorn would raise it again, so that the process ends as if it had failed."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run(application: Application, listening: socket.socket, *, started: Callable[[], None] = lambda: None) -> None:
    """Serve an application on an open socket until a signal asks to stop.

    `started` is called once requests are answered. Raises what `application.start` raises.
    """
    config = uvicorn.Config(
        application,
        http=TransportProtocol,
        ws="none",
        loop="uvloop",
        lifespan="off",
        access_log=False,
        # The settings name the proxies that are trusted (Request.locate).
        proxy_headers=False,
        server_header=False,
        log_config=None,
        timeout_keep_alive=_KEEP_ALIVE_S,
        backlog=2048,
    )

    _allow_files()

    async def serve() -> None:
        await application.start()
        try:
            await Server(config, application, started=started).serve(sockets=[listening])
        finally:
            await application.stop()

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve())


def _allow_files() -> None:
    """Raise the limit of open files as far as it may go: each stream is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
