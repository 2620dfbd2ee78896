"""Subscriptions of the Python client when connections break and servers die: nothing lost, or a gap is told."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rowcast.client import Client, ClientResponseError, Event, Gap, Message, Subscription
from tests.e2e.posts import Post, make_posts
from tests.e2e.proxy import Proxy, proxying
from tests.e2e.server import Kind, Server, free_port, make_directory, running, stop

pytestmark = [pytest.mark.e2e, pytest.mark.anyio, pytest.mark.timeout(120)]


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    async with proxying(server.url) as started:
        yield started


async def titles(events: Subscription[Event[Post] | Gap], count: int) -> list[str]:
    """The titles of the next events, with "gap" for a gap."""
    async with asyncio.timeout(60):
        found = [await anext(events) for _ in range(count)]
    return ["gap" if isinstance(event, Gap) else event.record.title for event in found]


async def test_a_cut_connection_loses_nothing_or_tells_a_gap(root: Client, proxy: Proxy, kind: Kind) -> None:
    await make_posts(root)
    posts = root.collection("posts")
    async with Client(proxy.url) as client, client.collection("posts", Post).subscribe() as events:
        await posts.create({"title": "before"})
        assert await titles(events, 1) == ["before"]
        proxy.is_refusing = True
        proxy.cut()
        for number in range(3):
            await posts.create({"title": f"away {number}"})
        proxy.is_refusing = False
        if kind == "reference":
            assert await titles(events, 1) == ["gap"]
        else:
            assert await titles(events, 3) == ["away 0", "away 1", "away 2"]
        await posts.create({"title": "after"})
        assert await titles(events, 1) == ["after"]


async def test_events_while_connections_break_all_the_time_come_once_and_in_order(
    root: Client, proxy: Proxy, kind: Kind
) -> None:
    if kind == "reference":
        pytest.skip("the reference cannot resume")
    await make_posts(root)
    posts = root.collection("posts")

    async def write() -> None:
        for number in range(60):
            await posts.create({"title": str(number)})
            if number % 12 == 5:
                before = proxy.accepted
                proxy.cut()
                # However fast the writes are: the client is back, and is cut again.
                await proxy.came(before + 1)

    async with Client(proxy.url) as client:
        watched = client.collection("posts", Post)
        async with watched.subscribe() as plain, watched.subscribe(filter="title != ''") as filtered:
            writer = asyncio.create_task(write())
            expected = [str(number) for number in range(60)]
            assert await titles(plain, 60) == expected
            assert await titles(filtered, 60) == expected
            await writer
    assert proxy.accepted > 5


async def test_a_kill_and_a_restart_lose_nothing_or_tell_a_gap(kind: Kind, tmp_path: Path) -> None:
    data_dir, port = tmp_path / "pb_data", free_port()
    make_directory(kind, data_dir)
    async with Client(f"http://127.0.0.1:{port}") as client:
        with running(kind, data_dir, port=port) as first:
            await client.collection("_superusers").auth_with_password("root@example.com", "Password1234")
            await make_posts(client)
            posts = client.collection("posts", Post)
            subscription = posts.subscribe()
            async with subscription:
                await posts.create({"title": "before"})
                assert await titles(subscription, 1) == ["before"]
                stop(first, signal.SIGKILL)
                with running(kind, data_dir, port=port):
                    await posts.create({"title": "after"})
                    if kind == "reference":
                        # The write may have come before the stream was back: that is what the gap tells.
                        assert await titles(subscription, 1) == ["gap"]
                    else:
                        assert await titles(subscription, 1) == ["after"]


async def test_a_position_of_another_database_is_a_gap(root: Client, kind: Kind) -> None:
    if kind == "reference":
        pytest.skip("the reference knows no positions")
    await make_posts(root)
    posts = root.collection("posts", Post)
    async with posts.subscribe(cursor="7-aaaaaaaaaa") as events:
        gap = await anext(events)
        assert isinstance(gap, Gap)
        assert gap.reason == "not resumed"
        assert gap.cursor
        await posts.create({"title": "on"})
        assert await titles(events, 1) == ["on"]


async def test_messages_tell_a_gap_after_a_cut(root: Client, proxy: Proxy, kind: Kind) -> None:
    if kind == "reference":
        pytest.skip("the reference has no route to publish")
    async with Client(proxy.url) as client, client.realtime.subscribe("news") as news:
        proxy.cut()
        gap = await anext(news)
        assert isinstance(gap, Gap)
        assert gap.reason == "reconnected"
        await root.realtime.publish("news", 1)
        assert await anext(news) == Message("news", 1)


async def test_a_read_is_repeated_and_a_write_is_not(root: Client, proxy: Proxy) -> None:
    await make_posts(root)
    async with Client(proxy.url) as client:
        posts = client.collection("posts")
        assert (await posts.list()).total_items == 0
        proxy.freeze()
        reading, writing = asyncio.create_task(posts.list()), asyncio.create_task(posts.create({"title": "x"}))
        async with asyncio.timeout(30):
            while (await root.collection("posts").list()).total_items == 0:  # noqa: ASYNC110 - asks the server
                await asyncio.sleep(0.02)
        proxy.cut()
        proxy.thaw()
        assert (await reading).total_items == 1
        with pytest.raises(ClientResponseError, match="failed"):
            await writing
    assert (await root.collection("posts").list()).total_items == 1


async def test_a_timeout_is_an_abort(root: Client, proxy: Proxy) -> None:
    async with Client(proxy.url, retries=0) as client:
        await client.health.check()
        proxy.freeze()
        with pytest.raises(ClientResponseError, match="timed out") as failed:
            await client.health.check(timeout_s=0.2)
        assert failed.value.is_abort


async def test_cancelling_a_request_is_a_cancellation(root: Client, proxy: Proxy) -> None:
    async with Client(proxy.url) as client:
        await client.health.check()
        proxy.freeze()
        asking = asyncio.create_task(client.health.check())
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        proxy.thaw()
        assert (await client.health.check()).code == 200
