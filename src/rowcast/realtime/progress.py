"""How far changes were delivered, and delivering the next one in its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from rowcast.realtime.changelog import ChangeLog
from rowcast.schema.record import Change, Position
from rowcast.storage import UnavailableError

AWAY_S = 0.1
"""After how long it is tried again to judge a change while the database is away."""


class Progress:
    """How far changes were delivered. `turn` is held while one is. Owned by the event loop."""

    def __init__(self, delivered: Position) -> None:
        self.delivered = delivered
        self.turn = asyncio.Lock()
        self._moved = asyncio.Event()
        self._is_held_up = False

    def move(self, position: Position) -> None:
        """Note that a change was delivered."""
        self.delivered = position
        self._moved.set()

    async def deliver(self, change: Change, dispatch: Callable[[Change], Awaitable[None]]) -> None:
        """Deliver a change in its turn; where the database went away, when it is back: the streams stay open."""
        while True:
            async with self.turn:
                try:
                    await dispatch(change)
                except UnavailableError:
                    self._is_held_up = True
                    self._moved.set()
                else:
                    self._is_held_up = False
                    if change.position is not None:
                        self.move(change.position)
                    return
            await asyncio.sleep(AWAY_S)
            # The state before it went with its connection.
            change = replace(change, before=None)

    async def wait(self) -> None:
        """Wait until another change was delivered."""
        self._moved.clear()
        await self._moved.wait()

    async def reach(self, log: ChangeLog) -> None:
        """Wait until what the log holds now was delivered. Raises UnavailableError where the database is away."""
        number = log.end.number
        # The log may begin anew meanwhile, with lower numbers.
        while self.delivered.number < min(number, log.end.number):
            if self._is_held_up:
                raise UnavailableError("the database can't be reached")
            await self.wait()
