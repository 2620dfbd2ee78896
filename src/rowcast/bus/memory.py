"""The bus of a single process: one queue."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence

from rowcast.bus import Event


class MemoryBus:
    """An ordered queue that threads may append to and one task of the event loop reads.

    `_queue` is appended to under the storage's write lock, which gives the order,
    and emptied by the reader; both operations of deque are atomic.
    """

    def __init__(self) -> None:
        self._queue: deque[Event] = deque()
        # What was received last: until it is asked for more, the reader is at it.
        self._received = 0
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0

    def publish(self, events: Sequence[Event]) -> None:
        """Append the events of one commit."""
        self._queue.extend(events)
        if threading.get_ident() == self._loop_thread:
            self._wake.set()
        elif self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    @property
    def backlog(self) -> int:
        """How many events wait for the reader or are with it. From any thread."""
        return len(self._queue) + self._received

    async def receive(self) -> list[Event]:
        """Wait for events and return all that are there, oldest first."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._received = 0
        while not self._queue:
            self._wake.clear()
            # Looked at again after `clear`: a thread may have appended and set the flag in between.
            if self._queue:
                break
            await self._wake.wait()
        # Counted before they leave the queue: at no moment they seem to be nowhere.
        self._received = len(self._queue)
        return [self._queue.popleft() for _ in range(self._received)]
