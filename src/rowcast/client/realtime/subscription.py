"""Subscriptions as an application sees them: iterators over what happens.

The iterator holds its channel and the stream holds the channel too, but not the iterator:
one that nobody holds any more ends its subscription.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from rowcast.client.errors import DecodeError
from rowcast.client.realtime.channel import Channel, Gap, Received
from rowcast.client.records import Model, Record

T = TypeVar("T")
ItemT_co = TypeVar("ItemT_co", covariant=True)

Action = Literal["create", "update", "delete"]


@dataclass(frozen=True, slots=True)
class Event(Generic[T]):
    """A record was created, updated or deleted.

    cursor: the position to resume from once this event was handled; None if the server
        does not know of positions.
    """

    action: Action
    record: T
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """A record is still there, but no longer matches the rule or the filter of the subscription."""

    id: str
    collection_id: str
    collection_name: str
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody published; `data` is any JSON."""

    topic: str
    data: Any


class Joining(Protocol):
    """What a subscription needs of the stream."""

    def join(self, channel: Channel, start: str | None) -> None:
        """Take a channel in. Raises UsageError."""
        ...

    def leave(self, channel: Channel) -> None:
        """Let go of a channel; nothing happens if it is not there."""
        ...


class Subscription(Generic[ItemT_co]):
    """What happens in a topic, in order. It begins with `async with`, or else with the first step of the loop.

    Leaving the block, `aclose`, and dropping the iterator end it. What was not taken by then
    is lost. A step that is cancelled loses nothing. Raises ClientResponseError from the
    first step if the server refuses the topic or is not there; from then on the connection
    is made again for ever.
    """

    def __init__(
        self, stream: Joining, channel: Channel, decode: Callable[[Received], ItemT_co], gap: Callable[[Gap], ItemT_co],
        *, start: str | None = None,
    ) -> None:  # fmt: skip
        self._stream = stream
        self._channel = channel
        self._decode = decode
        self._gap = gap
        self._start = start
        self._is_started = False

    @property
    def topic(self) -> str:
        """The topic with its options, as the server knows it."""
        return self._channel.key

    async def __aenter__(self) -> Subscription[ItemT_co]:
        await self._ready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[ItemT_co]:
        return self

    async def __anext__(self) -> ItemT_co:
        await self._ready()
        item = await self._channel.take()
        if item is None:
            raise StopAsyncIteration
        return self._gap(item) if isinstance(item, Gap) else self._decode(item)

    async def aclose(self) -> None:
        """End the subscription at once; the server is told in the background."""
        self._is_started = True
        self._stream.leave(self._channel)

    async def _ready(self) -> None:
        if not self._is_started:
            self._is_started = True
            self._stream.join(self._channel, self._start)
            end = weakref.finalize(self, _drop, asyncio.get_running_loop(), self._stream, self._channel)
            end.atexit = False
        try:
            await self._channel.joined()
        except asyncio.CancelledError:
            # Who gave up waiting for the first answer holds nothing that could end it.
            if not self._channel.is_joined:
                self._stream.leave(self._channel)
            raise


def _drop(loop: asyncio.AbstractEventLoop, stream: Joining, channel: Channel) -> None:
    """End a subscription that nobody holds; the garbage collector may run in any thread."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(stream.leave, channel)


class _RecordEvent(msgspec.Struct):
    action: str
    record: Any


def record_event(model: Model[T]) -> Callable[[Received], Event[T] | Leave]:
    """Return what reads the events of a collection. It raises DecodeError for a record that does not fit."""

    def read(received: Received) -> Event[T] | Leave:
        try:
            event = msgspec.json.decode(received.frame.data, type=_RecordEvent)
        except msgspec.DecodeError as error:
            raise DecodeError(f"an event cannot be read: {error}") from error
        if event.action == "leave":
            told = Record(event.record)
            return Leave(
                told.get("id", ""), told.get("collectionId", ""), told.get("collectionName", ""), received.cursor
            )
        return Event(_action(event.action), model.decode(event.record), received.cursor)

    return read


def message(topic: str) -> Callable[[Received], Message]:
    """Return what reads the messages of a topic. Data that is no JSON is given as text."""

    def read(received: Received) -> Message:
        try:
            return Message(topic, msgspec.json.decode(received.frame.data))
        except msgspec.DecodeError:
            return Message(topic, received.frame.data.decode("utf-8", "replace"))

    return read


def _action(text: str) -> Action:
    if text in ("create", "update", "delete"):
        return text  # type: ignore[return-value] # narrowed by the line above
    raise DecodeError(f"an event has the unknown action {text!r}")
