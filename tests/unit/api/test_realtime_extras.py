"""What rowcast's streams can do beyond the reference's: cursors, leave events, messages, operations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.api.client import Channel, Client, scope
from tests.unit.api.conftest import Template

Tell = Callable[..., None]

TARGET = "/api/realtime"
POSTS = "/api/collections/posts/records"


def with_options(topic: str, **query: str) -> str:
    return f"{topic}?options={quote(json.dumps({'query': query}))}"


class Listener:
    """One open stream, read frame by frame."""

    def __init__(self, client: Client, target: str = TARGET, headers: list[tuple[str, str]] | None = None) -> None:
        self._client = client
        self._channel = Channel()
        self._read = 0
        opened = client.app(
            scope("GET", target, headers=headers or [], client=("10.0.0.1", 1)),
            self._channel.receive,
            self._channel.send,
        )
        self._task = asyncio.ensure_future(opened)

    @property
    def _frames(self) -> list[str]:
        text = b"".join(message.get("body", b"") for message in self._channel.messages).decode()
        return [frame for frame in text.split("\n\n")[:-1] if "data:" in frame]

    async def frame(self) -> dict[str, str]:
        """Wait for the next frame and return its fields."""
        async with asyncio.timeout(5):
            while len(self._frames) <= self._read:
                await self._channel.sent()
        self._read += 1
        return dict(line.split(":", 1) for line in self._frames[self._read - 1].split("\n"))

    async def event(self) -> dict[str, Any]:
        """Wait for the next frame and return its data."""
        data: dict[str, Any] = json.loads((await self.frame())["data"])
        return data

    async def subscribe(self, *topics: str, token: str = "") -> dict[str, Any]:
        """Read the first frame, submit topics and return the data of that frame."""
        first = await self.event()
        form = {"clientId": first["clientId"], "subscriptions": list(topics)}
        reply = await self._client("POST", TARGET, form, token=token, client=("10.0.0.1", 1))
        assert reply.status == 204, reply.body
        return first

    async def close(self) -> None:
        self._channel.gone.set()
        await self._task

    async def is_held(self) -> bool:
        """Wait for the head of the answer; whether it is a stream."""
        async with asyncio.timeout(5):
            while not self._channel.messages:
                await self._channel.sent()
        return bool(self._channel.messages[0]["status"] == 200)

    async def ended(self) -> None:
        await asyncio.wait_for(self._task, 5)


async def create(client: Client, **values: object) -> dict[str, Any]:
    made: dict[str, Any] = (await client("POST", POSTS, values)).json()
    return made


def test_an_unmodified_client_sees_nothing_new(tell: Tell) -> None:
    async def story(client: Client) -> None:
        listener = Listener(client, headers=[("Last-Event-ID", "x" * 40)])
        first = await listener.frame()
        assert json.loads(first["data"]) == {"clientId": first["id"]}
        assert len(first["id"]) == 40
        await listener.close()

    tell(story)


def test_a_stream_with_a_cursor_goes_on_where_it_was_cut(tell: Tell) -> None:
    async def story(client: Client) -> None:
        listener = Listener(client, f"{TARGET}?cursor=")
        first = await listener.subscribe("posts/*")
        assert first["resumed"] is False
        assert first["clientId"].endswith("_" + first["cursor"])
        await create(client, title="one")
        seen = await listener.frame()
        assert json.loads(seen["data"])["cursor"] == seen["id"]
        await listener.close()
        for title in ("two", "three"):
            await create(client, title=title)
        for target, headers in (
            (f"{TARGET}?cursor={seen['id']}", []),
            (TARGET, [("Last-Event-ID", seen["id"])]),
            (f"{TARGET}?cursor={first['cursor']}", [("Last-Event-ID", seen["id"])]),
        ):
            again = Listener(client, target, headers)
            assert (await again.subscribe("posts/*"))["resumed"] is True
            assert [(await again.event())["record"]["title"] for _ in range(2)] == ["two", "three"]
            await again.close()

    tell(story)


def test_the_client_id_resumes_a_stream_that_saw_no_event(tell: Tell) -> None:
    async def story(client: Client) -> None:
        listener = Listener(client, f"{TARGET}?cursor=")
        first = await listener.event()
        await listener.close()
        await create(client, title="missed")
        again = Listener(client, f"{TARGET}?cursor=", [("Last-Event-ID", first["clientId"])])
        assert (await again.subscribe("posts/*"))["resumed"] is True
        assert (await again.event())["record"]["title"] == "missed"
        await again.close()

    tell(story)


@pytest.mark.parametrize("position", ["7-zzzzzzzzzz", "99999-zzzzzzzzzz", "nonsense", "-1", "%00", "1" * 400])
def test_an_unknown_position_is_a_fresh_start_and_says_so(tell: Tell, position: str) -> None:
    async def story(client: Client) -> None:
        await create(client, title="before")
        listener = Listener(client, f"{TARGET}?cursor={position}")
        assert (await listener.subscribe("posts/*"))["resumed"] is False
        await create(client, title="after")
        assert (await listener.event())["record"]["title"] == "after"
        await listener.close()

    tell(story)


def test_a_cut_between_two_events_of_one_change_brings_both_again(tell: Tell) -> None:
    async def story(client: Client) -> None:
        listener = Listener(client, f"{TARGET}?cursor=")
        first = await listener.subscribe("posts/*", "posts")
        await create(client, title="x")
        events = [await listener.frame() for _ in range(2)]
        cursors = [json.loads(event["data"])["cursor"] for event in events]
        assert [event["id"] for event in events] == [first["cursor"], cursors[1]]
        assert cursors[0] == cursors[1]
        await listener.close()
        again = Listener(client, headers=[("Last-Event-ID", events[0]["id"])])
        await again.subscribe("posts/*", "posts")
        assert [await again.frame() for _ in range(2)] == events
        await again.close()

    tell(story)


def test_a_running_stream_is_told_where_new_topics_begin(tell: Tell) -> None:
    async def story(client: Client) -> None:
        listener = Listener(client, f"{TARGET}?cursor=")
        first = await listener.subscribe("posts/*")
        await create(client, title="x")
        seen = await listener.frame()
        form = {"clientId": first["clientId"], "subscriptions": ["posts/*", "users/*"]}
        assert (await client("POST", TARGET, form, client=("10.0.0.1", 1))).status == 204
        told = await listener.frame()
        assert (told["event"], told["id"], json.loads(told["data"])) == (
            "PB_CURSOR",
            seen["id"],
            {"cursor": seen["id"]},
        )
        await listener.close()

    tell(story)


def test_what_was_missed_is_judged_by_the_rules(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        rule = {"listRule": '@request.auth.id != "" && count > 1'}
        assert (await client("PATCH", "/api/collections/posts", rule, token=template.root_token)).status == 200
        listener = Listener(client, f"{TARGET}?cursor=")
        first = await listener.event()
        await listener.close()
        last = [await create(client, count=count) for count in (1, 2, 0, 3)][-1]
        user = Listener(client, f"{TARGET}?cursor={first['cursor']}")
        await user.subscribe("posts/*", token=template.user_token)
        assert [(await user.event())["record"]["count"] for _ in range(2)] == [2, 3]
        guest = Listener(client, f"{TARGET}?cursor={first['cursor']}")
        # Everybody may view single records; only the list is for accounts.
        await guest.subscribe("posts/*", f"posts/{last['id']}")
        assert (await guest.frame())["event"] == f"posts/{last['id']}"
        await user.close()
        await guest.close()

    tell(story)


def test_a_list_says_from_where_a_stream_can_go_on(tell: Tell) -> None:
    async def story(client: Client) -> None:
        reply = await client("GET", POSTS)
        position = reply.headers["rowcast-cursor"]
        await create(client, title="in the gap")
        listener = Listener(client, f"{TARGET}?cursor={position}")
        assert (await listener.subscribe("posts/*"))["resumed"] is True
        assert (await listener.event())["record"]["title"] == "in the gap"
        await listener.close()

    tell(story)


def test_a_record_that_leaves_the_filter_is_told_of_once_and_without_its_values(tell: Tell) -> None:
    async def story(client: Client) -> None:
        record = await create(client, title="x", count=5)
        listener = Listener(client)
        topic = with_options("posts/*", filter="count > 3", leave="true")
        await listener.subscribe(topic, with_options("posts/*", filter="count > 3"))
        for count in (4, 1, 0, 9):
            await client("PATCH", f"{POSTS}/{record['id']}", {"count": count})
        frames = [await listener.frame() for _ in range(5)]
        told = [(frame["event"] == topic, json.loads(frame["data"])["action"]) for frame in frames]
        assert told == [(True, "update"), (False, "update"), (True, "leave"), (True, "update"), (False, "update")]
        identity = {key: record[key] for key in ("collectionId", "collectionName", "id")}
        assert json.loads(frames[2]["data"]) == {"action": "leave", "record": identity}
        await listener.close()

    tell(story)


def test_a_message_reaches_the_streams_of_its_topic_in_order_with_changes(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        listener, other = Listener(client), Listener(client)
        await listener.subscribe("news", "posts/*")
        await other.subscribe("posts/*")
        form = {"topic": "news", "data": {"text": "<b>"}}
        assert (await client("POST", f"{TARGET}/publish", form, token=template.root_token)).status == 204
        await create(client, title="later")
        message = await listener.frame()
        assert (message["event"], json.loads(message["data"])) == ("news", {"text": "<b>"})
        assert (await listener.event())["record"]["title"] == "later"
        assert (await other.event())["record"]["title"] == "later"
        await listener.close()
        await other.close()

    tell(story)


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"data": 1}, "topic"),
        ({"topic": "posts/*", "data": 1}, "topic"),
        ({"topic": "posts", "data": 1}, "topic"),
        ({"topic": "PB_CONNECT", "data": 1}, "topic"),
        ({"topic": "x" * 2501, "data": 1}, "topic"),
        ({"topic": ["x"], "data": 1}, "topic"),
        ({"topic": "news", "data": "x" * 300_000}, "data"),
    ],
)
def test_a_message_that_cannot_be_sent_names_the_field(
    tell: Tell, template: Template, form: dict[str, object], field: str
) -> None:
    async def story(client: Client) -> None:
        reply = await client("POST", f"{TARGET}/publish", form, token=template.root_token)
        assert (reply.status, list(reply.json()["data"])) == (400, [field])

    tell(story)


def test_superusers_see_and_end_streams_and_nobody_else(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        listener = Listener(client)
        client_id = (await listener.subscribe("posts/*", token=template.user_token))["clientId"]
        reply = await client("GET", f"{TARGET}/clients", token=template.root_token)
        [item] = reply.json()["items"]
        assert (item["id"], item["address"], item["topics"]) == (client_id, "10.0.0.1", ["posts/*"])
        assert item["auth"]["collectionName"] == "users"
        assert item["age"] >= 0
        assert (item["queuedBytes"], item["lag"]) == (0, 0)
        for token, status in (("", 401), (template.user_token, 403)):
            assert (await client("GET", f"{TARGET}/clients", token=token)).status == status
            assert (await client("DELETE", f"{TARGET}/clients/{client_id}", token=token)).status == status
            assert (await client("POST", f"{TARGET}/publish", {}, token=token)).status == status
        assert (await client("DELETE", f"{TARGET}/clients/{client_id}", token=template.root_token)).status == 204
        await listener.ended()
        assert (await client("DELETE", f"{TARGET}/clients/{client_id}", token=template.root_token)).status == 404

    tell(story)


@pytest.mark.parametrize(("limits", "status"), [({"stream_max_per_address": 1}, 429), ({"stream_max_total": 1}, 503)])
def test_streams_past_a_limit_are_refused_and_others_stay(tell: Tell, limits: dict[str, int], status: int) -> None:
    async def story(client: Client) -> None:
        listener = Listener(client)
        await listener.subscribe("posts/*")
        refused = await client("GET", TARGET, client=("10.0.0.1", 1))
        assert refused.status == status
        assert refused.message.startswith("Too many realtime connections")
        await create(client, title="x")
        assert (await listener.event())["record"]["title"] == "x"
        await listener.close()
        again = Listener(client)
        await again.subscribe("posts/*")
        await again.close()

    tell(story, **limits)


def test_a_stream_that_is_too_old_ends_gently_with_what_it_was_owed(tell: Tell) -> None:
    async def story(client: Client) -> None:
        listener = Listener(client)
        await listener.subscribe("posts/*")
        await create(client, title="x")
        assert (await listener.event())["record"]["title"] == "x"
        await listener.ended()

    tell(story, stream_max_age_s=0.2, heartbeat_s=0.1)
