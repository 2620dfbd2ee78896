"""The states before changes that the log has yet to tell: by them the hub judges who may hear of what is gone.

Where transactions commit side by side a process reads its own changes from the log too, so that all come in
one order. The state before such a change is put down here before its commit: from then on the log may be
read at any moment. What others did is judged by the last state that this process has read.

Each state is a connection to the database, of which there are few, so none may be left behind: whoever gets a
change closes its `before`, and the changes of one transaction, which may be told apart from each other, count.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Logged
from rowcast.sql import Dialect, Row, Snapshot, SQLValue


class SharedState:
    """A state that several changes hold; the last one that is closed closes it."""

    __slots__ = ("_holders", "_lock", "_state")

    def __init__(self, state: Snapshot, holders: int) -> None:
        self._state = state
        self._holders = holders
        self._lock = threading.Lock()

    @property
    def dialect(self) -> Dialect:
        """What is particular to its SQL."""
        return self._state.dialect

    def rows(self, sql: str, params: Sequence[SQLValue] = ()) -> list[Row]:
        """Return all rows."""
        return self._state.rows(sql, params)

    def row(self, sql: str, params: Sequence[SQLValue] = ()) -> Row | None:
        """Return the first row, or None."""
        return self._state.row(sql, params)

    def value(self, sql: str, params: Sequence[SQLValue] = ()) -> SQLValue:
        """Return the first column of the first row, or None."""
        return self._state.value(sql, params)

    def close(self) -> None:
        """Let go of it for one change."""
        with self._lock:
            self._holders -= 1
            is_last = self._holders == 0
        if is_last:
            self._state.close()


class States:
    """What is held for changes that will be told. Put down by writers, taken by whoever reads the log.

    `wants_state` says whether the hub wants to judge changes in a collection by the state before them.
    """

    def __init__(self, wants_state: Callable[[Collection], bool]) -> None:
        self._wants_state = wants_state
        self._own: dict[int, SharedState] = {}
        self._last: Snapshot | None = None

    def put(self, changes: Iterable[Logged]) -> list[int]:
        """Hold the states before changes of this process until the log tells them; return the numbers of these."""
        held = [each for each in changes if isinstance(each, Change) and each.before is not None]
        counts: dict[int, int] = {}
        for change in held:
            counts[id(change.before)] = counts.get(id(change.before), 0) + 1
        shared = {id(each.before): SharedState(each.before, counts[id(each.before)]) for each in held if each.before}
        numbers = {each.position.number: shared[id(each.before)] for each in held if each.position is not None}
        self._own |= numbers
        return list(numbers)

    def forget(self, numbers: Iterable[int]) -> None:
        """Let go of what was put down for changes that will not be told."""
        for number in tuple(numbers):
            own = self._own.pop(number, None)
            if own is not None:
                own.close()

    def forget_until(self, number: int) -> None:
        """Let go of what was put down for changes up to a number."""
        self.forget([each for each in tuple(self._own) if each <= number])

    def given_to(self, changes: Iterable[Logged], *, is_first: bool = True) -> list[Logged]:
        """Return changes with the states before them; the last one read is for those that come `is_first` behind it.

        It goes to one list of changes only, and whoever gets that closes it.
        """
        last = self._last if is_first else None
        if last is None and not self._own:
            return list(changes)
        return [self._with_state(change, last) for change in changes]

    def _with_state(self, change: Logged, last: Snapshot | None) -> Logged:
        if not isinstance(change, Change) or change.action == "create":
            return change
        own = self._own.pop(change.position.number, None) if change.position is not None else None
        if own is not None:
            return replace(change, before=own)
        if last is not None and self._wants_state(change.record.collection):
            self._last = None
            return replace(change, before=last)
        return change

    def keep(self, state: Snapshot) -> None:
        """Keep a state for what others delete next, in place of an older one, which would keep SQLite's log from
        being emptied.
        """
        self.drop()
        self._last = state

    def drop(self) -> None:
        """Let go of the last state."""
        last, self._last = self._last, None
        if last is not None:
            last.close()
