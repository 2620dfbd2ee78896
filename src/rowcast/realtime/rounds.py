"""Rounds of writes: what was pushed to streams leaves in one piece for each of them.

Slices of a round are short, so that requests get their turn while thousands of
streams are written. A stream whose socket is full is tried again a little later.
"""

from __future__ import annotations

import asyncio
import time

from rowcast.realtime.stream import RETRY_S, Stream

SLICE_S = 0.001
"""How long the hub works before it lets waiting requests have their turn."""


class Rounds:
    """The streams that have something to write."""

    def __init__(self) -> None:
        # Those that were given frames since the last round, and those whose sockets were full in one.
        self._dirty: list[Stream] = []
        self._waiting: dict[Stream, None] = {}

    def waiting_bytes(self) -> int:
        """Return how many bytes wait for streams whose sockets were full."""
        return sum(stream.queued_bytes + stream.sink.pending() for stream in self._waiting)

    def push(self, stream: Stream, frame: bytes) -> None:
        """Give a stream a frame for the next round."""
        if not stream.queue:
            self._dirty.append(stream)
        stream.push(frame)

    def push_soon(self, stream: Stream, frame: bytes) -> None:
        """Give a stream a frame that no round may follow soon."""
        stream.push(frame)
        self._wait_for_room(stream)

    async def write(self) -> None:
        """Write what was pushed."""
        dirty, self._dirty = self._dirty, []
        turn_ends = time.monotonic() + SLICE_S
        for stream in dirty:
            if not stream.flush():
                self._wait_for_room(stream)
            if time.monotonic() > turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + SLICE_S
        # The sockets are written when the loop comes around; what commits until then leaves in the next round.
        await asyncio.sleep(0)

    def forget(self, stream: Stream) -> None:
        """Let go of a closed stream."""
        self._waiting.pop(stream, None)

    def _wait_for_room(self, stream: Stream) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_later(RETRY_S, self._retry)
        self._waiting[stream] = None

    def _retry(self) -> None:
        for stream in tuple(self._waiting):
            if stream.flush():
                self._waiting.pop(stream, None)
        if self._waiting:
            asyncio.get_running_loop().call_later(RETRY_S, self._retry)
