"""The hub: who is connected, what they ask for, and the one task that tells them.

Owned by the event loop. `subscribe`, `connect` and the reader task change the
index between awaits only, never across one, so a change sees either the old or
the new state of a stream. The only call from other threads is `wants_before`.

Changes are judged in commit order and pushed in that order, so all streams see
one order. What arrived while a round of writes was under way leaves together.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence

from rowcast.bus import Bus, CollectionChange, Event, Lost, Message
from rowcast.errors import BadRequestError, ForbiddenError, NotFoundError
from rowcast.realtime import frames, topics
from rowcast.realtime.accounts import Accounts
from rowcast.realtime.admission import Admission
from rowcast.realtime.audience import Addressee, Delivery
from rowcast.realtime.changelog import ChangeLog
from rowcast.realtime.delivery import deliver
from rowcast.realtime.draining import end_gently
from rowcast.realtime.heartbeats import beat
from rowcast.realtime.index import TopicIndex
from rowcast.realtime.judge import Judge
from rowcast.realtime.judgement import reads_rows
from rowcast.realtime.messages import message
from rowcast.realtime.present import Present
from rowcast.realtime.progress import Progress
from rowcast.realtime.replay import Replays
from rowcast.realtime.rights import Rights
from rowcast.realtime.rounds import SLICE_S, Rounds
from rowcast.realtime.stream import Budget, Limits, Sink, Stream, new_client_id
from rowcast.realtime.tally import Tally
from rowcast.records.output import Output
from rowcast.rules import Rules
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Position, Record
from rowcast.storage import Storage, UnavailableError

_log = logging.getLogger(__name__)

_ROUND = 64
"""After how many changes what was pushed is written, so that no backlog of the hub looks like a slow reader."""

_GROUPS = 64
"""How many groups are judged at a time: one client can ask for a thousand different filters."""

_LAST_WORDS_S = 1.0
"""How long a stop waits for what is committed and not told yet."""


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
        node: str = "",
        is_shared: Callable[[], bool] = lambda: False,
        heartbeat_s: float = 25.0,
        tally: Tally | None = None,
    ) -> None:
        self.log = log
        self._catalog = catalog
        self._storage = storage
        self._rules = rules
        self._bus = bus
        self._budget = budget
        self._admission = Admission(limits)
        self._node = node
        self._is_shared = is_shared
        self._heartbeat_s = heartbeat_s
        self._streams: dict[str, Stream] = {}
        self._accounts = Accounts()
        self.tally = tally or Tally()
        self.judge = Judge(storage, rules, output, self._accounts, self.tally)
        self.index = TopicIndex()
        self._progress = Progress(log.end)
        self._replays = Replays(
            storage=storage,
            catalog=catalog,
            rules=rules,
            output=output,
            accounts=self._accounts,
            log=log,
            progress=self._progress,
            join=self.index.join,
        )
        self.rounds = Rounds()
        self._rights = Rights(self._accounts, leave=self._leave, join=self._join)
        self.present = Present(log, self._progress)

    # -- streams ---------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def backlog(self) -> int:
        """How many changes are committed and wait to be told, or are being told."""
        return self._bus.backlog

    def __iter__(self) -> Iterator[Stream]:
        return iter(tuple(self._streams.values()))

    @property
    def turn(self) -> asyncio.Lock:
        """Held while a change is judged and delivered."""
        return self._progress.turn

    @property
    def account_changes(self) -> int:
        """How many changes of accounts were heard: who looked one up before that many may have to look again."""
        return self._rights.changes

    @property
    def is_stopping(self) -> bool:
        """Whether new streams are refused because the server stops."""
        return self._admission.is_stopping

    def admit(self, address: str) -> None:
        """Raise where a new stream is refused: 503 while the server stops or is full, 429 past the address's share."""
        self._admission.check(address)

    def connect(self, sink: Sink, *, address: str, start: Position | None = None) -> Stream:
        """Register a new stream of a guest; its caller sends PB_CONNECT with its id.

        With a `start`, a position that the log knows, the stream has a cursor. Raises as
        `admit` does: the server may have filled up, or begun to stop, since the request came.
        """
        self._admission.enter(address)
        client_id = new_client_id(self._node)
        account, budget = self._accounts.guest, self._budget
        stream = Stream(sink, client_id, address=address, account=account, budget=budget, start=start)
        stream.on_close, stream.written = self._forget, self.tally.sockets
        self._streams[stream.id] = stream
        return stream

    def subscribe(self, client_id: str, texts: Sequence[str], *, auth: Record | None, address: str) -> None:
        """Replace the topics of a stream and set its account. Copies apis/realtime.go, realtimeSetSubscriptions.

        Raises NotFoundError for an unknown client, BadRequestError for one that
        was opened from another address, and ForbiddenError where the stream already
        belongs to another account. A refused call leaves the stream as it was.
        To be called with `turn` held: a change that is judged meanwhile, in a thread, would
        find the stream neither among those with its old topics nor with the new ones.
        """
        stream = self._streams.get(client_id)
        if stream is None:
            raise NotFoundError("Missing or invalid client id.")
        if stream.address != address:
            raise BadRequestError("Invalid realtime client.")
        current = stream.account.record
        if current is not None and not current.is_same(auth):
            raise ForbiddenError("The current and the previous request authorization don't match.")
        self._leave(stream)
        self._rights.assign(stream, auth)
        stream.subscriptions = {text: topics.parse(text) for text in texts if text}
        if stream.resume_from is not None:
            start, stream.resume_from = stream.resume_from, None
            self._replays.start(stream, start)
            return
        self._join(stream)
        if stream.has_cursor and not stream.catches_up:
            # What is new about its topics begins here.
            self.rounds.push_soon(stream, frames.progress(self._progress.delivered))

    def answer_oauth2(self, client_id: str, data: bytes, address: str) -> bool:
        """Tell a stream what an OAuth2 provider said, in JSON; it is told once and waits for no more.

        False where no stream of this id waits for it, or one that was opened from another
        address. To be called with `turn` held, as `subscribe` is.
        """
        stream = self._streams.get(client_id)
        if stream is None or topics.OAUTH2 not in stream.subscriptions:
            return False
        self._leave(stream)
        stream.subscriptions = {text: asked for text, asked in stream.subscriptions.items() if text != topics.OAUTH2}
        self._join(stream)
        if stream.address != address:
            return False
        self.rounds.push_soon(stream, frames.body(topics.OAUTH2.encode(), data))
        return True

    def disconnect(self, stream: Stream) -> None:
        """Forget a stream whose peer left."""
        stream.close("gone")

    def kick(self, client_id: str) -> None:
        """End one stream. Raises NotFoundError."""
        stream = self._streams.get(client_id)
        if stream is None:
            raise NotFoundError("Missing or invalid client id.")
        stream.close("kicked")

    def close(self) -> None:
        """End every stream at once; new ones are refused from now on."""
        self._admission.stop()
        self._replays.cancel()
        for stream in self:
            stream.close("stop")

    async def drain(self, over_s: float = 0.0) -> None:
        """End every stream, spread over some seconds; new ones are refused from now on."""
        self._admission.stop()
        # What was committed before the stop is told first.
        with contextlib.suppress(TimeoutError, UnavailableError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._progress.reach(self.log)
        await end_gently(self, over_s)
        self.close()

    def wants_before(self, collection: Collection) -> bool:
        """Whether a delete in `collection` must be judged by the state before it.

        So it is where somebody listens, and what decides about the event, or what it
        shows, reads other rows, which may go with the record. May be called from any thread.
        """
        heads = self.index.heads(collection)
        return bool(heads) and (
            any(head.with_options for head in heads) or reads_rows(collection, self._rules, self._catalog.current)
        )

    def wants_earlier(self, collection: Collection) -> bool:
        """Whether an update in `collection` must be judged by the state before it as well: somebody hears of leaving.

        May be called from any thread.
        """
        return any(head.with_leave for head in self.index.heads(collection))

    def _leave(self, stream: Stream) -> None:
        """Take a stream out of the index that it is in, before its topics or its account change."""
        if stream.catches_up:
            self._replays.index.leave(stream)
            self._replays.step_out(stream)
        else:
            self.index.leave(stream)

    def _join(self, stream: Stream) -> None:
        """Put a stream into the index that it belongs to."""
        (self._replays.index if stream.catches_up else self.index).join(stream)

    def _forget(self, stream: Stream) -> None:
        self._leave(stream)
        self._replays.forget(stream)
        self._accounts.release(stream)
        if self._streams.pop(stream.id, None) is not None:
            self._admission.leave(stream.address)
        self.rounds.forget(stream)
        if stream.closed:
            self.tally.closed[stream.closed] += 1

    # -- messages --------------------------------------------------------------

    def publish(self, topic: str, data: object) -> None:
        """Send a message to the streams that asked for a topic, in order with the changes of records.

        `data` is anything that JSON can hold. Where several processes serve the database it goes
        through the log of changes, and so reaches the streams of all of them in one order. Raises
        BadRequestError for a topic that is empty, too long or of a collection, and for data that is too
        large or no JSON; StorageError where the log can't be written.
        """
        told = message(topic, data, self._catalog.current)
        if not self._is_shared():
            self._bus.publish((told,))
            return
        with self._storage.write() as tx:
            tx.changes.append(told)

    def _send(self, message: Message) -> None:
        for group in self.index.groups(message.topic):
            body = frames.body(group.subscription.event_name, message.data)
            with_id = frames.id_line(str(message.position or self._progress.delivered)) + body
            for stream in group.streams():
                self.rounds.push(stream, with_id if stream.has_cursor else body)
        if message.position is not None:
            self._progress.move(message.position)

    def _lose(self, lost: Lost) -> None:
        """End all streams: their clients connect again, and those with a cursor are told what is lost."""
        for stream in self:
            stream.close("failed")
        self._progress.move(lost.position)

    # -- changes ---------------------------------------------------------------

    async def run(self) -> None:
        """Judge and deliver changes in commit order until cancelled."""
        while True:
            events = await self._bus.receive()
            try:
                for first in range(0, len(events), _ROUND):
                    await self._tell(events[first : first + _ROUND])
            finally:
                # The deletes of one commit share a snapshot, and a commit is never split between two receives.
                for event in events:
                    if isinstance(event, Change) and event.before is not None:
                        event.before.close()

    async def _tell(self, events: Sequence[Event]) -> None:
        self.tally.taken(events)
        try:
            await self._dispatch_round(events)
            self.tally.step("judged")
            await self.rounds.write()
            self.tally.written(self._progress.delivered)
        except Exception:  # noqa: BLE001 - without this task no stream would hear anything any more
            _log.exception("changes could not be told")
            for stream in self:
                stream.close("failed")
            for event in events:
                if isinstance(event, Change | Message) and event.position is not None:
                    self._progress.move(event.position)

    async def _dispatch_round(self, events: Sequence[Event]) -> None:
        turn, turn_ends = self.turn, time.monotonic() + SLICE_S
        for event in events:
            if isinstance(event, Change):
                if turn.locked() or not self._dispatch_now(event):
                    await self._progress.deliver(event, self._dispatch)
                if self.judge.is_tired:
                    # What was pushed need not wait as well.
                    await self.rounds.write()
                    await self.judge.rest()
            elif isinstance(event, CollectionChange):
                self._rights.change_collection(event)
            elif isinstance(event, Message):
                self._send(event)
            else:
                self._lose(event)
            if time.monotonic() > turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + SLICE_S

    def _dispatch_now(self, change: Change) -> bool:
        """Deliver a change without letting anybody else run, so that nobody need be kept from its turn.

        False where that takes a thread, several steps, or more care: then nothing has happened yet.
        """
        collection, addressees = self._concerned(change)
        if collection.is_auth or change.record.collection.is_auth or len(addressees) > _GROUPS:
            return False
        if addressees:
            try:
                deliveries = self.judge.judge_now(change, addressees)
            except Exception:  # noqa: BLE001 - it is judged once more, and then known what to do
                return False
            self.tally.judged += 1
            deliver(change, deliveries, self.rounds.push, behind=self._progress.delivered)
        if change.position is not None:
            self._progress.move(change.position)
        return True

    def _concerned(self, change: Change) -> tuple[Collection, list[Addressee]]:
        """Return the collection as it is now, and who asked for such a record of it."""
        collection = self._catalog.current.find(change.record.collection.id) or change.record.collection
        return collection, self.index.addressees(collection, change.record.id)

    async def _dispatch(self, change: Change) -> None:
        if change.action == "update":
            self._rights.change(change)
        collection, addressees = self._concerned(change)
        if addressees:
            self.tally.judged += 1
            try:
                deliveries: list[Delivery] = []
                for first in range(0, len(addressees), _GROUPS):
                    if first:
                        await asyncio.sleep(0)
                    deliveries += await self.judge.judge(change, addressees[first : first + _GROUPS])
                deliver(change, deliveries, self.rounds.push, behind=self._progress.delivered)
            except UnavailableError:
                raise
            except Exception:  # noqa: BLE001 - whatever fails here, the streams must not go on
                # A stream that may have missed a change must not go on as if it had not: its client reconnects.
                _log.exception("a change could not be judged", extra={"collection": collection.name})
                for stream in [stream for each in addressees for stream in each.group.streams()]:
                    stream.close("failed")
        if change.action == "delete":
            self._rights.change(change)

    async def beat(self) -> None:
        """Send heartbeats, and end streams that are too old, until cancelled."""
        await beat(self, self._heartbeat_s, lambda: self._progress.delivered)
