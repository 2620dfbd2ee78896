"""Those who wait until the present is told: whatever was committed before they came, by whom ever.

The first look at the log that begins after they came finds out up to which number that is. All who wait
share it. Owned by the event loop.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rowcast.storage import StorageError


@dataclass(slots=True)
class _Waiting:
    told: asyncio.Future[None]
    upto: int | None = None


class WaitingRoom:
    """Everybody who waits."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return what is done when all that is committed by now is told; fails where the log can't be read."""
        waiting = _Waiting(loop.create_future())
        self._waiting.append(waiting)
        return waiting.told

    def release(self, came: int, seen: int, told: int) -> None:
        """Let go of those who have what they wait for.

        The first `came` of them were there before the last look, which has `seen` a number; all up to `told` are told.
        """
        for each in self._waiting[:came]:
            if each.upto is None:
                each.upto = seen
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if each.upto is None or each.upto > told:
                self._waiting.append(each)
            elif not each.told.done():
                each.told.set_result(None)

    def refuse(self, error: StorageError) -> None:
        """Tell all of them that the log can't be read."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.told.done():
                each.told.set_exception(error)

    def end(self) -> None:
        """Let go of all: nobody looks any more."""
        for each in self._waiting:
            if not each.told.done():
                each.told.set_result(None)
