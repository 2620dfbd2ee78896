"""Calls run on the loop while they are quick, else in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from rowcast.api.work import Work
from rowcast.errors import ApiError
from rowcast.storage import BudgetExceededError


class Budget:
    """Stands for a storage; code inside of its budget may ask whether it is."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    @contextmanager
    def _bounded(self) -> Any:
        self.threads.add(threading.get_ident())
        yield
        self.threads.discard(threading.get_ident())

    def budget(self) -> AbstractContextManager[None]:
        return self._bounded()

    @property
    def is_bounded(self) -> bool:
        return threading.get_ident() in self.threads


def run(story: Callable[[Work, Budget], Any]) -> None:
    async def told() -> None:
        budget = Budget()
        work = Work(budget)  # type: ignore[arg-type]
        await story(work, budget)
        work.close()

    asyncio.run(told())


def test_quick_calls_run_on_the_loop() -> None:
    async def story(work: Work, budget: Budget) -> None:
        here = threading.get_ident()
        assert await work.quick(threading.get_ident) == here
        assert await work.write(threading.get_ident) == here
        assert await work.shape(threading.get_ident, "a") != here
        assert await work.slow(threading.get_ident) != here
        assert await work.hash(threading.get_ident) != here

    run(story)


def test_who_waits_for_other_servers_keeps_nobody_else_and_is_bounded() -> None:
    async def story(work: Work, budget: Budget) -> None:
        answers = threading.Event()
        waiting = [asyncio.ensure_future(work.remote(answers.wait)) for _ in range(64)]
        await asyncio.sleep(0)
        with pytest.raises(ApiError) as refused:
            await work.remote(threading.get_ident)
        assert refused.value.status == 503
        for way in (work.quick, work.write, work.slow, work.hash):
            assert await way(threading.get_ident)
        assert await work.shape(threading.get_ident, asker="somebody")
        answers.set()
        assert await asyncio.gather(*waiting) == [True] * 64
        assert await work.remote(threading.get_ident), "there is room again"

    run(story)


def test_what_takes_too_long_runs_again_in_a_thread() -> None:
    async def story(work: Work, budget: Budget) -> None:
        ran: list[bool] = []

        def call() -> int:
            ran.append(budget.is_bounded)
            if budget.is_bounded:
                raise BudgetExceededError
            return threading.get_ident()

        for way in (work.quick, work.write):
            ran.clear()
            assert await way(call) != threading.get_ident()
            assert ran == [True, False]

    run(story)


def test_slow_kinds_of_calls_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(work: Work, budget: Budget) -> None:
        ran: list[bool] = []

        def call() -> None:
            ran.append(budget.is_bounded)
            if budget.is_bounded:
                raise BudgetExceededError

        await work.quick(call, "a")
        await work.quick(call, "a")
        assert ran == [True, False, False]
        await work.quick(call, "b")
        assert ran[3:] == [True, False]
        monkeypatch.setattr("rowcast.api.work.time.monotonic", lambda: 1e12)
        await work.quick(call, "a")
        assert ran[5:] == [True, False]

    run(story)


def test_memory_of_slow_kinds_is_bounded() -> None:
    async def story(work: Work, budget: Budget) -> None:
        def call() -> None:
            if budget.is_bounded:
                raise BudgetExceededError

        for key in range(1500):
            await work.quick(call, key)
        assert len(work._slow) == 1024

    run(story)


def test_errors_pass_through() -> None:
    async def story(work: Work, budget: Budget) -> None:
        def fail() -> None:
            raise KeyError("x")

        for way in (work.quick, work.write, work.slow, work.hash):
            with pytest.raises(KeyError):
                await way(fail)

    run(story)
