"""Catching up: what a stream with a cursor missed, in order, before it hears what is new.

The stream joins the live ones between two changes, when it has everything up to
the last delivered one: so nothing is lost and nothing comes twice. What it gets is
judged by the rules, and by the rights of its account, as they are now.

All streams that catch up do so together: a change is read and judged once for all
who still need it, so that a thousand clients that come back at once cost little
more than one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from rowcast.realtime.accounts import Accounts
from rowcast.realtime.audience import Delivery
from rowcast.realtime.changelog import ChangeLog
from rowcast.realtime.delivery import deliver
from rowcast.realtime.index import TopicIndex
from rowcast.realtime.judgement import Judgement
from rowcast.realtime.progress import AWAY_S, Progress
from rowcast.realtime.rounds import SLICE_S
from rowcast.realtime.stream import RETRY_S, Stream
from rowcast.records.output import Output
from rowcast.rules import Rules
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.record import Change, Position
from rowcast.storage import Storage, UnavailableError

_log = logging.getLogger(__name__)

_CHANGES = 200
"""How many changes are read and judged at a time."""

_DRAIN_S = 60.0
"""How long it may take for what is queued before its peer counts as frozen."""


class Replays:
    """The streams that catch up, and how far each of them is.

    They are in an index of their own. Whoever changes the topics or the account of
    one takes it out of `index` before, puts it in again after, and calls `step_out`: what is
    under way was judged for what the stream was.
    """

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
        self.index = TopicIndex()
        self._storage = storage
        self._catalog = catalog
        self._rules = rules
        self._output = output
        self._accounts = accounts
        self._changes = log
        self._progress = progress
        self._join = join
        self._positions: dict[Stream, Position] = {}
        # Those that the round under way is for, and the position that it has reached.
        self._riders: dict[Stream, Position] = {}
        self._reached = progress.delivered
        self._task: asyncio.Task[None] | None = None

    def start(self, stream: Stream, position: Position) -> None:
        """Have a stream catch up from a position; at the end it joins the live ones."""
        stream.catches_up = True
        self.index.join(stream)
        self._positions[stream] = position
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    def step_out(self, stream: Stream) -> None:
        """Take a stream out of the round under way; it goes on from where it is with the next one."""
        position = self._riders.pop(stream, None)
        if position is not None and position.number < self._reached.number:
            self._positions[stream] = self._reached

    def forget(self, stream: Stream) -> None:
        """Let go of a closed stream."""
        self._riders.pop(stream, None)
        self._positions.pop(stream, None)

    def cancel(self) -> None:
        """Stop all."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._positions:
            try:
                await self._round()
            except UnavailableError:
                await asyncio.sleep(AWAY_S)
            except Exception:  # noqa: BLE001 - whatever fails here, the streams must not go on
                _log.exception("streams could not be caught up")
                for stream in tuple(self._positions):
                    stream.close("failed")

    async def _round(self) -> None:
        progress = self._progress
        async with progress.turn:
            end = progress.delivered
            for stream, position in tuple(self._positions.items()):
                if position.number == end.number:
                    self._finish(stream)
        self._riders = {
            stream: position
            for stream, position in self._positions.items()
            if position.number < end.number and self._has_room(stream)
        }
        if self._riders:
            await self._ride(end)
        elif any(position.number < progress.delivered.number for position in self._positions.values()):
            # Their sockets are full.
            await asyncio.sleep(RETRY_S)
        elif self._positions:
            # What they start behind is committed, but still on its way to the others.
            await progress.wait()

    async def _ride(self, end: Position) -> None:
        """Deliver some changes to all riders that need them."""
        start = min(self._riders.values(), key=lambda position: position.number)
        # Before the thread begins: who steps out meanwhile has got nothing of this round.
        self._reached = start
        judged = await asyncio.to_thread(self._judge, start, end)
        if judged is None:
            # Dropped from the log since these streams began: they must not go on as if they had them.
            for stream in [stream for stream, position in self._riders.items() if position == start]:
                stream.close("failed")
            return
        turn_ends = time.monotonic() + SLICE_S
        for change, deliveries in judged:
            deliver(change, deliveries, partial(self._push, change), behind=self._reached)
            self._reached = change.position or self._reached
            for stream in tuple(self._riders):
                if stream.queued_bytes > _room(stream) and not stream.flush():
                    self.step_out(stream)
            if time.monotonic() > turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + SLICE_S
        for stream in tuple(self._riders):
            stream.flush()
            self.step_out(stream)
            if time.monotonic() > turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + SLICE_S

    def _push(self, change: Change, stream: Stream, frame: bytes) -> None:
        position = self._riders.get(stream)
        if position is not None and change.position is not None and position.number < change.position.number:
            stream.push(frame)

    def _finish(self, stream: Stream) -> None:
        self.index.leave(stream)
        self.forget(stream)
        stream.catches_up = False
        self._join(stream)

    def _has_room(self, stream: Stream) -> bool:
        """Whether a stream has taken what it was given; one that takes nothing for long is closed."""
        if stream.flush() or stream.queued_bytes <= _room(stream):
            return not stream.closed
        if time.monotonic() - stream.behind_since > _DRAIN_S:
            stream.close("slow")
        return False

    def _judge(self, start: Position, end: Position) -> list[tuple[Change, list[Delivery]]] | None:
        judged = []
        with self._storage.read() as reader:
            changes = self._changes.between(reader, start, end, _CHANGES)
            if changes is None:
                return None
            for change in changes:
                known = self._catalog.current.find(change.record.collection.id)
                # Nobody may see anything of a collection that is gone.
                addressees = self.index.addressees(known, change.record.id) if known is not None else []
                judgement = Judgement(change, reader, self._rules, self._output, self._accounts)
                judged.append((change, list(judgement.deliveries(addressees))))
        return judged


def _room(stream: Stream) -> int:
    """How many bytes may wait for a stream before it gets more."""
    return stream.budget.max_bytes // 4
