"""Subscribing to topics and sending messages to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from rowcast.client.errors import UsageError
from rowcast.client.query import RequestOptions, path, text_of
from rowcast.client.realtime.channel import Channel, Gap, Received
from rowcast.client.realtime.stream import Stream
from rowcast.client.realtime.subscription import Message, Subscription, message
from rowcast.client.records import Record
from rowcast.client.transport import Transport

ItemT = TypeVar("ItemT")

MAX_EVENTS = 1_000
MAX_BYTES = 16 << 20


def topic_key(topic: str, query: Mapping[str, object], headers: Mapping[str, str] | None) -> str:
    """Return a topic with its options, as the server takes it. Raises UsageError for an empty topic."""
    if not topic:
        raise UsageError("a topic needs a name")
    values = {name: text_of(value) for name, value in query.items() if value is not None}
    options = {name: given for name, given in (("query", values), ("headers", dict(headers or {}))) if given}
    if not options:
        return topic
    mark = "&" if "?" in topic else "?"
    return f"{topic}{mark}options={quote(msgspec.json.encode(options).decode(), safe='')}"


class Realtime:
    """The stream of a client: messages on topics of your own, and what operators may do with streams."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._stream = Stream(transport)

    @property
    def client_id(self) -> str:
        """The id that the server gave the connection; empty if there is none."""
        return self._stream.client_id

    def subscribe(
        self,
        topic: str,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
    ) -> Subscription[Message | Gap]:
        """Listen to the messages of a topic. After each reconnect there is a gap: messages are not repeated.

        Where more than `max_events` or `max_bytes` wait, they are dropped and a gap is told.
        Raises UsageError for an empty topic.
        """
        key = topic_key(topic, query or {}, headers)
        return self.open(
            key, message(topic), _same, is_message=True, start=None, max_events=max_events, max_bytes=max_bytes
        )

    def open(
        self,
        key: str,
        decode: Callable[[Received], ItemT],
        gap: Callable[[Gap], ItemT],
        *,
        is_message: bool,
        start: str | None,
        max_events: int,
        max_bytes: int,
    ) -> Subscription[ItemT]:
        """Return a subscription of any kind. Raises UsageError for a queue without room."""
        if max_events < 1 or max_bytes < 1:
            raise UsageError("a subscription needs room for one event")
        channel = Channel(key, is_message=is_message, max_events=max_events, max_bytes=max_bytes)
        return Subscription(self._stream, channel, decode, gap, start=start)

    async def publish(self, topic: str, data: Any = None) -> None:  # noqa: ANN401 - JSON
        """Send a message to all who listen to a topic; only superusers may, on rowcast servers only.

        Raises ClientResponseError.
        """
        await self._transport.send("POST", path("realtime", "publish"), {}, {"topic": topic, "data": data})

    async def clients(self) -> list[Record]:
        """Return the open streams of a rowcast server, for superusers. Raises ClientResponseError."""
        answer = await self._transport.send("GET", path("realtime", "clients"), RequestOptions())
        return [Record(item) for item in answer.json()["items"]]

    async def kick(self, client_id: str) -> None:
        """End a stream of a rowcast server, for superusers. Raises ClientResponseError."""
        await self._transport.send("DELETE", path("realtime", "clients", client_id), RequestOptions())

    async def aclose(self) -> None:
        """End all subscriptions and the connection."""
        await self._stream.aclose()


def _same(gap: Gap) -> Gap:
    return gap
