"""Following the log of changes: what this process and others commit, handed to the hub in one order.

What this process commits is published at once when it comes right behind what was
told before. Where other processes have committed in between, their changes are read
from the log first. They are looked for when another process gives a hint, and every
now and then without one: a hint may be lost, the log is the truth.

Rule 1: the end of the log of this process and what is published move together, under
`_lock`, and nobody waits for a snapshot while holding it: the event loop closes
snapshots and may want the lock. Rule 2: numbers in the log have no holes; where some are
missing, changes are lost (this process slept longer than the log is kept), and the
streams are told so by being closed. Rule 3: a change is told only when the catalog is at
least as new as the change, else it might be judged by a rule that was replaced before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from rowcast.bus import Bus, Link, Lost
from rowcast.realtime.captured import Captured
from rowcast.realtime.changelog import ChangeLog
from rowcast.realtime.states import States
from rowcast.realtime.tally import Behind
from rowcast.realtime.waiting import WaitingRoom
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Logged, Position
from rowcast.schema.rows import new_record
from rowcast.sql import Snapshot
from rowcast.storage import BudgetExceededError, Reader, Storage, StorageError, Transaction, UnavailableError

_log = logging.getLogger(__name__)

_CHANGES = 500
"""How many changes are read at a time."""

_MOST_WAITING = 20_000
"""How many events may wait for the hub before the log is read on: where rules take long, changes wait there and
not in memory."""

_PERIOD_FULL_S = 0.02
_PERIOD_S = 0.1
_PERIOD_ALONE_S = 1.0
"""How often the log is looked at without a hint, with and without other processes at hand."""

_PERIOD_UNDECIDED_S = 0.004
_LONGEST_UNDECIDED_S = 0.064
"""How soon it is looked at again while transactions that have numbers are about to commit: at first, and when they
take long. Whoever commits gives a hint; only one that is undone, or whose hint is lost, is found out by looking."""

_SPACE_S = 0.01
_SPACE_BUSY_S = 0.05
_MANY = 32
"""How far apart looks begin at a server, which all nodes ask: while the hub has something to do, or the last look
has found many changes, more than one waits for the next."""

_LOCK_S = 0.02
"""How long the event loop, or a writer whose turn others wait for, waits for whoever reads the log."""


class Fresh(Protocol):
    """Settings and catalog as they are stored (see `storage.freshness`)."""

    def is_current(self, reader: Reader) -> bool:
        """Whether nothing that `reader` sees is still to be taken over."""
        ...

    def refresh(self) -> None:
        """Take over what has changed."""
        ...


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
        fresh: Fresh,
        wants_state: Callable[[Collection], bool],
        behind: Behind | None = None,
    ) -> None:
        self.behind = behind or Behind()
        self._storage = storage
        self._changes = log
        self._bus = bus
        self._link = link
        self._fresh = fresh
        self._captured = Captured(storage)
        self._states = States(wants_state)
        self._lock = threading.Lock()
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        # Up to which number the log was read, where it has holes.
        self._read = log.end.number
        self._waiting = WaitingRoom()
        self._undecided_s = _PERIOD_UNDECIDED_S
        self._looked_at = 0.0
        self._found = 0
        log.on_adopted = self._adopted

    def record(self, tx: Transaction) -> None:
        """Log the changes of a transaction that is about to commit (see `ChangeLog.record`)."""
        self._changes.record(tx)
        if not self._changes.numbers.is_dense:
            # Once it has committed they may be told at any moment, also before `publish`.
            numbers = self._states.put(tx.changes)
            if numbers:
                tx.on_rollback(lambda: self._states.forget(numbers))

    def publish(self, changes: list[Logged]) -> None:
        """Take the changes of a commit of this process; called under the storage's write lock.

        Where they can't be told at once, whatever the reason, they are read from the log soon after.
        """
        if not self._changes.numbers.is_dense:
            # Others may have committed in between, or be about to: the log tells them in order.
            self._wake_up()
            self._link.hint()
            return
        try:
            is_told = self._tell_at_once(changes)
        except BudgetExceededError:
            is_told = False
        except Exception:  # noqa: BLE001 - the commit stands, and must be told
            _log.exception("changes could not be told at once; they are read from the log")
            is_told = False
        if not is_told:
            for change in changes:
                if isinstance(change, Change) and change.before is not None:
                    change.before.close()
            self._wake_up()
        self._link.hint()

    def _wake_up(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    def _tell_at_once(self, changes: list[Logged]) -> bool:
        first = changes[0].position
        number = first.number if first is not None else 0
        if not self._changes.is_stored:
            self._tell(changes)
            return True
        if self._is_full():
            return False
        state = self._storage.snapshot() if number != self._told + 1 else None
        try:
            if not self._is_current(state):
                return False
            if not self._lock.acquire(timeout=_LOCK_S):
                return False
            try:
                if state is not None:
                    self._read_behind(state, number - 1)
                if number != self._told + 1:
                    # A reader of the log was faster, or is behind where this one did not look.
                    return self._told >= number
                self._tell(changes)
            finally:
                self._lock.release()
        finally:
            if state is not None:
                state.close()
        return True

    def _is_current(self, state: Snapshot | None) -> bool:
        if not self._link.has_others:
            return True
        if state is not None:
            return self._fresh.is_current(state)
        with self._storage.read() as reader:
            return self._fresh.is_current(reader)

    def hint(self) -> None:
        """Look for changes of other processes soon. Called on the event loop."""
        self._wake.set()

    async def reach(self) -> None:
        """Wait until whatever was committed before this call is handed to the bus, whoever committed it.

        At once where this process is up to date, as it always is when it is alone on SQLite. All who wait
        share one look at the log, which begins after they came. Raises StorageError where it can't be read.
        """
        if self._loop is None or not await self._may_be_behind():
            return
        told = self._waiting.enter(self._loop)
        self._wake.set()
        await told

    async def _may_be_behind(self) -> bool:
        if not self._changes.is_stored:
            return self._link.has_others
        if not self._changes.numbers.is_dense:
            return True
        try:
            with self._storage.budget(), self._storage.read() as reader:
                return self._changes.last(reader).number > self._told
        except BudgetExceededError:
            return True

    def _refuse(self, error: StorageError) -> None:
        """Tell those who wait that the log can't be read; it is read on from here when it can."""
        self._waiting.refuse(error)
        # That the database is away, the storage says once.
        if not isinstance(error, UnavailableError):
            _log.warning("the log of changes can't be read: %s", error)

    async def run(self) -> None:
        """Follow the log until cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._period_s()):
                        await self._wake.wait()
                await self._space(self._loop)
                self._wake.clear()
                came = len(self._waiting)
                try:
                    if await self._catch_up():
                        self._waiting.release(came, self._changes.numbers.seen, self._read)
                    self.behind.looks[True] += 1
                    self._captured.tidy(self._changes)
                except StorageError as error:
                    self.behind.looks[False] += 1
                    self._refuse(error)
                except Exception:  # noqa: BLE001 - without this task nothing of others would be heard any more
                    _log.exception("changes of other processes could not be told; streams start anew")
                    await asyncio.to_thread(self._give_up)
        finally:
            self._loop = None
            self._waiting.end()
            self._states.drop()

    async def _space(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until another look is worth its price, where each has one."""
        if not self._changes.numbers.is_dense:
            space_s = _SPACE_BUSY_S if self._bus.backlog or self._found >= _MANY else _SPACE_S
            await asyncio.sleep(max(self._looked_at + space_s - loop.time(), 0))
            self._looked_at = loop.time()

    def _period_s(self) -> float:
        if self._is_full():
            return _PERIOD_FULL_S
        if self._changes.numbers.is_waiting:
            period_s, self._undecided_s = self._undecided_s, min(self._undecided_s * 2, _LONGEST_UNDECIDED_S)
            return period_s
        self._undecided_s = _PERIOD_UNDECIDED_S
        return _PERIOD_S if self._captured.is_on or self._link.has_others else _PERIOD_ALONE_S

    async def _catch_up(self) -> bool:
        try:
            with self._storage.budget():
                return self.catch_up(_LOCK_S)
        except BudgetExceededError:
            return await asyncio.to_thread(self.catch_up)

    def catch_up(self, patience_s: float = -1) -> bool:
        """Tell what other processes have committed. From any thread.

        Returns whether it has looked for all of that: the hub may have enough to do. Raises
        BudgetExceededError where somebody else is at it for longer than `patience_s`.
        """
        has_others = self._captured.look() or self._link.has_others
        if has_others or self._changes.is_begun():
            # They hear of this process by the log alone.
            self._changes.store()
        if self._is_full():
            return False
        decided = self._changes.numbers.decided(self._storage)
        if decided is not None:
            seen = self._changes.numbers.seen
            self.behind.look(seen, seen - decided)
            self._found = decided - self._read
        # After a crash of the database it may be lower: numbers that nobody has committed are given again.
        if decided is not None and decided == self._read:
            self._fresh.refresh()
            return True
        is_kept = False
        is_whole = True
        state = self._storage.snapshot()
        try:
            # After the snapshot: nothing in it may be judged by rules that were replaced before.
            if not self._fresh.is_current(state):
                self._fresh.refresh()
            if not self._lock.acquire(timeout=patience_s):
                raise BudgetExceededError("somebody else reads the log of changes")
            try:
                if decided is None:
                    is_whole = self._read_behind(state)
                else:
                    self._read_decided(state, decided)
                self._states.drop()
                if has_others:
                    self._states.keep(state)
                    is_kept = True
            finally:
                self._lock.release()
        finally:
            if not is_kept:
                state.close()
        return is_whole

    def _is_full(self) -> bool:
        """Whether the hub has enough to do."""
        return self._bus.backlog >= _MOST_WAITING

    @property
    def _told(self) -> int:
        return self._changes.end.number

    def _read_behind(self, state: Snapshot, upto: int | None = None) -> bool:
        """Tell the changes behind the last told one, up to a number or all of a state; say whether these are told."""
        if not self._changes.is_stored:
            return True
        last = self._changes.last(state)
        self.behind.look(last.number)
        end = last.number if upto is None else upto
        is_first = True
        while self._told < end:
            changes = self._changes.behind(state, self._told, end, _CHANGES)
            first = changes[0].position if changes else None
            if first is None or first.number != self._told + 1:
                self._skip_to(first or last)
                continue
            self._tell(self._states.given_to(changes, is_first=is_first))
            is_first = False
            if upto is None and self._is_full():
                return self._told >= end
        return True

    def _read_decided(self, state: Snapshot, decided: int) -> None:
        """Tell the changes behind the last told one up to a number, where some were never used."""
        told = self._told
        changes = self._changes.behind(state, told, decided, _CHANGES)
        first = changes[0].position if changes else None
        # Where the next number is there, nothing behind the last told one was dropped.
        if (first is None or first.number != told + 1) and self._changes.is_lost(state, told):
            _log.warning("changes behind %d are lost; streams start anew", told)
            self._lose(self._changes.last_until(state, decided))
            changes = self._changes.behind(state, self._told, decided, _CHANGES)
        is_first = True
        while changes:
            self._tell(self._states.given_to(changes, is_first=is_first))
            is_first = False
            if self._is_full():
                self._read = self._told
                return
            is_whole = len(changes) < _CHANGES
            changes = [] if is_whole else self._changes.behind(state, self._told, decided, _CHANGES)
        self._read = decided

    def _tell(self, changes: Sequence[Logged]) -> None:
        self._changes.publish(changes)
        if self._changes.numbers.is_dense:
            self.behind.look(self._told)
        self._bus.publish(changes)

    def _skip_to(self, position: Position) -> None:
        """Go on at a position, or right before the first change that is still there."""
        number = max(position.number - 1, self._told + 1)
        _log.warning("changes %d to %d of other processes are lost; streams start anew", self._told + 1, number)
        self._lose(Position(number, position.tag))

    def _lose(self, position: Position) -> None:
        self._changes.skip_to(position)
        self._states.forget_until(position.number)
        self._bus.publish((Lost(position),))

    def _give_up(self) -> None:
        """Leave out what can't be told."""
        with contextlib.suppress(StorageError), self._storage.read() as reader, self._lock:
            self._lose(self._changes.last(reader))

    def _adopted(self, position: Position, is_whole: bool) -> None:
        """Have the hub count on from where another process has begun to store the log."""
        nothing = Change("delete", new_record(Collection(id="")), position=position)
        self._bus.publish((nothing if is_whole else Lost(position),))
