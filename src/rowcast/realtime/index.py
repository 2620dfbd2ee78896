"""The topic index: from a change to the groups of streams that asked for it.

Owned by the event loop; only `is_heard` may be asked from a writer's thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rowcast.realtime import topics
from rowcast.realtime.audience import Addressee, Group
from rowcast.realtime.stream import Stream
from rowcast.realtime.topics import Subscription
from rowcast.schema.collection import Collection


@dataclass(slots=True)
class Head:
    """How many groups name a collection, how many of them filter or expand, and how many hear of leaving."""

    groups: int = 0
    with_options: int = 0
    with_leave: int = 0

    def count(self, subscription: Subscription, change: int) -> None:
        """Add or take away a group."""
        self.groups += change
        if subscription.query.get("filter") or subscription.query.get("expand"):
            self.with_options += change
        if subscription.wants_leave:
            self.with_leave += change


class TopicIndex:
    """Groups by topic and subscription string. A change finds them by look-up; all others cost nothing."""

    def __init__(self) -> None:
        self._topics: dict[str, dict[str, Group]] = {}
        self._heads: dict[str, Head] = {}

    def __len__(self) -> int:
        """How many topics somebody asked for."""
        return len(self._topics)

    def group_count(self) -> int:
        """How many different subscription strings there are."""
        return sum(head.groups for head in self._heads.values())

    def join(self, stream: Stream) -> None:
        """Add a stream to the groups of its subscriptions."""
        for text, subscription in stream.subscriptions.items():
            groups = self._topics.setdefault(subscription.topic, {})
            group = groups.get(text)
            if group is None:
                group = groups[text] = Group(subscription)
                self._heads.setdefault(subscription.head, Head()).count(subscription, 1)
            group.add(stream)

    def leave(self, stream: Stream) -> None:
        """Take a stream out of the groups of its subscriptions, where it is in them."""
        for text, subscription in stream.subscriptions.items():
            groups = self._topics.get(subscription.topic)
            group = groups.get(text) if groups else None
            if groups is None or group is None:
                continue
            group.remove(stream)
            if not group.members:
                del groups[text]
                if not groups:
                    del self._topics[subscription.topic]
                head = self._heads[subscription.head]
                head.count(subscription, -1)
                if not head.groups:
                    del self._heads[subscription.head]

    def groups(self, topic: str) -> tuple[Group, ...]:
        """Return the groups of one topic."""
        found = self._topics.get(topic)
        return tuple(found.values()) if found else ()

    def addressees(self, collection: Collection, record_id: str) -> Iterator[Addressee]:
        """Yield the groups that a change of a record concerns, with the rules that guard them."""
        for topic in topics.record_topics(collection, record_id):
            for group in self.groups(topic):
                yield Addressee(group, collection.view_rule)
        for topic in topics.wildcard_topics(collection):
            for group in self.groups(topic):
                yield Addressee(group, collection.list_rule)

    def heads(self, collection: Collection) -> list[Head]:
        """Return what is known of the groups that name a collection. May be called from any thread."""
        found = (self._heads.get(collection.name), self._heads.get(collection.id))
        return [head for head in found if head is not None]
