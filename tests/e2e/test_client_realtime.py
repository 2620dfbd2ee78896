"""Subscriptions of the Python client while the connection holds, on a real server of each kind."""

from __future__ import annotations

import asyncio

import pytest

from rowcast.client import (
    Client,
    ClientResponseError,
    DecodeError,
    Event,
    Gap,
    Leave,
    Message,
    UsageError,
    field,
)
from rowcast.client.realtime.topics import Realtime
from tests.e2e.posts import Post, add_person, make_people, make_posts
from tests.e2e.server import Kind

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


def told(event: object) -> tuple[str, str]:
    """Action and title of an event."""
    assert isinstance(event, Event), event
    title = event.record.title
    assert isinstance(title, str)
    return event.action, title


async def until_disconnected(realtime: Realtime) -> None:
    """Wait until the client has no stream any more."""
    async with asyncio.timeout(10):
        while realtime.client_id:  # noqa: ASYNC110 - the end is not told to anybody
            await asyncio.sleep(0.01)


async def test_events_arrive_in_order(root: Client) -> None:
    await make_posts(root)
    posts = root.collection("posts")
    async with posts.subscribe("*") as events:
        made = await posts.create({"title": "one"})
        await posts.update(made.id, {"title": "two"})
        await posts.delete(made.id)
        assert [told(await anext(events)) for _ in range(3)] == [
            ("create", "one"),
            ("update", "two"),
            ("delete", "two"),
        ]


async def test_a_plain_loop_subscribes_with_its_first_step_and_ends_with_it(root: Client) -> None:
    await make_posts(root)
    posts = root.collection("posts", Post)
    writer = asyncio.create_task(write_when_connected(root))
    async for event in posts.subscribe():
        assert isinstance(event, Event)
        assert isinstance(event.record, Post)
        break
    await writer
    await until_disconnected(root.realtime)


async def write_when_connected(root: Client) -> None:
    async with root.collection("posts").subscribe() as events:
        await root.collection("posts").create({"title": "x"})
        assert told(await anext(events)) == ("create", "x")


async def test_topics_and_options_choose(root: Client) -> None:
    await make_posts(root, "authors")
    authors = (await root.collections.get("authors")).id
    await make_posts(root, fields=[{"name": "by", "type": "relation", "collectionId": authors, "maxSelect": 1}])
    ann = await root.collection("authors").create({"title": "Ann"})
    posts = root.collection("posts")
    old = await posts.create({"title": "old"})
    large = posts.subscribe(filter=field("total") > 5, expand="by", fields="id,title,expand.by.title")
    async with posts.subscribe(old.id) as one, large as chosen, posts.subscribe() as everything:
        await posts.create({"title": "small", "total": 1, "by": ann.id})
        await posts.create({"title": "large", "total": 9, "by": ann.id})
        await posts.update(old.id, {"title": "new"})
        assert told(await anext(one)) == ("update", "new")
        event = await anext(chosen)
        assert told(event) == ("create", "large")
        assert isinstance(event, Event)
        assert event.record.expand.by.title == "Ann"
        assert "total" not in event.record
        assert [told(await anext(everything))[1] for _ in range(3)] == ["small", "large", "new"]


async def test_a_list_that_is_loaded_inside_misses_nothing(root: Client) -> None:
    await make_posts(root)
    posts = root.collection("posts")
    await posts.create({"title": "before"})
    async with posts.subscribe() as events:
        await posts.create({"title": "between"})
        seen = {post.title async for post in posts.all()}
        await posts.create({"title": "after"})
        seen |= {told(await anext(events))[1] for _ in range(2)}
    assert seen == {"before", "between", "after"}


async def test_a_list_is_gone_on_from_by_its_cursor(root: Client, kind: Kind) -> None:
    if kind == "reference":
        pytest.skip("the reference knows no positions")
    await make_posts(root)
    posts = root.collection("posts")
    await posts.create({"title": "before"})
    # The log of positions begins with the first stream that has them.
    async with posts.subscribe():
        pass
    page = await posts.list()
    await posts.create({"title": "between"})
    async with posts.subscribe(cursor=page.cursor) as events:
        assert told(await anext(events)) == ("create", "between")
        event = await posts.create({"title": "after"})
        got = await anext(events)
        assert isinstance(got, Event)
        assert got.record == event
        assert got.cursor
        with pytest.raises(UsageError, match="runs already"):
            await anext(posts.subscribe("x", cursor=page.cursor))
    async with posts.subscribe(cursor=got.cursor) as events:
        await posts.create({"title": "last"})
        assert told(await anext(events)) == ("create", "last")


async def test_leave_events_are_told_to_who_asks(root: Client, kind: Kind) -> None:
    if kind == "reference":
        pytest.skip("the reference knows no leave events")
    await make_posts(root)
    posts = root.collection("posts", Post)
    made = await posts.create({"title": "x", "total": 9})
    async with posts.subscribe(filter="total > 5", leave=True) as events:
        await posts.update(made.id, {"total": 1})
        event = await anext(events)
    assert isinstance(event, Leave)
    assert (event.id, event.collection_name) == (made.id, "posts")


async def test_messages_reach_their_topic(root: Client, kind: Kind) -> None:
    if kind == "reference":
        pytest.skip("the reference has no route to publish")
    async with root.realtime.subscribe("news") as news, root.realtime.subscribe("other") as other:
        assert [client.topics for client in await root.realtime.clients()] == [["news", "other"]]
        await root.realtime.publish("news", {"cursor": "mine", "n": [1, None]})
        await root.realtime.publish("other", "text")
        assert await anext(news) == Message("news", {"cursor": "mine", "n": [1, None]})
        assert await anext(other) == Message("other", "text")


