"""Following the log of changes: what this process and others commit, handed to the hub in one order.

What this process commits is published at once when it comes right behind what was
told before. Where other processes have committed in between, their changes are read
from the log first. They are looked for when another process gives a hint, and every
now and then without one: a hint may be lost, the log is the truth.

Rule 1: `_told` and what is published move together, under `_lock`. Rule 2: numbers
in the log have no holes; where some are missing, changes are lost (this process
slept longer than the log is kept), and the streams are told so by being closed.
Rule 3: what this process commits is told by `publish` alone, so between the commit and that
call the log is left unread: it would be told twice, and without the state before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from rowcast.bus import Bus, Link, Lost
from rowcast.realtime.changelog import ChangeLog
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Logged, Position
from rowcast.sql import Snapshot
from rowcast.storage import BudgetExceededError, Storage, StorageError, Transaction

_log = logging.getLogger(__name__)

_CHANGES = 500
"""How many changes are read at a time."""

_PERIOD_S = 0.1
_PERIOD_ALONE_S = 1.0
"""How often the log is looked at without a hint, with and without other processes at hand."""

_PERIOD_UNDECIDED_S = 0.004
"""How soon it is looked at again while transactions that have numbers are about to commit."""


class Follower:
    """Hands the changes of all processes to the bus of this one.

    `wants_state` says whether the hub wants to judge changes in a collection by the
    state before them. What other processes deleted is judged by the last state that
    this one has seen before: exactly the one before the change, unless changes come
    faster than they are read.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        log: ChangeLog,
        bus: Bus,
        link: Link,
        refresh: Callable[[], None],
        wants_state: Callable[[Collection], bool],
    ) -> None:
        self._storage = storage
        self._changes = log
        self._bus = bus
        self._link = link
        self._refresh = refresh
        self._wants_state = wants_state
        self._lock = threading.Lock()
        self._told = log.end.number
        self._state: Snapshot | None = None
        self._is_committing = self._is_asked = False
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        # The states before changes of this process that the log has yet to tell, by number.
        self._own: dict[int, Snapshot] = {}

    def record(self, tx: Transaction) -> None:
        """Log the changes of a transaction that is about to commit; called under the storage's write lock."""
        self._changes.record(tx)
        if self._changes.numbers.is_dense:
            with self._lock:
                self._is_committing = True
            tx.on_rollback(self._give_up)

    def publish(self, changes: list[Logged]) -> None:
        """Take the changes of a commit of this process; called under the lock of its commits."""
        if not self._changes.numbers.is_dense:
            # Others may have committed in between, or be about to: the log tells them in order.
            for change in changes:
                if isinstance(change, Change) and change.before is not None and change.position is not None:
                    self._own[change.position.number] = change.before
            self._wake_up()
            self._link.hint()
            return
        with self._lock:
            self._is_committing = False
            first = changes[0].position
            if first is not None and first.number != self._told + 1:
                self._read_behind(upto=first.number - 1)
            self._tell(changes)
            if self._is_asked:
                self._is_asked = False
                self._read_behind()
        self._link.hint()

    def _wake_up(self) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake.set)

    def _give_up(self) -> None:
        with self._lock:
            self._is_committing = False

    def hint(self) -> None:
        """Look for changes of other processes soon. Called on the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Follow the log until cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._period_s()):
                        await self._wake.wait()
                self._wake.clear()
                try:
                    await self._catch_up()
                except StorageError as error:
                    _log.warning("the log of changes can't be read: %s", error)
        finally:
            self._let_go()

    def _period_s(self) -> float:
        if self._changes.numbers.is_waiting:
            return _PERIOD_UNDECIDED_S
        return _PERIOD_S if self._link.has_others else _PERIOD_ALONE_S

    async def _catch_up(self) -> None:
        try:
            with self._storage.budget():
                self.catch_up()
        except BudgetExceededError:
            await asyncio.to_thread(self.catch_up)

    def catch_up(self) -> None:
        """Tell what other processes have committed. From any thread."""
        if self._link.has_others:
            # They hear of this process by the log alone.
            self._changes.store()
        self._refresh()
        with self._lock:
            self._is_asked = self._is_committing
            if not self._is_committing:
                self._read_behind()

    def _read_behind(self, upto: int | None = None) -> None:
        """Tell the changes behind the last told one, those up to a number or all."""
        decided = self._changes.numbers.decided(self._storage)
        if decided is not None and decided <= self._told:
            return
        state = self._storage.snapshot()
        is_kept = False
        try:
            last = self._changes.last(state)
            if last.number <= self._told and decided is None:
                # Also after a restored backup, which starts a process anew.
                return
            end = decided if decided is not None else last.number if upto is None else upto
            if decided is not None and self._changes.is_lost(state, self._told):
                self._skip_to(last)
            before = self._state
            while self._told < end:
                changes = self._changes.behind(state, self._told, end, _CHANGES)
                first = changes[0].position if changes else None
                if decided is not None and first is None:
                    # The rest was never used.
                    self._told = end
                    break
                if decided is None and (first is None or first.number != self._told + 1):
                    self._skip_to(first or last)
                    continue
                self._tell([self._with_state(change, before) for change in changes])
                before = None
            if self._link.has_others:
                is_kept = self._keep(state)
        finally:
            if not is_kept:
                state.close()

    def _tell(self, changes: Sequence[Logged]) -> None:
        self._changes.publish(changes)
        self._bus.publish(changes)
        last = changes[-1].position
        if last is not None:
            self._told = last.number

    def _skip_to(self, position: Position) -> None:
        """Go on at a position, or right before the first change that is still there."""
        number = max(position.number - 1, self._told + 1)
        _log.warning("changes %d to %d of other processes are lost; streams start anew", self._told + 1, number)
        behind = Position(number, position.tag)
        self._changes.skip_to(behind)
        self._bus.publish((Lost(behind),))
        self._told = number

    def _with_state(self, change: Logged, before: Snapshot | None) -> Logged:
        if not isinstance(change, Change) or change.action == "create":
            return change
        own = self._own.pop(change.position.number, None) if change.position is not None else None
        if own is not None:
            return replace(change, before=own)
        if before is not None and self._wants_state(change.record.collection):
            self._state = None  # The hub closes it.
            return replace(change, before=before)
        return change

    def _keep(self, state: Snapshot) -> bool:
        """Keep a state for what is deleted next, in place of the one before."""
        self._let_go()
        self._state = state
        return True

    def _let_go(self) -> None:
        if self._state is not None:
            self._state.close()
            self._state = None
