"""What waits for one subscription, and how far the server knows of it.

Belongs to one event loop. Bounded: when more waits than may, all of it is dropped and a
gap stands in its place, since whoever has to load again has no use for the rest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Literal

from rowcast.client.realtime.sse import Frame

GapReason = Literal["not resumed", "reconnected", "slow"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Events were lost here: load again what you show. Whatever comes after it is complete.

    reason: "not resumed": the position was too old, or of another database;
        "reconnected": the server does not know of positions, or of those of messages;
        "slow": more events waited than may, so they were dropped.
    cursor: the position that the stream goes on from; None if the server knows of none.
    """

    reason: GapReason
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """An event as it came; `cursor` is the position to resume from once it was handled."""

    frame: Frame
    cursor: str | None


class Channel:
    """The queue of one subscription to the topic `key`."""

    def __init__(self, key: str, *, is_message: bool, max_events: int, max_bytes: int) -> None:
        self.key = key
        self.is_message = is_message
        self.is_joined = False
        self.is_closed = False
        self.error: Exception | None = None
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._items: deque[Received | Gap] = deque()
        self._bytes = 0
        self._owed: Gap | None = None
        self._wake = asyncio.Event()

    def join(self) -> None:
        """Note that the server knows of the subscription."""
        self.is_joined = True
        self._pay()
        self._wake.set()

    def fail(self, error: Exception) -> None:
        """End with an error."""
        self.error = error
        self._wake.set()

    def close(self) -> None:
        """End; what waits is dropped."""
        self.is_closed = True
        self._items.clear()
        self._wake.set()

    def owe(self, gap: Gap) -> None:
        """Tell of a gap as soon as the server knows of the subscription again, and before any event."""
        self._owed = gap

    def put(self, received: Received) -> None:
        """Queue an event, or a gap in place of everything if there is no room for it."""
        self._pay()
        size = len(received.frame.data)
        if len(self._items) >= self._max_events or self._bytes + size > self._max_bytes:
            self._items.clear()
            self._items.append(Gap("slow", received.cursor))
            self._bytes = 0
        else:
            self._items.append(received)
            self._bytes += size
        self._wake.set()

    async def joined(self) -> None:
        """Wait until the server knows of the subscription. Raises the error that ended it."""
        while not (self.is_joined or self.is_closed):
            self._check()
            await self._woken()
        self._check()

    async def take(self) -> Received | Gap | None:
        """Return what waits first; None at the end. May be cancelled: nothing is lost. Raises what ended it."""
        while not self._items:
            if self.is_closed:
                return None
            self._check()
            await self._woken()
        item = self._items.popleft()
        if isinstance(item, Received):
            self._bytes -= len(item.frame.data)
        return item

    def _pay(self) -> None:
        if self._owed is None:
            return
        if self._items and isinstance(self._items[-1], Gap):
            self._items.pop()
        self._items.append(self._owed)
        self._owed = None
        self._wake.set()

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    async def _woken(self) -> None:
        self._wake.clear()
        await self._wake.wait()
