"""The topic index: from a change to the groups of streams that asked for it.

Owned by the event loop; other threads may ask who is concerned, and whether anybody hears.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        # By the head of the topic, then by its rest, then by subscription string.
        self._topics: dict[str, dict[str, dict[str, Group]]] = {}
        self._heads: dict[str, Head] = {}

    def __len__(self) -> int:
        """How many topics somebody asked for."""
        return sum(map(len, self._topics.values()))

    def group_count(self) -> int:
        """How many different subscription strings there are."""
        return sum(head.groups for head in self._heads.values())

    def join(self, stream: Stream) -> None:
        """Add a stream to the groups of its subscriptions."""
        for text, subscription in stream.subscriptions.items():
            groups = self._topics.setdefault(subscription.head, {}).setdefault(subscription.rest, {})
            group = groups.get(text)
            if group is None:
                group = groups[text] = Group(subscription)
                self._heads.setdefault(subscription.head, Head()).count(subscription, 1)
            group.add(stream)

    def leave(self, stream: Stream) -> None:
        """Take a stream out of the groups of its subscriptions, where it is in them."""
        for text, subscription in stream.subscriptions.items():
            rests = self._topics.get(subscription.head, {})
            groups = rests.get(subscription.rest, {})
            group = groups.get(text)
            if group is None:
                continue
            group.remove(stream)
            if not group.members:
                del groups[text]
                if not groups:
                    del rests[subscription.rest]
                    if not rests:
                        del self._topics[subscription.head]
                head = self._heads[subscription.head]
                head.count(subscription, -1)
                if not head.groups:
                    del self._heads[subscription.head]

    def groups(self, topic: str) -> tuple[Group, ...]:
        """Return the groups of one topic."""
        head, slash, rest = topic.partition("/")
        return tuple(self._topics.get(head, {}).get(slash + rest, {}).values())

    def addressees(self, collection: Collection, record_id: str) -> list[Addressee]:
        """Return the groups that a change of a record concerns, with the rules that guard them. For any thread.

        A topic names the collection by its name or id. The view rule guards those for one record, the list rule
        those for all; a bare name is the deprecated spelling of these that some clients still use.
        """
        found: list[Addressee] = []
        named = [rests for head in (collection.name, collection.id) if (rests := self._topics.get(head)) is not None]
        if not named:
            return found
        of_one, of_all = collection.view_rule, collection.list_rule
        for rest, rule in ((f"/{record_id}", of_one), ("/*", of_all), ("", of_all)):
            for rests in named:
                groups = rests.get(rest)
                if groups is not None:
                    # A replay asks in a thread, while streams come and go.
                    found += [Addressee(group, rule) for group in tuple(groups.values())]
        return found

    def heads(self, collection: Collection) -> list[Head]:
        """Return what is known of the groups that name a collection. May be called from any thread."""
        found = (self._heads.get(collection.name), self._heads.get(collection.id))
        return [head for head in found if head is not None]
