"""Catching up: what a stream with a cursor missed, in order, before it hears what is new.

The stream joins the live ones between two changes, when it has everything up to
the last delivered one: so nothing is lost and nothing comes twice. What it gets is
judged by the rules, and by the rights of its account, as they are now.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from rowcast.realtime import frames
from rowcast.realtime.accounts import Accounts
from rowcast.realtime.changelog import ChangeLog
from rowcast.realtime.index import TopicIndex
from rowcast.realtime.judgement import Judgement
from rowcast.realtime.stream import RETRY_S, Stream
from rowcast.records.output import Output
from rowcast.rules import Rules
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.record import Change, Position
from rowcast.storage import Storage

_log = logging.getLogger(__name__)

_CHANGES = 200
"""How many changes a stream that catches up is given at a time."""

_DRAIN_S = 60.0
"""How long it may take for what was queued."""


class Progress:
    """How far changes were delivered. `turn` is held while one is."""

    def __init__(self, delivered: Position) -> None:
        self.delivered = delivered
        self.turn = asyncio.Lock()
        self._moved = asyncio.Event()

    def move(self, position: Position) -> None:
        """Note that a change was delivered."""
        self.delivered = position
        self._moved.set()

    async def wait(self) -> None:
        """Wait until another change was delivered."""
        self._moved.clear()
        await self._moved.wait()


class Replays:
    """The streams that catch up."""

    def __init__(  # noqa: PLR0913 - the parts that meet here
        self,
        *,
        storage: Storage,
        catalog: CatalogRef,
        rules: Rules,
        output: Output,
        accounts: Accounts,
        log: ChangeLog,
        progress: Progress,
        join: Callable[[Stream], None],
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._rules = rules
        self._output = output
        self._accounts = accounts
        self._changes = log
        self._progress = progress
        self._join = join
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, stream: Stream, position: Position) -> None:
        """Have a stream catch up from a position; at the end it joins."""
        stream.catches_up = True
        task = asyncio.get_running_loop().create_task(self._run(stream, position))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Stop all."""
        for task in self._tasks:
            task.cancel()

    async def _run(self, stream: Stream, position: Position) -> None:
        progress = self._progress
        try:
            while not stream.closed:
                async with progress.turn:
                    end = progress.delivered
                    if position.number == end.number:
                        stream.catches_up = False
                        self._join(stream)
                        return
                if position.number > end.number:
                    # Committed, but still on its way to the others.
                    await progress.wait()
                    continue
                last = await self._some(stream, position, end)
                if last is None:
                    # Dropped from the log since the stream began: it must not go on as if it had them.
                    stream.close("failed")
                    return
                position = last
        except Exception:  # noqa: BLE001 - whatever fails here, the stream must not go on
            _log.exception("a stream could not be caught up")
            stream.close("failed")

    async def _some(self, stream: Stream, position: Position, end: Position) -> Position | None:
        """Deliver some of the changes between two positions; return how far, None where they are not at hand."""
        account, subscriptions = stream.account, stream.subscriptions
        judged = await asyncio.to_thread(self._judge, stream, position, end)
        if judged is None:
            return None
        for change, bodies in judged:
            if stream.account is not account or stream.subscriptions is not subscriptions:
                # What is left was judged for another account or other topics.
                break
            before, position = position, change.position or position
            for count, body in enumerate(bodies, start=1):
                # A cut between two events of one change must bring both again.
                stream.push(frames.at(position, body, behind=before if count < len(bodies) else None))
            if stream.queued_bytes > stream.budget.max_bytes // 4:
                await _drain(stream)
        await _drain(stream)
        return position

    def _judge(self, stream: Stream, position: Position, end: Position) -> list[tuple[Change, list[bytes]]] | None:
        index = TopicIndex()
        index.join(stream)
        judged = []
        with self._storage.read() as reader:
            changes = self._changes.between(reader, position, end, _CHANGES)
            if changes is None:
                return None
            for change in changes:
                known = self._catalog.current.find(change.record.collection.id)
                # Nobody may see anything of a collection that is gone.
                addressees = list(index.addressees(known, change.record.id)) if known is not None else []
                judgement = Judgement(change, reader, self._rules, self._output, self._accounts)
                judged.append((change, [delivery.body for delivery in judgement.deliveries(addressees)]))
        return judged


async def _drain(stream: Stream) -> None:
    """Wait until the peer has taken what is queued; one that does not read is closed."""
    gives_up_at = time.monotonic() + _DRAIN_S
    while not stream.flush() and not stream.closed:
        await asyncio.sleep(RETRY_S)
        if time.monotonic() > gives_up_at:
            stream.close("slow")
