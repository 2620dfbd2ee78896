"""Counting the requests under way, for who has to wait until there are none."""

from __future__ import annotations

import asyncio
import contextlib


class Calls:
    """The requests under way. Used on one event loop."""

    __slots__ = ("_count", "_ended")

    def __init__(self) -> None:
        self._count = 0
        self._ended = asyncio.Event()

    def __enter__(self) -> None:
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self._ended.set()

    async def wait(self, timeout_s: float) -> None:
        """Wait until there are none, at most for some time."""
        self._ended.clear()
        if self._count:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), timeout_s)
