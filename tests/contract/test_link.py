"""What every link between nodes does, whatever carries it."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowcast.bus import Link, questions, sockets
from rowcast.bus.alone import Alone
from rowcast.bus.postgres import PostgresLink
from rowcast.bus.redis import RedisLink
from rowcast.bus.redis_address import parse
from rowcast.bus.sockets import SocketLink
from tests import postgres
from tests.contract.links import Make, echo, opened, until
from tests.redis_server import RedisServer

pytestmark = pytest.mark.parametrize("make", ["sockets", "redis", "postgres"], indirect=True)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    found = postgres.new_database()
    yield found
    postgres.drop_database(found)


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "sockets":
        return lambda name: SocketLink(name, tmp_path)
    if request.param == "postgres":
        url: str = request.getfixturevalue("database")
        return lambda name: PostgresLink(name, url, Alone(name))
    server: RedisServer = request.getfixturevalue("redis_server")
    address = parse(server.url(f"test{secrets.token_hex(4)}"))
    return lambda name: RedisLink(name, address)


def test_nodes_hint_and_ask_each_other(make: Make) -> None:
    async def play() -> None:
        async with opened(make, "one", "two") as (one, two):
            # The newcomer announces itself.
            await one.heard()
            assert one.link.has_others
            assert await one.link.nodes() == ["two"]
            two.hinted.clear()
            one.link.hint()
            await two.heard()
            large = b"x" * 1_000_000
            assert await one.link.ask("two", large) == b"answer to " + large
            assert await two.link.ask("one", b"") == b"answer to "
            await two.link.close()
            assert await one.link.ask("two", b"?") is None
            assert await one.link.nodes() == []
            counts = one.link.counts
            assert (counts.is_connected, counts.connects) == (True, 1)
            assert (counts.asked, counts.unanswered, counts.answered, counts.dropped) == (2, 1, 1, 0)
            assert counts.hints_sent >= 1
            assert two.link.counts.hints_heard >= 1

    asyncio.run(play())


@pytest.mark.parametrize("name", ["gone", "", "../one", "a/b", "x" * 200, "\xe9", "a b"])
def test_nobody_answers_for_a_node_that_is_not_there(make: Make, name: str) -> None:
    async def play() -> None:
        async with opened(make, "one") as (one,), asyncio.timeout(2):
            assert await one.link.ask(name, b"?") is None

    asyncio.run(play())


def test_a_hint_reaches_all_others(make: Make) -> None:
    async def play() -> None:
        async with opened(make, "one", "two", "three") as nodes:
            assert sorted(await nodes[0].link.nodes()) == ["three", "two"]
            for node in nodes:
                node.hinted.clear()
            nodes[0].link.hint()
            await nodes[1].heard()
            await nodes[2].heard()

    asyncio.run(play())


def test_hints_come_from_any_thread_and_the_last_one_is_heard(make: Make) -> None:
    async def play() -> None:
        async with opened(make, "one", "two") as (one, two):

            def flood() -> None:
                for _ in range(5_000):
                    one.link.hint()

            threads = [threading.Thread(target=flood) for _ in range(4)]
            for thread in threads:
                thread.start()
            await asyncio.gather(*[asyncio.to_thread(thread.join) for thread in threads])
            # What was behind the flood is heard as well.
            assert await one.link.ask("two", b"?") == b"answer to ?"
            two.hinted.clear()
            one.link.hint()
            await two.heard()
            assert 0 < two.hints <= 20_001

    asyncio.run(play())


def test_hints_before_it_is_open_and_after_it_is_closed_do_no_harm(make: Make) -> None:
    link: Link = make("one")
    link.hint()

    async def play() -> None:
        async with opened(make, "two") as (two,):
            await link.open(two.hear, echo)
            await link.close()
            link.hint()
            assert await link.ask("gone", b"?") is None

    asyncio.run(play())
    link.hint()


def test_a_slow_answer_holds_no_other_answer_up(make: Make) -> None:
    go = asyncio.Event()

    async def answer(question: bytes) -> bytes:
        if question == b"slow":
            await go.wait()
        return question

    async def play() -> None:
        async with opened(make, "one", "two", answer=answer) as (one, _):
            slow = asyncio.ensure_future(one.link.ask("two", b"slow"))
            quick = await asyncio.gather(*[one.link.ask("two", b"%d" % number) for number in range(200)])
            assert quick == [b"%d" % number for number in range(200)]
            assert not slow.done()
            go.set()
            assert await slow == b"slow"

    asyncio.run(play())


def test_what_never_answers_is_given_up(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(questions.ANSWER_S, sockets._ANSWER_S) < 8
    for name in ("questions.ANSWER_S", "postgres.ANSWER_S", "sockets._ANSWER_S"):
        monkeypatch.setattr(f"rowcast.bus.{name}", 0.5)
    given_up = asyncio.Event()

    async def answer(question: bytes) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        return question

    async def play() -> None:
        async with opened(make, "one", "two", answer=answer) as (one, _), asyncio.timeout(8):
            assert await one.link.ask("two", b"?") is None
            await given_up.wait()

    asyncio.run(play())


def test_a_loop_that_ends_before_an_answer_says_nothing(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    asked = asyncio.Event()

    async def answer(question: bytes) -> bytes:
        asked.set()
        await asyncio.Event().wait()
        return question

    async def play() -> None:
        async with opened(make, "one", "two", answer=answer) as (one, _), asyncio.timeout(8):
            asking = asyncio.ensure_future(one.link.ask("two", b"?"))
            await asked.wait()
            assert not asking.done()

    asyncio.run(play())
    assert caplog.records == []


def test_what_is_too_long_is_not_carried(make: Make) -> None:
    async def answer(question: bytes) -> bytes:
        return bytes(9 << 20) if question == b"much" else question

    async def play() -> None:
        async with opened(make, "one", "two", answer=answer) as (one, _), asyncio.timeout(8):
            assert await one.link.ask("two", bytes(9 << 20)) is None
            assert await one.link.ask("two", b"much") is None
            assert await one.link.ask("two", b"little") == b"little"

    asyncio.run(play())


def test_a_node_that_comes_again_under_another_name_is_found(make: Make) -> None:
    async def play() -> None:
        async with opened(make, "one") as (one,):
            for name in ("two", "three"):
                async with opened(make, name):
                    await until(lambda name=name: _are(one.link, [name]))  # type: ignore[misc]
                    assert await one.link.ask(name, b"?") == b"answer to ?"
            assert await one.link.nodes() == []

    async def _are(link: Link, names: list[str]) -> bool:
        return await link.nodes() == names

    asyncio.run(play())
