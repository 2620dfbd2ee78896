"""The present: what was committed when somebody asked, whoever committed it, has been told.

What a stream asks for begins behind it. The wait is bounded: after that the stream may hear of changes from
before it asked, but misses none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from rowcast.realtime.changelog import ChangeLog
from rowcast.realtime.progress import Progress
from rowcast.schema.record import Position

_MOST_S = 3.0
"""How long a subscription waits. Another node that asks for the subscription waits a little longer."""


async def _alone() -> None:
    """Wait for nobody: what is committed is at the bus."""


class Present:
    """Waits for the present. Owned by the event loop.

    `follow` waits until whatever is committed by now is at the bus; it may be set.
    """

    def __init__(self, log: ChangeLog, progress: Progress) -> None:
        self._log = log
        self._progress = progress
        self.follow: Callable[[], Awaitable[None]] = _alone

    async def reach(self) -> None:
        """Wait until what was committed before this call has been told."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MOST_S):
                await self.follow()
                await self._progress.reach(self._log)

    async def start(self, asked: Position | None) -> tuple[Position, bool]:
        """Return where a stream with a cursor starts (see `ChangeLog.start`): not before what is committed by now."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MOST_S):
                await self.follow()
        return await asyncio.to_thread(self._log.start, asked)
