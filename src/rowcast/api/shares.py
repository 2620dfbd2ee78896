"""Threads in fair shares: who asks for much gets its turn after who asks for little.

What runs long comes from somebody (an account, else an address). Of each, only so
many calls run at a time, the rest of its calls wait in a line of its own, and the
lines are served in turn. So one client that asks slow questions keeps nobody else
waiting. Used on the event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import TypeVar

from rowcast.api.pool import Pool
from rowcast.errors import TooManyRequestsError

T = TypeVar("T")

_MOST_WAITING_EACH = 32
_MOST_WAITING = 1_000


class Shares:
    """Hands the threads of a pool out: `most` at a time in all, `each` to one asker."""

    def __init__(self, threads: Pool, *, most: int, each: int) -> None:
        self._threads = threads
        self._most, self._each = most, each
        self._running: Counter[Hashable] = Counter()
        self._all_running = self._all_waiting = 0
        self._lines: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()

    async def run(self, asker: Hashable, call: Callable[[], T]) -> T:
        """Run a call in a thread once it is its turn.

        Raises TooManyRequestsError where too many calls of this asker, or of all, wait already.
        """
        if self._may_run(asker):
            self._begin(asker)
        else:
            await self._wait(asker)
        try:
            return await self._threads.run(call)
        finally:
            self._end(asker)

    async def _wait(self, asker: Hashable) -> None:
        line = self._lines.get(asker)
        if self._all_waiting >= _MOST_WAITING or (line is not None and len(line) >= _MOST_WAITING_EACH):
            raise TooManyRequestsError
        if line is None:
            line = self._lines[asker] = deque()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        self._all_waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            # The turn may have come in the meantime; then somebody else gets it.
            if turn.cancelled():
                self._leave(asker, turn)
            else:
                self._end(asker)
            raise

    def _may_run(self, asker: Hashable) -> bool:
        return self._all_running < self._most and self._running[asker] < self._each

    def _begin(self, asker: Hashable) -> None:
        self._running[asker] += 1
        self._all_running += 1

    def _end(self, asker: Hashable) -> None:
        self._all_running -= 1
        self._running[asker] -= 1
        if not self._running[asker]:
            del self._running[asker]
        self._serve()

    def _serve(self) -> None:
        """Give the free thread to the line that has waited longest for its turn."""
        for asker, line in self._lines.items():
            if self._may_run(asker):
                turn = line[0]
                self._leave(asker, turn)
                if asker in self._lines:
                    self._lines.move_to_end(asker)
                self._begin(asker)
                turn.set_result(None)
                return

    def _leave(self, asker: Hashable, turn: asyncio.Future[None]) -> None:
        line = self._lines[asker]
        line.remove(turn)
        self._all_waiting -= 1
        if not line:
            del self._lines[asker]
