"""What the nodes of a run stand on besides their directory: PostgreSQL and Redis, and what happens to them.

An outage runs beside the other faults, so that nodes are killed and started while the database is away;
only one is under way at a time.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.postgres_server import PostgresServer, running_postgres
from tests.redis_server import RedisServer, running_redis

QUERY_TIMEOUT_S = 4
"""How long a statement may take; some freezes last longer than that."""

_LONG_FREEZE_S = 9.0


class Backing:
    """The servers behind the nodes. `back_at` is when the last outage of the database has ended."""

    def __init__(self, *, has_database: bool, has_bus: bool, stops_for_s: float) -> None:
        self.counts: Counter[str] = Counter()
        self.postgres: PostgresServer | None = None
        self.redis: RedisServer | None = None
        self.back_at = 0.0
        self._wants = has_database, has_bus
        self._stops_for_s = stops_for_s
        self._stack = ExitStack()
        self._outage: asyncio.Task[None] | None = None

    @property
    def may_fail(self) -> bool:
        """Whether there is anything here."""
        return any(self._wants)

    @property
    def options(self) -> list[str]:
        """Return what the nodes are started with besides."""
        return ["--queryTimeout", str(QUERY_TIMEOUT_S)] if self.postgres is not None else []

    @property
    def environment(self) -> Mapping[str, str]:
        """Return what the nodes find in their environment."""
        found = {}
        if self.postgres is not None:
            found["ROWCAST_DB"] = self.postgres.url()
        if self.redis is not None:
            found["ROWCAST_BUS"] = self.redis.url("soak")
        return found

    def start(self, folder: Path) -> None:
        """Start them."""
        has_database, has_bus = self._wants
        if has_database:
            self.postgres = self._stack.enter_context(running_postgres())
        if has_bus:
            (folder / "redis").mkdir()
            self.redis = self._stack.enter_context(running_redis(folder / "redis"))

    def fault(self, chance: random.Random) -> None:
        """Begin an outage of one of them, unless one is under way."""
        kinds: list[tuple[str, Callable[[float], Awaitable[None]]]] = []
        if self.postgres is not None:
            kinds += [
                ("PostgreSQL: SIGKILL", self._kill_postgres),
                ("PostgreSQL: SIGKILL of a backend", self._kill_backend),
                ("PostgreSQL: SIGSTOP", self._freeze_postgres),
                ("PostgreSQL: connections cut", self._cut_postgres),
            ]
        if self.redis is not None:
            kinds += [
                ("Redis: SIGKILL", self._kill_redis),
                ("Redis: SIGSTOP", self._freeze_redis),
                ("Redis: connections cut", self._cut_redis),
            ]
        if self._outage is not None and not self._outage.done():
            return
        name, outage = chance.choice(kinds)
        self.counts[name] += 1
        is_long = chance.random() < 0.15
        seconds = _LONG_FREEZE_S if is_long else chance.uniform(0, self._stops_for_s)
        self._outage = asyncio.ensure_future(outage(seconds))

    async def settle(self) -> None:
        """Wait until nothing is away any more."""
        if self._outage is not None:
            await self._outage

    async def stop(self) -> None:
        """Leave nothing behind."""
        if self._outage is not None:
            self._outage.cancel()
            await asyncio.gather(self._outage, return_exceptions=True)
        await asyncio.to_thread(self._stack.close)

    async def _kill_postgres(self, seconds: float) -> None:
        assert self.postgres is not None
        self.postgres.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.postgres.start)
        self.back_at = time.monotonic()

    async def _kill_backend(self, _: float) -> None:
        assert self.postgres is not None
        self.postgres.kill_backend()
        await asyncio.to_thread(self.postgres.wait)
        self.back_at = time.monotonic()

    async def _freeze_postgres(self, seconds: float) -> None:
        assert self.postgres is not None
        self.postgres.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.postgres.thaw()
        self.back_at = time.monotonic()

    async def _cut_postgres(self, _: float) -> None:
        assert self.postgres is not None
        await asyncio.to_thread(self.postgres.cut)

    async def _kill_redis(self, seconds: float) -> None:
        assert self.redis is not None
        self.redis.send(signal.SIGKILL)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.redis.start)

    async def _freeze_redis(self, seconds: float) -> None:
        assert self.redis is not None
        self.redis.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.redis.send(signal.SIGCONT)

    async def _cut_redis(self, _: float) -> None:
        assert self.redis is not None
        await asyncio.to_thread(self.redis.cut)
