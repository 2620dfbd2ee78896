"""The hub: who is connected, what they ask for, and the one task that tells them.

Owned by the event loop. `subscribe`, `connect` and the reader task change the
index between awaits only, never across one, so a change sees either the old or
the new state of a stream. The only calls from other threads are `wants_before`
(reads one dict) and those of the bus.

Changes are judged in commit order and pushed in that order, so all streams see
one order. What arrived while a round of writes was under way leaves together.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rowcast.bus import Bus, CollectionChange, Event
from rowcast.errors import ApiError, BadRequestError, FilterError, ForbiddenError, NotFoundError, TooManyRequestsError
from rowcast.realtime import frames, topics
from rowcast.realtime.accounts import Account, Accounts
from rowcast.realtime.audience import Addressee, Delivery, Group
from rowcast.realtime.changelog import ChangeLog
from rowcast.realtime.judgement import Judgement
from rowcast.realtime.stream import Budget, CloseReason, Limits, Sink, Stream
from rowcast.realtime.topics import Subscription
from rowcast.records.output import Output
from rowcast.rules import Rules
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Position, Record
from rowcast.storage import BudgetExceededError, Reader, Storage

_log = logging.getLogger(__name__)

_SLICE_S = 0.001
"""How long the hub works before it lets waiting requests have their turn."""

_REPLAY_CHANGES = 200
"""How many changes a stream that catches up is given at a time."""

_DRAIN_S = 60.0
"""How long a stream that catches up may take for what was queued."""

_RETRY_S = 0.02
"""How soon a stream whose socket was full is tried again."""

Index = dict[str, dict[str, Group]]
"""Groups by topic and subscription string."""


@dataclass(slots=True)
class _Head:
    """How many groups name a collection, and how many of them filter or expand."""

    groups: int = 0
    with_options: int = 0

    def count(self, subscription: Subscription, change: int) -> None:
        self.groups += change
        if subscription.query.get("filter") or subscription.query.get("expand"):
            self.with_options += change


class Hub:
    """All streams of this process."""

    def __init__(  # noqa: PLR0913 - the parts that meet here
        self,
        *,
        catalog: CatalogRef,
        storage: Storage,
        rules: Rules,
        output: Output,
        bus: Bus,
        log: ChangeLog,
        budget: Budget,
        limits: Limits,
        heartbeat_s: float = 25.0,
    ) -> None:
        self._catalog = catalog
        self._storage = storage
        self._rules = rules
        self._output = output
        self._bus = bus
        self.log = log
        # The last change that was delivered; a stream that catches up joins behind it.
        self._delivered = log.end
        # Held while one change is judged and delivered.
        self._turn = asyncio.Lock()
        self._moved = asyncio.Event()
        self._replays: set[asyncio.Task[None]] = set()
        self._budget = budget
        self._limits = limits
        self._heartbeat_s = heartbeat_s
        self._streams: dict[str, Stream] = {}
        self._addresses: Counter[str] = Counter()
        self._accounts = Accounts()
        self._topics: Index = {}
        self._heads: dict[str, _Head] = {}
        # Streams that were given frames since the last round of writes.
        self._dirty: list[Stream] = []
        self._waiting: dict[Stream, None] = {}
        self._is_stopping = False
        # Counts what was heard of accounts: who looked one up before may have to look again.
        self.account_changes = 0
        self.closed: dict[CloseReason, int] = {}

    # -- streams ---------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._streams)

    def admit(self, address: str) -> None:
        """Raise where a new stream is refused: 503 while the server stops or is full, 429 past the address's share."""
        if self._is_stopping:
            raise ApiError("The server is stopping.", status=503)
        if len(self._streams) >= self._limits.total:
            raise ApiError("Too many realtime connections.", status=503)
        if self._addresses[address] >= self._limits.per_address:
            raise TooManyRequestsError("Too many realtime connections from this address.")

    def connect(self, sink: Sink, *, address: str, start: Position | None = None) -> Stream:
        """Register a new stream of a guest; its caller sends PB_CONNECT with its id.

        With a `start`, a position that the log knows, the stream has a cursor.
        """
        stream = Stream(sink, address=address, account=self._accounts.guest, budget=self._budget, start=start)
        stream.on_close = self._forget
        self._streams[stream.id] = stream
        self._addresses[address] += 1
        return stream

    def subscribe(self, client_id: str, texts: Sequence[str], *, auth: Record | None, address: str) -> None:
        """Replace the topics of a stream and set its account. Copies apis/realtime.go, realtimeSetSubscriptions.

        Raises NotFoundError for an unknown client, BadRequestError for one that
        was opened from another address, and ForbiddenError where the stream already
        belongs to another account. A refused call leaves the stream as it was.
        """
        stream = self._streams.get(client_id)
        if stream is None:
            raise NotFoundError("Missing or invalid client id.")
        if stream.address != address:
            raise BadRequestError("Invalid realtime client.")
        current = stream.account.record
        if current is not None and not current.is_same(auth):
            raise ForbiddenError("The current and the previous request authorization don't match.")
        self._leave_groups(stream)
        self._set_account(stream, auth)
        stream.subscriptions = {text: topics.parse(text) for text in texts if text}
        if stream.resume_from is not None:
            stream.catches_up = True
            replay = asyncio.get_running_loop().create_task(self._replay(stream, stream.resume_from))
            stream.resume_from = None
            self._replays.add(replay)
            replay.add_done_callback(self._replays.discard)
        elif not stream.catches_up:
            self._join_groups(stream)

    def disconnect(self, stream: Stream) -> None:
        """Forget a stream whose peer left."""
        stream.close("gone")

    def wants_before(self, collection: Collection) -> bool:
        """Whether a delete in `collection` must be judged by the state before it: somebody listens, and
        what decides about the event, or what it shows, reads other rows, which may go with the record.

        May be called from a writer's thread.
        """
        heads = self._heads
        listening = [heads[head] for head in (collection.name, collection.id) if head in heads]
        return bool(listening) and (any(head.with_options for head in listening) or self._rules_read_rows(collection))

    def _rules_read_rows(self, collection: Collection) -> bool:
        rules = [rule for rule in (collection.list_rule, collection.view_rule) if rule]
        if collection.auth is not None and collection.auth.manage_rule:
            rules.append(collection.auth.manage_rule)
        if not rules:
            return False
        kinds: list[Collection | None] = [None, *(each for each in self._catalog.current if each.is_auth)]
        try:
            return any(self._rules.reads(rule, collection, kind).rows for rule in rules for kind in kinds)
        except FilterError:
            return True

    def close(self) -> None:
        """End every stream; new ones should be refused by then."""
        self._is_stopping = True
        for replay in self._replays:
            replay.cancel()
        for stream in tuple(self._streams.values()):
            stream.close("stop")

    def _forget(self, stream: Stream) -> None:
        self._leave_groups(stream)
        self._accounts.release(stream)
        if self._streams.pop(stream.id, None) is not None:
            self._addresses[stream.address] -= 1
            if not self._addresses[stream.address]:
                del self._addresses[stream.address]
        self._waiting.pop(stream, None)
        if stream.closed:
            self.closed[stream.closed] = self.closed.get(stream.closed, 0) + 1

    # -- index -----------------------------------------------------------------

    def _join_groups(self, stream: Stream) -> None:
        for text, subscription in stream.subscriptions.items():
            groups = self._topics.setdefault(subscription.topic, {})
            group = groups.get(text)
            if group is None:
                group = groups[text] = Group(subscription)
                self._heads.setdefault(subscription.head, _Head()).count(subscription, 1)
            group.add(stream)

    def _leave_groups(self, stream: Stream) -> None:
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

    def _set_account(self, stream: Stream, auth: Record | None) -> None:
        self._accounts.release(stream)
        if auth is None:
            return
        known = self._accounts.find(auth.collection.id, auth.id)
        if known is not None and known.record is not None and known.record.text("tokenKey") != auth.text("tokenKey"):
            # The change that ends the older tokens is still on its way here.
            self._revoke(known)
        self._accounts.assign(stream, auth)

    def _revoke(self, account: Account) -> None:
        """Make guests of all streams of an account; they keep their topics."""
        for stream in self._accounts.streams(account):
            self._leave_groups(stream)
            self._accounts.release(stream)
            if not stream.catches_up:
                self._join_groups(stream)

    # -- changes ---------------------------------------------------------------

    async def run(self) -> None:
        """Judge and deliver changes in commit order until cancelled."""
        while True:
            events = await self._bus.receive()
            try:
                await self._dispatch_all(events)
            finally:
                # The deletes of one commit share a snapshot, and a commit is never split between two receives.
                for event in events:
                    if isinstance(event, Change) and event.before is not None:
                        event.before.close()
            await self._flush()

    async def _dispatch_all(self, events: Sequence[Event]) -> None:
        turn_ends = time.monotonic() + _SLICE_S
        for event in events:
            if isinstance(event, CollectionChange):
                self._collection_changed(event)
            else:
                async with self._turn:
                    await self._dispatch(event)
                    self._delivered = event.position or self._delivered
                    self._moved.set()
            if time.monotonic() > turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + _SLICE_S

    async def _dispatch(self, change: Change) -> None:
        if change.action == "update":
            self._account_changed(change)
        addressees = list(self._addressees(change))
        if addressees:
            try:
                self._deliver(change, await self._judge(change, addressees))
            except Exception:  # noqa: BLE001 - whatever fails here, the streams must not go on
                # A stream that may have missed a change must not go on as if it had not: its client reconnects.
                _log.exception("a change could not be judged", extra={"collection": change.record.collection.name})
                for addressee in addressees:
                    for stream in addressee.group.streams():
                        stream.close("failed")
        if change.action == "delete":
            self._account_changed(change)

    def _addressees(self, change: Change, index: Index | None = None) -> Iterable[Addressee]:
        """Look up the groups that a change concerns; streams that did not ask cost nothing."""
        groups = self._topics if index is None else index
        collection = self._catalog.current.find(change.record.collection.id) or change.record.collection
        for topic in topics.record_topics(collection, change.record.id):
            for group in groups.get(topic, {}).values():
                yield Addressee(group, collection.view_rule)
        for topic in topics.wildcard_topics(collection):
            for group in groups.get(topic, {}).values():
                yield Addressee(group, collection.list_rule)

    async def _judge(self, change: Change, addressees: list[Addressee]) -> list[Delivery]:
        try:
            with self._storage.budget():
                return self._judge_now(change, addressees)
        except BudgetExceededError:
            return await asyncio.to_thread(self._judge_now, change, addressees)

    def _judge_now(self, change: Change, addressees: list[Addressee]) -> list[Delivery]:
        if change.before is not None:
            return self._judge_by(change.before, change, addressees)
        with self._storage.read() as reader:
            return self._judge_by(reader, change, addressees)

    def _judge_by(self, reader: Reader, change: Change, addressees: list[Addressee]) -> list[Delivery]:
        judgement = Judgement(change, reader, self._rules, self._output, self._accounts)
        return list(judgement.deliveries(addressees))

    def _deliver(self, change: Change, deliveries: Iterable[Delivery]) -> None:
        dirty = self._dirty
        for delivery in deliveries:
            body, with_cursor = delivery.body, b""
            # Looked up now: judging may have run in a thread while streams left or lost their account.
            for stream in delivery.group.receivers(delivery.kind, delivery.accounts):
                if not stream.queue:
                    dirty.append(stream)
                if not stream.has_cursor:
                    stream.push(body)
                    continue
                if not with_cursor and change.position is not None:
                    with_cursor = frames.at(change.position, body)
                stream.push(with_cursor)

    async def _flush(self) -> None:
        """Write what was pushed, one piece for each stream, in slices so that requests get their turn."""
        dirty, self._dirty = self._dirty, []
        turn_ends = time.monotonic() + _SLICE_S
        for stream in dirty:
            if not stream.flush():
                self._wait_for_room(stream)
            if time.monotonic() > turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + _SLICE_S
        # The sockets are written when the loop comes around; what commits until then leaves in the next round.
        await asyncio.sleep(0)

    def _wait_for_room(self, stream: Stream) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_later(_RETRY_S, self._retry)
        self._waiting[stream] = None

    def _retry(self) -> None:
        for stream in tuple(self._waiting):
            if stream.flush():
                self._waiting.pop(stream, None)
        if self._waiting:
            asyncio.get_running_loop().call_later(_RETRY_S, self._retry)

    async def beat(self) -> None:
        """Send heartbeats until cancelled, spread evenly so that streams do not wake all at once."""
        while True:
            started = time.monotonic()
            streams = tuple(self._streams.values())
            steps = 50
            for step in range(steps):
                for stream in streams[step::steps]:
                    stream.beat(self._delivered)
                await asyncio.sleep(self._heartbeat_s / steps)
            await asyncio.sleep(max(0.0, started + self._heartbeat_s - time.monotonic()))

    # -- catching up -----------------------------------------------------------

    async def _replay(self, stream: Stream, position: Position) -> None:
        """Deliver what came behind a position, then let the stream join the live ones.

        It joins between two changes, when it has everything up to the last delivered one:
        so nothing is lost and nothing comes twice.
        """
        try:
            while not stream.closed:
                async with self._turn:
                    end = self._delivered
                    if position.number == end.number:
                        stream.catches_up = False
                        self._join_groups(stream)
                        return
                if position.number > end.number:
                    # Committed, but still on its way to the others.
                    self._moved.clear()
                    await self._moved.wait()
                    continue
                last = await self._replay_some(stream, position, end)
                if last is None:
                    # Dropped from the log since the stream began: it must not go on as if it had them.
                    stream.close("failed")
                    return
                position = last
        except Exception:  # noqa: BLE001 - whatever fails here, the stream must not go on
            _log.exception("a stream could not be caught up")
            stream.close("failed")

    async def _replay_some(self, stream: Stream, position: Position, end: Position) -> Position | None:
        """Deliver some of the changes between two positions; return how far, None where they are not at hand."""
        account, subscriptions = stream.account, stream.subscriptions
        judged = await asyncio.to_thread(self._judge_logged, stream, position, end)
        if judged is None:
            return None
        for change, bodies in judged:
            if stream.account is not account or stream.subscriptions is not subscriptions:
                break
            position = change.position or position
            for body in bodies:
                stream.push(frames.at(position, body))
            if stream.queued_bytes > stream.budget.max_bytes // 4:
                await self._drain(stream)
        await self._drain(stream)
        return position

    async def _drain(self, stream: Stream) -> None:
        """Wait until the peer has taken what is queued; one that does not read is closed."""
        gives_up_at = time.monotonic() + _DRAIN_S
        while not stream.flush() and not stream.closed:
            await asyncio.sleep(_RETRY_S)
            if time.monotonic() > gives_up_at:
                stream.close("slow")

    def _judge_logged(
        self, stream: Stream, position: Position, end: Position
    ) -> list[tuple[Change, list[bytes]]] | None:
        index: Index = {}
        for text, subscription in stream.subscriptions.items():
            group = Group(subscription)
            group.add(stream)
            index.setdefault(subscription.topic, {})[text] = group
        with self._storage.read() as reader:
            changes = self.log.between(reader, position, end, _REPLAY_CHANGES)
            if changes is None:
                return None
            return [
                (change, [delivery.body for delivery in self._judge_by(reader, change, addressees)])
                for change in changes
                for addressees in [list(self._addressees(change, index))]
            ]

    # -- accounts --------------------------------------------------------------

    def _account_changed(self, change: Change) -> None:
        """Take over the new values of an account, or its rights away. Copies realtimeUpdateClientsAuth."""
        record = change.record
        if not record.collection.is_auth:
            return
        self.account_changes += 1
        account = self._accounts.find(record.collection.id, record.id)
        if account is None or account.record is None:
            return
        if change.action == "delete" or account.record.text("tokenKey") != record.text("tokenKey"):
            self._revoke(account)
        else:
            self._accounts.update(account, record)

    def _collection_changed(self, event: CollectionChange) -> None:
        """Take the rights of accounts away whose collection is gone or has a new token secret."""
        self.account_changes += 1
        before, after = event.before, event.after
        is_revoked = after is None or (
            before.auth is not None
            and after.auth is not None
            and before.auth.auth_token.secret != after.auth.auth_token.secret
        )
        for account in self._accounts:
            if account.kind != before.id or account.record is None:
                continue
            if is_revoked:
                self._revoke(account)
            elif after is not None:
                account.record.collection = after
