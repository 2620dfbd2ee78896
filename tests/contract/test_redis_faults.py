"""The link over Redis when the server goes, freezes or comes back, nodes die, and messages are not ours."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowcast.bus.redis import RedisLink
from rowcast.bus.redis_address import RedisAddress, parse
from tests.contract.encryption import encrypted
from tests.contract.links import Node, echo, opened, until
from tests.redis_server import RedisServer, free_port, running_redis

SORTED_SETS = ("+zadd", "+zrem", "+zrange", "+zremrangebyscore")


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may end."""
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture
def address(redis_server: RedisServer) -> RedisAddress:
    return parse(redis_server.url(f"test{secrets.token_hex(4)}"))


def test_a_server_that_was_killed_and_started_again_is_used_again(
    own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    address = parse(own_server.url("a"))
    caplog.set_level(logging.INFO, "rowcast.bus")

    async def play() -> None:
        async with opened(lambda name: RedisLink(name, address), "one", "two") as (one, two):
            assert await one.link.ask("two", b"1") == b"answer to 1"
            own_server.send(signal.SIGKILL)
            await until(lambda: is_gone(one))
            await until(lambda: is_gone(two))
            assert one.link.has_others
            assert await one.link.nodes() == []
            for _ in range(100):
                one.link.hint()
            one.hinted.clear()
            two.hinted.clear()
            await asyncio.to_thread(own_server.start)
            # Both look at the log as soon as they are back.
            await one.heard()
            await two.heard()
            await until(lambda: answers(one, "two"))
            await until(lambda: answers(two, "one"))
            two.hinted.clear()
            one.link.hint()
            await two.heard()
            assert await one.link.nodes() == ["two"]

    asyncio.run(play())
    told = [record.message for record in caplog.records if record.name == "rowcast.bus"]
    assert sum("is away" in text for text in told) == 2
    assert sum("is back" in text for text in told) == 2


async def is_gone(node: Node) -> bool:
    return await node.link.ask("none", b"?") is None and node.link._client is None  # type: ignore[attr-defined]


async def answers(node: Node, other: str) -> bool:
    return await node.link.ask(other, b"?") == b"answer to ?"


def test_a_frozen_server_holds_nobody_up_for_long(own_server: RedisServer) -> None:
    address = parse(own_server.url("a"))

    async def play() -> None:
        async with opened(lambda name: RedisLink(name, address), "one", "two") as (one, _):
            own_server.send(signal.SIGSTOP)
            try:
                async with asyncio.timeout(8):
                    one.link.hint()
                    assert await one.link.ask("two", b"?") is None
                await until(lambda: is_gone(one))
            finally:
                own_server.send(signal.SIGCONT)
            await until(lambda: answers(one, "two"))

    asyncio.run(play())


def test_a_node_that_was_killed_is_forgotten_within_seconds(redis_server: RedisServer, address: RedisAddress) -> None:
    url = redis_server.url(address.prefix)
    program = f"""
import asyncio
from rowcast.bus.redis import RedisLink
from rowcast.bus.redis_address import parse

async def play():
    async def answer(question):
        return question
    await RedisLink("dead", parse({url!r})).open(lambda: None, answer)
    await asyncio.Event().wait()

asyncio.run(play())
"""

    async def play() -> None:
        async with opened(lambda name: RedisLink(name, address), "one") as (one,):
            await until(lambda: sees(one, ["dead"]))
            assert await one.link.ask("dead", b"?") == b"?"
            process.kill()
            # A question that was under way is given up after its time; then there is nobody to ask.
            async with asyncio.timeout(8):
                while await one.link.ask("dead", b"?") is not None:
                    pass
            await until(lambda: sees(one, []), within_s=8)

    with subprocess.Popen([sys.executable, "-c", program]) as process:
        try:
            asyncio.run(play())
        finally:
            process.kill()


async def sees(node: Node, names: list[str]) -> bool:
    return await node.link.nodes() == names


def test_what_is_no_message_of_ours_is_passed_over(redis_server: RedisServer, address: RedisAddress) -> None:
    space = f"{address.prefix}:0"
    asked: list[bytes] = []

    async def answer(question: bytes) -> bytes:
        asked.append(question)
        return question

    async def play() -> None:
        async with opened(lambda name: RedisLink(name, address), "one", "two", answer=answer) as (one, _):
            with redis_server.client() as client:
                for data in (b"", b"\n", b"\xff" * 100, b"ask", b"ask 1 one", b"ask zz one\n", b"ask 1 ../one\n"):
                    assert client.publish(f"{space}:node:two", data) == 1
                for data in (
                    b"answer 1 gone\nx",
                    b"answer ffff two\nx",
                    b"tell 1 two\nx",
                    b"ask " + b"1" * 99 + b" one\n",
                ):
                    assert client.publish(f"{space}:node:one", data) == 1
                assert client.publish(f"{space}:node:two", b"ask 1 one\n" + bytes((8 << 20) + 1)) == 1
                client.zadd(f"{space}:nodes", {b"\xff bad": 1e15, "../x": 1e15, "old": 1})
                assert client.publish(f"{space}:hint", b"\xff" * 1000) == 2
            assert await one.link.ask("two", b"?") == b"?"
            assert await one.link.nodes() == ["two"]
        assert asked == [b"?"]

    asyncio.run(play())


def test_two_prefixes_and_two_databases_do_not_hear_each_other(redis_server: RedisServer) -> None:
    mark = secrets.token_hex(4)
    urls = {
        "one": f"redis://127.0.0.1:{redis_server.port}/0?prefix=a{mark}",
        "two": f"redis://127.0.0.1:{redis_server.port}/0?prefix=b{mark}",
        "three": f"redis://127.0.0.1:{redis_server.port}/1?prefix=a{mark}",
    }

    async def play() -> None:
        async with opened(lambda name: RedisLink(name, parse(urls[name])), *urls) as nodes:
            for node in nodes:
                assert await node.link.nodes() == []
                assert [await node.link.ask(name, b"?") for name in urls if name != node.link.name] == [None, None]

    asyncio.run(play())


def test_a_server_that_is_not_there_at_the_start_is_told_and_found_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(free_port(), tmp_path)
    address = parse(server.url("a"))

    async def play() -> None:
        async with opened(lambda name: RedisLink(name, address), "one", "two") as (one, two):
            assert one.link.has_others
            assert await one.link.ask("two", b"?") is None
            await asyncio.to_thread(server.start)
            await until(lambda: answers(one, "two"))
            await two.heard()

    try:
        asyncio.run(play())
    finally:
        with contextlib.suppress(AssertionError):
            server.send(signal.SIGKILL)
    assert sum("is away" in record.message for record in caplog.records) == 2


def test_a_password_is_used_and_not_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running_redis(tmp_path) as server:
        with server.client() as client:
            client.acl_setuser(
                "node",
                enabled=True,
                reset_channels=True,
                passwords=["+p@ss/w:rd"],
                # Those that docs/bus.md names.
                commands=["+@connection", "+subscribe", "+publish", "+eval", "+time", *SORTED_SETS, "+pexpire"],
                keys=["myapp:*"],
                channels=["myapp:*"],
            )
        right = parse(f"redis://node:p%40ss%2Fw%3Ard@127.0.0.1:{server.port}?prefix=myapp")
        wrong = parse(f"redis://node:secretword@127.0.0.1:{server.port}")

        async def play() -> None:
            async with opened(lambda name: RedisLink(name, right), "one", "two") as (one, _):
                assert await one.link.ask("two", b"?") == b"answer to ?"
                assert await one.link.nodes() == ["two"]
                async with opened(lambda name: RedisLink(name, wrong), "three") as (three,):
                    assert await three.link.ask("one", b"?") is None

        asyncio.run(play())
        with server.client() as client:
            assert client.exists("myapp:0:nodes") == 0
    assert "is away" in caplog.text
    assert "secretword" not in caplog.text


def test_sentinels_name_the_server(own_server: RedisServer, tmp_path: Path) -> None:
    folder = tmp_path / "sentinel"
    folder.mkdir()
    config = folder / "sentinel.conf"
    config.write_text(f"sentinel monitor main 127.0.0.1 {own_server.port} 1\n")
    with running_redis(folder, str(config), "--sentinel") as sentinel:
        address = parse(f"redis://127.0.0.1:{sentinel.port},127.0.0.1:{free_port()}/0?sentinel=main")

        async def play() -> None:
            async with opened(lambda name: RedisLink(name, address), "one", "two") as (one, two):
                assert await one.link.ask("two", b"?") == b"answer to ?"
                assert await two.link.nodes() == ["one"]

        asyncio.run(play())


def test_a_cluster_of_two_carries_all(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    options = ("--cluster-enabled", "yes")
    with running_redis(folders[0], *options) as first, running_redis(folders[1], *options) as second:
        with first.client() as one, second.client() as two:
            one.execute_command("CLUSTER", "ADDSLOTS", *range(8192))
            two.execute_command("CLUSTER", "ADDSLOTS", *range(8192, 16384))
            one.execute_command("CLUSTER", "MEET", "127.0.0.1", second.port)

        async def is_whole() -> bool:
            with first.client() as one, second.client() as two:
                states = [str(client.execute_command("CLUSTER", "INFO")) for client in (one, two)]
            return all("'cluster_state': 'ok'" in state or "cluster_state:ok" in state for state in states)

        address = parse(f"redis://127.0.0.1:{first.port},127.0.0.1:{second.port}?cluster=yes")

        async def play() -> None:
            await until(is_whole)
            names = [f"n{number}" for number in range(6)]
            async with opened(lambda name: RedisLink(name, address), *names) as nodes:
                for node in nodes:
                    others = [name for name in names if name != node.link.name]
                    assert sorted(await node.link.nodes()) == others
                    asked = await asyncio.gather(*[node.link.ask(other, b"?") for other in others])
                    assert asked == [b"answer to ?"] * 5
                async with asyncio.timeout(3):
                    assert await nodes[0].link.ask("gone", b"?") is None
                for node in nodes:
                    node.hinted.clear()
                nodes[0].link.hint()
                for node in nodes[1:]:
                    await node.heard()

        asyncio.run(play())


def test_a_flood_of_hints_starves_nobody(address: RedisAddress, redis_server: RedisServer) -> None:
    async def play() -> None:
        async with opened(lambda name: RedisLink(name, address), "one", "two", answer=echo) as (one, two):

            def flood() -> None:
                with redis_server.client() as client, client.pipeline(transaction=False) as batch:
                    for _ in range(3_000):
                        batch.publish(f"{address.prefix}:0:hint", b"else")
                    batch.execute()

            flooding = asyncio.create_task(asyncio.to_thread(flood))
            while not flooding.done():
                assert await one.link.ask("two", b"?") == b"answer to ?"
            await flooding
            assert await one.link.ask("two", b"?") == b"answer to ?"
            assert two.hints >= 3_000

    asyncio.run(play())


def test_tls_checks_the_certificate(
    redis_server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prefix = secrets.token_hex(4)
    with encrypted(redis_server.port, tmp_path) as (port, authority):
        known = parse(f"rediss://127.0.0.1:{port}/0?prefix={prefix}&ca={authority}")
        unknown = parse(f"rediss://127.0.0.1:{port}/0?prefix={prefix}")

        async def play() -> None:
            async with opened(lambda name: RedisLink(name, known), "one", "two") as (one, _):
                assert await one.link.ask("two", bytes(100_000)) == b"answer to " + bytes(100_000)
                async with opened(lambda name: RedisLink(name, unknown), "three") as (three,):
                    assert await three.link.ask("one", b"?") is None

        asyncio.run(play())
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text or "certificate verify failed" in caplog.text
