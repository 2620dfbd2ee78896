"""Threads for one kind of call, and how many of them are wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

T = TypeVar("T")


class Pool:
    """Threads for one kind of call. `pending` counts the calls that run or wait for a thread."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size, self.pending = name, size, 0
        # Whether calls run in the context of who asks, which only tracing needs.
        self.carries_context = False
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=f"rowcast-{name}")

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call in a thread."""
        self.pending += 1
        if self.carries_context:
            call = partial(copy_context().run, call)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        finally:
            self.pending -= 1

    def start(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Start a call; the future is done when the call is, whoever waits for it. It is not counted as pending."""
        return asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """Wait for what runs and let the threads go."""
        self._threads.shutdown(cancel_futures=True)
