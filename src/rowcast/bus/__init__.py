"""The ordered stream of changes inside one node, what nodes tell each other, and the protocols of both.

A bus carries row images in commit order from the writers to the one reader of
each node; never verdicts or frames. A link connects the nodes (processes) that serve
one database: it says that the log of changes has grown, which is a hint and never the
truth, and carries questions to the node that holds a stream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rowcast.errors import RowcastError
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Logged, Message, Position


@dataclass(frozen=True, slots=True)
class CollectionChange:
    """A collection that was changed or dropped by a committed transaction (`after` None: dropped)."""

    before: Collection
    after: Collection | None


@dataclass(frozen=True, slots=True)
class Lost:
    """Changes of other nodes are gone before this one has told them; it goes on behind `position`."""

    position: Position


Event = Change | CollectionChange | Message | Lost

__all__ = [
    "Answer",
    "Bus",
    "Change",
    "CollectionChange",
    "Event",
    "Link",
    "LinkCounts",
    "LinkError",
    "Logged",
    "Lost",
    "Message",
]


class Bus(Protocol):
    """Carries events in commit order."""

    def publish(self, events: Sequence[Event]) -> None:
        """Append the events of one commit. Called by the writer while it holds the write lock; from any thread."""
        ...

    @property
    def backlog(self) -> int:
        """How many events wait for the reader or are with it. From any thread."""
        ...

    async def receive(self) -> list[Event]:
        """Wait for events and return all that are there, oldest first. One reader only."""
        ...


@dataclass(slots=True)
class LinkCounts:
    """What a link has done since it was made, in plain numbers.

    is_connected: whether the others can be told and heard just now. connects: how often that began.
    asked: questions to other nodes, unanswered: those without an answer. answered: questions of
    others. dropped: messages and questions that were passed over, since they were too many or not ours.
    """

    kind: str
    is_connected: bool = False
    connects: int = 0
    hints_sent: int = 0
    hints_heard: int = 0
    asked: int = 0
    unanswered: int = 0
    answered: int = 0
    dropped: int = 0


Answer = Callable[[bytes], Awaitable[bytes]]
"""Answers a question of another node."""


class LinkError(RowcastError):
    """The link to other nodes can't be had as it was asked for."""


class Link(Protocol):
    """Connects the nodes that serve one database. `name` is that of this node: eight letters and digits."""

    name: str
    counts: LinkCounts

    @property
    def has_others(self) -> bool:
        """Whether other nodes are known."""
        ...

    async def open(self, on_hint: Callable[[], None], answer: Answer) -> None:
        """Begin to listen. `on_hint` is called on the event loop when the log may have grown."""
        ...

    def hint(self) -> None:
        """Tell the other nodes that the log has grown. Never waits and never raises; from any thread."""
        ...

    async def ask(self, node: str, question: bytes) -> bytes | None:
        """Return what a node answers, None where there is no such node or no answer in time."""
        ...

    async def nodes(self) -> list[str]:
        """Return the names of the other nodes."""
        ...

    async def close(self) -> None:
        """Stop to listen."""
        ...
