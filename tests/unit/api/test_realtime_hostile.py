"""Streams while the schema changes under them, and streams of clients that mean no good."""

from __future__ import annotations

import asyncio

from tests.unit.api.client import Client
from tests.unit.api.conftest import Template
from tests.unit.api.test_realtime_extras import TARGET, Listener, Tell, create

USERS = "/api/collections/users"
COLLECTION = "/api/collections/posts"


async def change(client: Client, path: str, token: str, **values: object) -> None:
    reply = await client("PATCH", path, values, token=token)
    assert reply.status == 200, reply.body


async def fields(client: Client, path: str, token: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await client("GET", path, token=token)).json()["fields"]
    return found


def test_what_was_missed_is_shown_in_the_form_that_its_collection_has_now(tell: Tell, template: Template) -> None:
    token = template.root_token

    async def story(client: Client) -> None:
        listener = Listener(client, f"{TARGET}?cursor=")
        first = await listener.event()
        await listener.close()
        await create(client, title="secret", count=1)
        now = await fields(client, COLLECTION, token)
        for field in now:
            field["hidden"] = field["name"] == "title"
        more = [{"name": "tags", "type": "select", "values": ["a", "b"], "maxSelect": 2}, {"name": "j", "type": "json"}]
        await change(client, COLLECTION, token, fields=[*now, *more])
        again = Listener(client, f"{TARGET}?cursor={first['cursor']}")
        await again.subscribe("posts/*")
        record = (await again.event())["record"]
        assert "title" not in record
        assert (record["count"], record["tags"], record["j"]) == (1, [], None)
        await again.close()

    tell(story)


def test_nothing_of_a_dropped_collection_is_caught_up(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        listener = Listener(client, f"{TARGET}?cursor=")
        first = await listener.event()
        await listener.close()
        made = await create(client, title="gone")
        assert (await client("DELETE", COLLECTION, token=template.root_token)).status == 204
        for token in ("", template.root_token):
            again = Listener(client, f"{TARGET}?cursor={first['cursor']}")
            await again.subscribe("posts/*", f"{made['collectionId']}/*", "/*", "news", token=token)
            await asyncio.sleep(0.1)
            form = {"topic": "news", "data": 1}
            assert (await client("POST", f"{TARGET}/publish", form, token=template.root_token)).status == 204
            assert (await again.frame())["event"] == "news"
            await again.close()

    tell(story)


def test_accounts_keep_their_values_when_a_field_is_renamed(tell: Tell, template: Template) -> None:
    token = template.root_token

    async def story(client: Client) -> None:
        now = await fields(client, USERS, token)
        await change(client, USERS, token, fields=[*now, {"name": "banned", "type": "text"}])
        [user] = (await client("GET", f"{USERS}/records", token=token)).json()["items"]
        await change(client, f"{USERS}/records/{user['id']}", token, banned="yes")
        listener = Listener(client)
        await listener.subscribe("posts/*", token=template.user_token)
        now = await fields(client, USERS, token)
        for field in now:
            field["name"] = "blocked" if field["name"] == "banned" else field["name"]
        await change(client, USERS, token, fields=now)
        for title, rule in (("hidden", '@request.auth.blocked = ""'), ("shown", '@request.auth.blocked = "yes"')):
            await change(client, COLLECTION, token, listRule=rule)
            await create(client, title=title)
            await asyncio.sleep(0.05)
        assert (await listener.event())["record"]["title"] == "shown"
        await listener.close()

    tell(story)


def test_limits_hold_for_streams_that_are_opened_at_the_same_time(tell: Tell) -> None:
    async def story(client: Client) -> None:
        listeners = [Listener(client, f"{TARGET}?cursor=") for _ in range(20)]
        held = [listener for listener in listeners if await listener.is_held()]
        assert len(held) == len(client.app.realtime) == 2
        for listener in held:
            await listener.close()

    tell(story, stream_max_per_address=2)


def test_a_stream_that_is_opened_while_the_server_stops_is_refused(tell: Tell) -> None:
    async def story(client: Client) -> None:
        listener = Listener(client, f"{TARGET}?cursor=")
        await asyncio.sleep(0)
        client.app.end_streams()
        assert not await listener.is_held()

    tell(story)


def test_new_topics_lose_no_change_that_is_judged_meanwhile(tell: Tell, template: Template) -> None:
    rows = " && ".join(f"@collection.posts:{name}.count = {index}77" for index, name in enumerate("abc"))

    async def story(client: Client) -> None:
        for count in range(60):
            await create(client, count=count)
        await change(client, COLLECTION, template.root_token, listRule=f'({rows}) || title = "shown"')
        listener = Listener(client)
        first = await listener.subscribe("posts/*")
        for turn in range(5):
            made = asyncio.ensure_future(create(client, title="shown"))
            for step in range(8):
                form = {"clientId": first["clientId"], "subscriptions": ["posts/*", f"other{turn}.{step}"]}
                assert (await client("POST", TARGET, form, client=("10.0.0.1", 1))).status == 204
                await asyncio.sleep(0.001)
            assert (await listener.event())["record"]["id"] == (await made)["id"]
        await listener.close()

    tell(story)


def test_an_event_that_cannot_be_told_ends_the_streams_and_not_the_hub(tell: Tell) -> None:
    async def story(client: Client) -> None:
        listener = Listener(client)
        await listener.subscribe("posts/*")
        hub = client.app.realtime
        hub._bus.publish((object(),))
        await listener.ended()
        again = Listener(client)
        await again.subscribe("posts/*")
        await create(client, title="x")
        assert (await again.event())["record"]["title"] == "x"
        await again.close()

    tell(story)


def test_new_topics_while_a_stream_catches_up_lose_nothing(tell: Tell) -> None:
    async def story(client: Client) -> None:
        opening = Listener(client, f"{TARGET}?cursor=")
        start = (await opening.event())["cursor"]
        await opening.close()
        made = [(await create(client, count=count))["id"] for count in range(300)]
        for turn in range(3):
            listener = Listener(client, f"{TARGET}?cursor={start}")
            first = await listener.subscribe("posts/*")
            for step in range(20):
                form = {"clientId": first["clientId"], "subscriptions": ["posts/*", f"other{turn}.{step}"]}
                assert (await client("POST", TARGET, form, client=("10.0.0.1", 1))).status == 204
                await asyncio.sleep(0)
            told: list[str] = []
            while len(told) < len(made):
                event = await listener.event()
                told += [event["record"]["id"]] if "record" in event else []
            assert told == made
            await listener.close()

    tell(story)
