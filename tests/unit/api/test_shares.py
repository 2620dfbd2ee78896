"""Who asks much waits for its own calls, not others for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from rowcast.api import shares
from rowcast.api.pool import Pool
from rowcast.api.shares import Shares
from rowcast.errors import TooManyRequestsError
from rowcast.records import Records
from rowcast.schema.collection import Collection
from rowcast.schema.request import RequestInfo
from rowcast.storage import BudgetExceededError
from tests.unit.api.client import Client
from tests.unit.api.test_handlers import Tell


class Calls:
    """Calls that run until they are let go, and who had them running."""

    def __init__(self, of: Shares) -> None:
        self._shares = of
        self._begun: asyncio.Queue[str] = asyncio.Queue()
        self._go: dict[str, threading.Event] = {}

    def ask(self, name: str) -> asyncio.Task[str]:
        """Ask as the asker that the name begins with."""
        go = self._go[name] = threading.Event()
        loop = asyncio.get_running_loop()

        def call() -> str:
            loop.call_soon_threadsafe(self._begun.put_nowait, name)
            go.wait(10)
            return name

        return asyncio.ensure_future(self._shares.run(name[0], call))

    async def begun(self, count: int) -> list[str]:
        """Wait until so many more calls have begun; those of one moment in alphabetical order."""
        found = [await asyncio.wait_for(self._begun.get(), 10) for _ in range(count)]
        # Whatever may begin besides has had its chance.
        for _ in range(5):
            await asyncio.sleep(0)
        assert self._begun.empty()
        return sorted(found)

    def end(self, *names: str) -> None:
        for name in names:
            self._go[name].set()

    def end_all(self) -> None:
        self.end(*self._go)


def run(story: Callable[[Calls, Shares], Awaitable[None]], *, most: int = 3, each: int = 2) -> None:
    async def told() -> None:
        threads = Pool("share", most)
        fair = Shares(threads, most=most, each=each)
        calls = Calls(fair)
        try:
            await story(calls, fair)
        finally:
            calls.end_all()
            threads.close()

    asyncio.run(told())


def test_one_asker_never_has_all_threads() -> None:
    async def story(calls: Calls, _: Shares) -> None:
        tasks = [calls.ask(f"a{number}") for number in range(5)]
        assert await calls.begun(2) == ["a0", "a1"]
        tasks.append(calls.ask("b0"))
        assert await calls.begun(1) == ["b0"]
        calls.end("a1")
        assert await calls.begun(1) == ["a2"]
        calls.end_all()
        assert await asyncio.gather(*tasks) == ["a0", "a1", "a2", "a3", "a4", "b0"]

    run(story)


def test_lines_are_served_in_turn() -> None:
    async def story(calls: Calls, _: Shares) -> None:
        tasks = [calls.ask(name) for name in ("a0", "a1", "b0", "a2", "a3", "b1", "c0", "c1")]
        assert await calls.begun(3) == ["a0", "a1", "b0"]
        order = []
        for name in ("a0", "a1", "b0", "a2", "b1"):
            calls.end(name)
            order += await calls.begun(1)
        assert order == ["a2", "b1", "c0", "a3", "c1"]
        calls.end_all()
        await asyncio.gather(*tasks)

    run(story)


def test_waiting_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_MOST_WAITING_EACH", 2)
    monkeypatch.setattr(shares, "_MOST_WAITING", 3)

    async def story(calls: Calls, fair: Shares) -> None:
        tasks = [calls.ask(name) for name in ("a0", "a1", "a2", "a3")]
        assert await calls.begun(2) == ["a0", "a1"]
        with pytest.raises(TooManyRequestsError):
            await fair.run("a", lambda: None)
        tasks += [calls.ask("b0"), calls.ask("b1")]
        assert await calls.begun(1) == ["b0"]
        with pytest.raises(TooManyRequestsError):
            await fair.run("c", lambda: None)
        calls.end_all()
        assert len(await asyncio.gather(*tasks)) == 6
        assert (fair._all_running, fair._all_waiting, len(fair._lines), len(fair._running)) == (0, 0, 0, 0)

    run(story)


def test_who_gives_up_leaves_the_line() -> None:
    async def story(calls: Calls, fair: Shares) -> None:
        tasks = [calls.ask(name) for name in ("a0", "a1", "a2", "a3")]
        assert await calls.begun(2) == ["a0", "a1"]
        tasks[2].cancel()
        await asyncio.gather(tasks[2], return_exceptions=True)
        calls.end("a0")
        assert await calls.begun(1) == ["a3"]
        calls.end_all()
        assert await asyncio.gather(*tasks[:2], tasks[3]) == ["a0", "a1", "a3"]
        assert (fair._all_running, fair._all_waiting) == (0, 0)

    run(story)


def test_a_call_that_fails_frees_its_thread() -> None:
    async def story(calls: Calls, fair: Shares) -> None:
        def fail() -> None:
            raise KeyError("x")

        for _ in range(4):
            with pytest.raises(KeyError):
                await fair.run("a", fail)
        assert fair._all_running == 0

    run(story, most=1, each=1)


def test_slow_lists_of_one_guest_leave_threads_to_others(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    posts = "/api/collections/posts/records?sort=title"
    greedy, other = ("192.0.2.1", 1), ("192.0.2.2", 1)
    go, begun = threading.Event(), threading.Semaphore(0)
    find = Records.list

    def slow(self: Records, request: RequestInfo, collection: Collection) -> bytes:
        if threading.current_thread() is threading.main_thread():
            raise BudgetExceededError
        begun.release()
        go.wait(10)
        return find(self, request, collection)

    async def story(client: Client) -> None:
        monkeypatch.setattr(Records, "list", slow)
        asked = [asyncio.ensure_future(client("GET", posts, client=greedy)) for _ in range(40)]
        await asyncio.to_thread(begun.acquire)
        await asyncio.to_thread(begun.acquire)
        refused = [reply for reply in asked if reply.done()]
        assert [(reply.result().status, reply.result().json()["status"]) for reply in refused] == [(429, 429)] * 6
        asked.append(asyncio.ensure_future(client("GET", posts, client=other)))
        await asyncio.to_thread(begun.acquire)
        # Two of the first guest and one of the second: nobody else has a thread.
        assert not begun.acquire(blocking=False)
        go.set()
        statuses = [reply.status for reply in await asyncio.gather(*asked)]
        assert sorted(statuses) == [200] * 35 + [429] * 6

    tell(story)
