"""The ordered stream of changes inside one node, and the protocol of its drivers.

A bus carries row images in commit order from the writers to the one reader of
each node; never verdicts or frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rowcast.schema.collection import Collection
from rowcast.schema.record import Change


@dataclass(frozen=True, slots=True)
class CollectionChange:
    """A collection that was changed or dropped by a committed transaction (`after` None: dropped)."""

    before: Collection
    after: Collection | None


@dataclass(frozen=True, slots=True)
class Message:
    """What the application tells the streams of a topic; `data` is JSON text."""

    topic: str
    data: bytes


Event = Change | CollectionChange | Message


class Bus(Protocol):
    """Carries events in commit order."""

    def publish(self, events: Sequence[Event]) -> None:
        """Append the events of one commit. Called by the writer while it holds the write lock; from any thread."""
        ...

    async def receive(self) -> list[Event]:
        """Wait for events and return all that are there, oldest first. One reader only."""
        ...