async def test_many_subscriptions_share_one_stream(root: Client) -> None:
    await make_posts(root)
    posts = root.collection("posts")
    ids = [(await posts.create({"title": f"t{number}"})).id for number in range(40)]

    async def watch(record_id: str) -> tuple[str, str]:
        async with posts.subscribe(record_id) as events:
            ready.release()
            return told(await anext(events))

    ready = asyncio.Semaphore(0)
    watchers = [asyncio.create_task(watch(record_id)) for record_id in ids]
    for _ in ids:
        await ready.acquire()
    client_id = root.realtime.client_id
    assert client_id
    await asyncio.gather(*(posts.update(record_id, {"title": f"new {record_id}"}) for record_id in ids))
    assert await asyncio.gather(*watchers) == [("update", f"new {record_id}") for record_id in ids]
    await until_disconnected(root.realtime)


async def test_two_subscriptions_to_one_topic_both_hear_and_end_alone(root: Client) -> None:
    await make_posts(root)
    posts = root.collection("posts")
    async with posts.subscribe() as first:
        async with posts.subscribe() as second:
            await posts.create({"title": "both"})
            assert told(await anext(second)) == told(await anext(first)) == ("create", "both")
        await posts.create({"title": "one"})
        assert told(await anext(first)) == ("create", "one")
        assert [event async for event in second] == []


async def test_a_cancelled_step_loses_nothing(root: Client) -> None:
    await make_posts(root)
    posts = root.collection("posts")
    async with posts.subscribe() as events:
        for number in range(20):
            waiting = asyncio.create_task(anext(events))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await posts.create({"title": str(number)})
            assert told(await anext(events)) == ("create", str(number))


async def test_a_cancelled_first_step_leaves_no_subscription(root: Client) -> None:
    await make_posts(root)
    events = root.collection("posts").subscribe()
    waiting = asyncio.create_task(anext(events))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [event async for event in events] == []
    await until_disconnected(root.realtime)


async def test_a_slow_consumer_gets_a_gap_and_not_more_memory(root: Client) -> None:
    await make_posts(root)
    posts = root.collection("posts")
    async with posts.subscribe(max_events=5) as slow, posts.subscribe() as quick:
        for number in range(8):
            await posts.create({"title": str(number)})
        # The other one has everything, so the slow one has been given it too.
        assert [told(await anext(quick))[1] for _ in range(8)] == [str(number) for number in range(8)]
        gap = await anext(slow)
        assert isinstance(gap, Gap)
        assert gap.reason == "slow"
        assert [told(await anext(slow))[1] for _ in range(2)] == ["6", "7"]
        await posts.create({"title": "on"})
        assert told(await anext(slow)) == ("create", "on")


async def test_a_change_of_account_changes_what_is_told(root: Client) -> None:
    await make_people(root)
    mine = {"listRule": "by = @request.auth.id", "viewRule": "by = @request.auth.id"}
    people = (await root.collections.get("people")).id
    owner = {"name": "by", "type": "relation", "collectionId": people, "maxSelect": 1}
    await make_posts(root, fields=[owner], **mine)
    ann, bob = await add_person(root, "ann@example.com"), await add_person(root, "bob@example.com")
    async with Client(root.url) as client, client.collection("posts").subscribe() as events:
        for person, email in ((ann, "ann@example.com"), (bob, "bob@example.com")):
            await client.collection("people").auth_with_password(email, "Password1234")
            await submitted(client)
            await root.collection("posts").create({"title": "somebody's", "by": ann if person == bob else bob})
            await root.collection("posts").create({"title": email, "by": person})
            # A stream belongs to one account: it is opened again for the other. rowcast resumes it, by the rights
            # of the other, who may be told more of what happened before; the reference has a gap.
            async for event in events:
                if isinstance(event, Event):
                    assert event.record.by == person
                    if event.record.title == email:
                        break


async def submitted(client: Client) -> None:
    """Wait until the server knows the topics and the account of a client."""
    stream = client.realtime._stream
    async with asyncio.timeout(10):
        while stream._submitted is None or stream._submitted[1] != client.auth_store.token:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)


async def test_refused_topics_are_told_and_leave_the_others_alone(root: Client) -> None:
    await make_posts(root)
    posts = root.collection("posts")
    async with posts.subscribe() as events:
        with pytest.raises(ClientResponseError) as refused:
            await anext(posts.subscribe("x" * 3_000))
        assert refused.value.status == 400
        assert "subscriptions" in refused.value.data
        await posts.create({"title": "on"})
        assert told(await anext(events)) == ("create", "on")
    with pytest.raises(UsageError):
        _ = posts.subscribe("")


async def test_an_event_that_does_not_fit_its_type_is_told_and_passed_over(root: Client) -> None:
    await make_posts(root)
    posts = root.collection("posts", Post)
    async with posts.subscribe(fields="id") as bare, posts.subscribe() as whole:
        await posts.create({"title": "x"})
        with pytest.raises(DecodeError):
            await anext(bare)
        assert told(await anext(whole)) == ("create", "x")


async def test_closing_the_client_ends_the_loops(root: Client) -> None:
    await make_posts(root)
    async with Client(root.url) as client:
        events = client.collection("posts").subscribe()
        async with events:
            waiting = asyncio.create_task(anext(events, None))
            await asyncio.sleep(0)
            await client.aclose()
            assert await waiting is None
