"""Streams over plain ASGI: opened, subscribed, fed, closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from rowcast.api.realtime import check
from rowcast.errors import BadRequestError
from tests.unit.api.client import Channel, Client, scope
from tests.unit.api.conftest import Template

Tell = Callable[..., None]

TARGET = "/api/realtime"


class Listener:
    """One open stream."""

    def __init__(self, client: Client, address: str = "10.0.0.1") -> None:
        self._channel = Channel()
        opened = client.app(scope("GET", TARGET, client=(address, 1)), self._channel.receive, self._channel.send)
        self._task = asyncio.ensure_future(opened)

    async def until(self, part: str) -> str:
        """Wait until a text has come and return all that came."""
        async with asyncio.timeout(5):
            while part not in self.text:
                await self._channel.sent()
        return self.text

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self._channel.messages).decode()

    @property
    def head(self) -> dict[bytes, bytes]:
        return dict(self._channel.messages[0]["headers"])

    async def id(self) -> str:
        return (await self.until("\n\n")).partition("\n")[0].removeprefix("id:")

    async def close(self) -> None:
        self._channel.gone.set()
        await self._task

    async def ended(self) -> None:
        await asyncio.wait_for(self._task, 5)


def test_a_stream_gets_what_it_asked_for(tell: Tell) -> None:
    async def story(client: Client) -> None:
        listener = Listener(client)
        client_id = await listener.id()
        assert listener.head[b"content-type"] == b"text/event-stream"
        assert listener.head[b"cache-control"] == b"no-store"
        assert listener.head[b"x-frame-options"] == b"SAMEORIGIN"
        assert f'data:{{"clientId":"{client_id}"}}\n\n' in listener.text
        reply = await client("POST", TARGET, {"clientid": client_id, "subscriptions": ["posts/*"]})
        assert (reply.status, reply.body) == (204, b"")
        made = (await client("POST", "/api/collections/posts/records", {"title": "x"})).json()
        text = await listener.until('"action":"create"')
        assert f"id:{client_id}\nevent:posts/*\ndata:" in text
        assert made["id"] in text
        await listener.close()
        assert (await client("POST", TARGET, {"clientId": client_id})).status == 404

    tell(story)


def test_the_token_of_the_submission_counts(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        await client("PATCH", "/api/collections/posts", {"listRule": None}, token=template.root_token)
        listener = Listener(client)
        form = {"clientId": await listener.id(), "subscriptions": ["posts/*"]}
        assert (await client("POST", TARGET, form, token=template.root_token)).status == 204
        await client("POST", "/api/collections/posts/records", {"title": "seen"})
        await listener.until("seen")
        refused = await client("POST", TARGET, form, token="invalid")
        assert refused.message == "The current and the previous request authorization don't match."
        elsewhere = await client("POST", TARGET, form, token=template.root_token, client=("10.0.0.2", 1))
        assert (elsewhere.status, elsewhere.message) == (400, "Invalid realtime client.")
        await listener.close()

    tell(story)


def test_streams_end_when_the_application_stops(tell: Tell) -> None:
    listeners: list[Listener] = []

    async def story(client: Client) -> None:
        listeners.append(Listener(client))
        await listeners[0].id()
        client.app.end_streams()
        await listeners[0].ended()
        assert (await client("GET", TARGET)).status == 503

    tell(story)


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"clientId":1}', b'{"subscriptions":"a"}'])
def test_unreadable_submissions_are_refused(tell: Tell, body: bytes) -> None:
    async def story(client: Client) -> None:
        for content_type in ("application/json", "text/plain"):
            reply = await client("POST", TARGET, body, headers=[("Content-Type", content_type)])
            assert (reply.status, reply.message) == (400, "Something went wrong while processing your request.")

    tell(story)


@pytest.mark.parametrize(
    ("client_id", "topics", "codes"),
    [
        ("", [], {"clientId": "validation_required"}),
        ("x" * 256, [], {"clientId": "validation_length_out_of_range"}),
        ("é" * 128, [], {"clientId": "validation_length_out_of_range"}),
        ("x", ["t"] * 1001, {"subscriptions": "validation_length_too_long"}),
        ("x", ["t" * 2501] * 1001, {"subscriptions": "validation_length_too_long"}),
        ("x", ["t", "é" * 1251], {"subscriptions": {"1": "validation_length_too_long"}}),
    ],
)
def test_submissions_are_bounded(client_id: str, topics: list[str], codes: dict[str, object]) -> None:
    with pytest.raises(BadRequestError) as caught:
        check(client_id, topics)
    found = caught.value.data.to_json()

    def code_of(entry: object) -> object:
        assert isinstance(entry, dict)
        return entry["code"] if "code" in entry else {name: code_of(value) for name, value in entry.items()}

    assert {name: code_of(entry) for name, entry in found.items()} == codes


def test_what_is_just_within_the_bounds_is_taken() -> None:
    check("x" * 255, ["t" * 2500] * 1000)
