"""Hints on their way out of this node: many that come from any thread leave as few."""

from __future__ import annotations

import asyncio
import contextlib


class Hints:
    """Gathers hints until somebody passes them on. Owned by the event loop, save for `give`."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._given = asyncio.Event()
        self._is_due = False

    def open(self) -> None:
        """Take hints from now on."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Take none any more."""
        self._loop = None

    def give(self) -> None:
        """Have a hint passed on. Never waits and never raises; from any thread."""
        loop = self._loop
        # The flag falls before a hint leaves: whoever sees it up is told of by one that comes later.
        if loop is None or self._is_due:
            return
        self._is_due = True
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._given.set)

    def wake(self) -> None:
        """Have one passed on, whether a hint was given or not. On the event loop."""
        self._given.set()

    async def wait(self) -> None:
        """Wait until one is to be passed on."""
        await self._given.wait()
        self._given.clear()
        self._is_due = False
