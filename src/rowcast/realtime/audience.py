"""Which streams asked for the same, and who of them a change is for.

Streams with one subscription string form a `Group`; inside it they are parted by
kind (the collection of their accounts) and by account. `judgement` decides who
of a group sees a change; the hub delivers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from rowcast.realtime.accounts import Account
from rowcast.realtime.stream import Stream
from rowcast.realtime.topics import Subscription


@dataclass(slots=True, eq=False)
class Group:
    """All streams with one subscription string, by kind and account. Changed by the hub only."""

    subscription: Subscription
    members: dict[str, dict[Account, dict[Stream, None]]] = field(default_factory=dict)

    def add(self, stream: Stream) -> None:
        """Add a stream under its account."""
        accounts = self.members.setdefault(stream.account.kind, {})
        accounts.setdefault(stream.account, {})[stream] = None

    def receivers(self, kind: str, some: Sequence[Account] | None) -> list[Stream]:
        """Return the streams of these accounts of a kind, or of all; a copy, since pushing may close streams."""
        accounts = self.members.get(kind)
        if accounts is None:
            return []
        if some is None:
            return [stream for streams in accounts.values() for stream in streams]
        return [stream for account in some for stream in accounts.get(account, ())]

    def streams(self) -> list[Stream]:
        """Return all streams."""
        return [stream for kind in self.members for stream in self.receivers(kind, None)]

    def remove(self, stream: Stream) -> None:
        """Remove a stream from under its account."""
        kind = stream.account.kind
        accounts = self.members.get(kind)
        streams = accounts.get(stream.account) if accounts is not None else None
        if accounts is None or streams is None:
            return
        streams.pop(stream, None)
        if not streams:
            del accounts[stream.account]
            if not accounts:
                del self.members[kind]


class Addressee(msgspec.Struct, frozen=True):
    """A group that a change concerns, and the rule that guards it."""

    group: Group
    rule: str | None


class Delivery(msgspec.Struct, frozen=True):
    """One frame body and who of a kind in a group gets it: these accounts, or all where `accounts` is None."""

    group: Group
    kind: str
    accounts: Sequence[Account] | None
    body: bytes
