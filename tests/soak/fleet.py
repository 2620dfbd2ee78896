"""The processes that serve: one, one with workers, or several on one data directory; and what happens to them.

They may stand on PostgreSQL and Redis (see `backing`).

Whatever is done to them, clients find them at one port: their own, or that of a proxy before them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.server import command, free_port
from tests.e2e.wire import StreamError, Wire
from tests.soak.backing import Backing
from tests.soak.proxy import Proxy

_READY_WITHIN_S = 30.0
BROKEN = (OSError, EOFError, StreamError, TimeoutError)


class Server:
    """`rowcast serve` on one directory and one port, life after life."""

    def __init__(self, data_dir: Path, backing: Backing, *, workers: int = 0) -> None:
        self.data_dir = data_dir
        self._backing = backing
        self.port = free_port()
        self.log = data_dir.parent / f"server.{self.port}.log"
        self._options = ["--workers", str(workers)] if workers else []
        self._process: subprocess.Popen[bytes] | None = None

    def _spawn(self) -> subprocess.Popen[bytes]:
        address = f"127.0.0.1:{self.port}"
        options = [*self._options, *self._backing.options]
        with self.log.open("ab") as sink:
            return subprocess.Popen(
                [*command("rowcast"), "serve", "--dir", str(self.data_dir), "--http", address, *options],
                cwd=self.data_dir.parent,
                # Where a process dies of a signal that nobody sent, its log says where.
                env={**os.environ, "PYTHONFAULTHANDLER": "1", **self._backing.environment},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    async def start(self) -> None:
        """Start it and wait until it answers. Raises AssertionError with its output where it does not."""
        self._process = self._spawn()
        gives_up_at = time.monotonic() + _READY_WITHIN_S
        wire = Wire(self.port)
        while True:
            with contextlib.suppress(*BROKEN):
                status, _ = await wire.call("GET", "/api/health")
                if status == 200:
                    wire.close()
                    return
            if self._backing.postgres is not None and self._process.poll() is not None:
                # A server does not start while its database is away.
                self._process = self._spawn()
            assert self._process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < gives_up_at, self.log.read_text(errors="replace")
            await asyncio.sleep(0.02)

    async def end(self, by: signal.Signals) -> int:
        """End it and return its exit status."""
        assert self._process is not None
        self.send(by)
        return await asyncio.to_thread(self._process.wait)

    def send(self, what: signal.Signals) -> None:
        """Send a signal to it, or to the parent of its workers."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(what)

    def processes(self) -> list[int]:
        """Return the processes that serve: its workers, or itself."""
        assert self._process is not None
        pid = self._process.pid
        if not self._options:
            return [pid]
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def kill(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self._process is None or self._process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            for pid in self.processes():
                _send(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()


class Fleet:
    """All servers of a run."""

    def __init__(
        self, data_dir: Path, backing: Backing, *, workers: int, nodes: int, stops_for_s: float, outages: float
    ) -> None:
        self.data_dir = data_dir
        self.backing = backing
        self.counts: Counter[str] = Counter()
        self._servers = [Server(data_dir, backing, workers=workers) for _ in range(nodes)]
        self._has_workers = workers > 0
        self._stops_for_s = stops_for_s
        self._outages = outages
        self._proxy = Proxy([server.port for server in self._servers]) if nodes > 1 else None
        self._stops: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where clients connect."""
        return self._proxy.port if self._proxy is not None else self._servers[0].port

    @property
    def logs(self) -> Sequence[Path]:
        """Where the servers print."""
        return [server.log for server in self._servers]

    async def start(self) -> None:
        """Start all of them, one after the other: the first makes the directory."""
        if self._proxy is not None:
            await self._proxy.start()
        for server in self._servers:
            await server.start()

    async def fault(self, chance: random.Random) -> None:
        """Have something happen to one of the processes, or to what they stand on."""
        if chance.random() < self._outages and self.backing.may_fail:
            self.backing.fault(chance)
            return
        server = chance.choice(self._servers)
        kind = chance.random()
        if kind < 0.25 and (self._has_workers or self._proxy is not None):
            self._stop_for(chance.choice(server.processes()), chance.uniform(0, self._stops_for_s))
            self.counts["SIGSTOP"] += 1
        elif not self._has_workers:
            by = signal.SIGTERM if chance.random() < 0.2 else signal.SIGKILL
            await server.end(by)
            self.counts[by.name] += 1
            await server.start()
        elif kind < 0.45:
            server.send(signal.SIGHUP)
            self.counts["SIGHUP"] += 1
        elif (processes := server.processes()) and kind < 0.95:
            _send(chance.choice(processes), signal.SIGKILL)
            self.counts["SIGKILL of a worker"] += 1
        else:
            await server.end(signal.SIGTERM)
            self.counts["SIGTERM"] += 1
            await server.start()

    def _stop_for(self, pid: int, seconds: float) -> None:
        async def stop() -> None:
            _send(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                _send(pid, signal.SIGCONT)

        task = asyncio.ensure_future(stop())
        self._stops.add(task)
        task.add_done_callback(self._stops.discard)

    async def end(self) -> list[int]:
        """End all of them; return their exit statuses."""
        await asyncio.gather(*self._stops)
        await self.backing.settle()
        return [await server.end(signal.SIGTERM) for server in self._servers]

    async def clear(self) -> None:
        """Leave nothing behind, whatever happened."""
        for task in tuple(self._stops):
            task.cancel()
        await asyncio.gather(*self._stops, return_exceptions=True)
        for server in self._servers:
            server.kill()
        if self._proxy is not None:
            await self._proxy.stop()
        await self.backing.stop()


def _send(pid: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, what)
