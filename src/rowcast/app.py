"""The ASGI application: opens a data directory, answers with what runs on it, closes it.

What is open is a `Running`, which ties all parts together; a restore puts a new one in its place.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import msgspec

from rowcast.admin.crons import Crons
from rowcast.api.request import Receive, Scope, Send
from rowcast.backups import ArchiveError
from rowcast.backups.reopening import begin_restore, exchange, stand_aside
from rowcast.config import Config
from rowcast.errors import RowcastError
from rowcast.realtime.hub import Hub
from rowcast.running import Running
from rowcast.storage.directory import DataDir, Opening, open_inside, open_with
from rowcast.storage.occupancy import OccupiedError
from rowcast.storage.swap import Swap

_log = logging.getLogger("rowcast.backups")

_CALLS_S = 10.0
"""How long a restore waits for the requests that are under way."""

_OTHERS_S = 15.0
"""How long it then waits for other processes to leave."""


class App:
    """An ASGI application that serves one data directory.

    Serve it on its own, or mount it under a path of a Starlette or FastAPI
    application. A server that speaks the lifespan protocol starts and stops it;
    mounted applications get no lifespan events, so there the first request starts
    it, and the host may call `start` and `stop` in a lifespan of its own.

    `config` holds the settings of the process; `data_dir` replaces the one in it.
    `crons` takes jobs at any time; they run while the application is started.
    """

    def __init__(self, data_dir: str | Path | None = None, *, config: Config | None = None) -> None:
        config = config or Config()
        if data_dir is not None:
            config = msgspec.structs.replace(config, data_dir=str(data_dir))
        self.config = config
        self.crons = Crons()
        self._opening = Opening(
            config.loop_budget_s,
            config.query_timeout_s,
            config.allow_unknown_migrations,
            config.encryption_env,
            config.database,
        )
        self._running: Running | None = None
        self._is_stopped = False
        self._reopened: asyncio.Event | None = None
        self._restore: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind == "http":
            running = self._running or await self._next_running()
            with running.calls:
                await running.pipeline(scope, receive, send)
        elif kind == "lifespan":
            await self._live(receive, send)
        else:
            # Only WebSocket is left, which PocketBase clients do not use.
            await send({"type": "websocket.close", "code": 1000})

    async def start(self) -> None:
        """Open the data directory. Raises DataDirError."""
        self._is_stopped = False
        running = self._running or self._start()
        await running.joining

    async def stop(self) -> None:
        """End the streams, finish what is under way and close the data directory."""
        self._is_stopped = True
        if self._restore is not None and not self._restore.done():
            if self._running is not None:
                self._running.backups.cancel()
            await self._restore
        running, self._running = self._running, None
        if running is not None:
            await running.stop()

    def has_superuser(self) -> bool:
        """Whether somebody can manage the started application; the reference's installer does not count."""
        if self._running is None:
            return False
        with self._running.directory.data.read() as reader:
            found = reader.row('SELECT 1 FROM "_superusers" WHERE "email" != ? LIMIT 1', ["__pbinstaller@example.com"])
        return found is not None

    @property
    def realtime(self) -> Hub:
        """The realtime hub of a started application, for `publish`; to be used on its event loop."""
        return (self._running or self._start()).hub

    async def drain(self) -> None:
        """End all realtime streams, many ones spread over some seconds, and refuse new ones.

        Sign-ins that wait for another service end at once.
        """
        if self._running is not None:
            self._running.accounts.stop()
            await self._running.hub.drain(self.config.drain_s)

    def end_streams(self) -> None:
        """End all realtime streams, so that a server that waits for its connections can stop."""
        if self._running is not None:
            self._running.accounts.stop()
            self._running.hub.close()

    def _start(self) -> Running:
        if self._reopened is not None:
            raise RuntimeError("the application is being restored")
        directory = open_with(Path(self.config.data_dir), self._opening)
        return self._run(directory)

    def _run(self, directory: DataDir) -> Running:
        try:
            self._running = Running(
                self.config, directory, self.crons, begin_restore=self._begin_restore, step_aside=self._step_aside
            )
        except BaseException:
            (directory.close if self._reopened is None else directory.close_databases)()
            raise
        return self._running

    async def _next_running(self) -> Running:
        """Wait for a restore under way, or start."""
        if self._reopened is not None:
            await self._reopened.wait()
        if self._running is None and self._is_stopped:
            # A late request must not open what was just closed.
            raise RuntimeError("the application is stopped")
        running = self._running or self._start()
        await running.joining
        return running

    def _begin_restore(self, key: str) -> None:
        """Begin to go back to the state of a backup. Raises BadRequestError."""
        running = self._running or self._start()
        self._restore = begin_restore(
            running.backups,
            running.directory,
            key,
            self._exchange,
            self._opening,
            has_others=running.nodes.has_others,
        )

    async def _exchange(self, swap: Swap) -> None:
        """Stop, have the states exchanged and start again; requests wait meanwhile. Raises RowcastError."""
        running, self._running = self._running, None
        if running is None:
            raise ArchiveError("the application is stopped")
        self._reopened = asyncio.Event()
        occupancy = running.directory.occupancy
        try:
            if not occupancy.is_alone:
                await running.nodes.ask_aside()
            await running.stop(leaves=False, patience_s=_CALLS_S)
            await asyncio.to_thread(occupancy.claim, _OTHERS_S)
            await exchange(swap, lambda: self._run(open_inside(occupancy, self._opening)))
        except OccupiedError:
            self._run(open_inside(occupancy, self._opening))
            raise
        finally:
            if self._running is None:
                occupancy.leave()
            self._reopened.set()
            self._reopened = None

    def _step_aside(self) -> None:
        """Leave the directory to another process that replaces its content, and come back after that."""
        if self._reopened is None and self._running is not None:
            self._restore = asyncio.ensure_future(self._stand_aside())

    async def _stand_aside(self) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        self._reopened = reopened = asyncio.Event()
        try:
            await running.stop(patience_s=_CALLS_S)
            await stand_aside(running.directory, lambda: self._is_stopped)
        finally:
            self._reopened = None
            try:
                if not self._is_stopped:
                    self._start()
            except RowcastError as error:
                # The next request tries again.
                _log.error("the data directory can't be opened after it was replaced: %s", error)
            finally:
                reopened.set()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except RowcastError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})
