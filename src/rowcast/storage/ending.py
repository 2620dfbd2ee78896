"""What follows the end of a write transaction, the same for every driver.

A commit runs the calls that were asked for, then hands the changes on; a rollback, or
that of a savepoint, forgets what was asked for since and runs what was asked for that case. None of
it can change the outcome any more, so a call that fails is logged. Knows no SQL.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, TypeVar

from rowcast.schema.record import Change, Logged
from rowcast.sql import Snapshot
from rowcast.storage import StorageError

logger = logging.getLogger("rowcast.storage")

Publish = Callable[[list[Logged]], None]

T = TypeVar("T")
E = TypeVar("E", bound="Ending")


class Ending:
    """The part of a transaction that looks after its end. A driver's own class has the slots and fills them."""

    __slots__ = ()

    changes: list[Logged]
    _on_commit: list[Callable[[], None]]
    _on_rollback: list[Callable[[], None]]
    is_one: bool
    """Whether no `write` inside of it is undone alone."""
    has_failed: bool
    """Whether one of these has failed, so that the whole must not commit."""

    def check(self) -> None:
        """Raise StorageError where a part has failed, whoever has hushed that up: it was not undone."""
        if self.has_failed:
            raise StorageError("a part of the transaction has failed")

    def on_commit(self, call: Callable[[], None]) -> None:
        """Have `call` run after the commit, before the changes are published."""
        self._on_commit.append(call)

    def on_rollback(self, call: Callable[[], None]) -> None:
        """Have `call` run if the transaction, or the savepoint around, does not commit; last asked, first run."""
        self._on_rollback.append(call)

    def marks(self) -> tuple[int, int, int]:
        """Return how much was asked for so far, for `undo`."""
        return len(self.changes), len(self._on_commit), len(self._on_rollback)

    def undo(self, marks: tuple[int, int, int]) -> None:
        """Forget what was asked for since `marks`, and run what was asked for that case."""
        changes, on_commit, on_rollback = marks
        calls = self._on_rollback[on_rollback:]
        del self.changes[changes:], self._on_commit[on_commit:], self._on_rollback[on_rollback:]
        for call in reversed(calls):
            run_hook(call)

    def committed(self, publish: Publish | None, snapshot: Snapshot | None) -> None:
        """Run what follows a commit; `snapshot` outlives it where a change that is published holds it."""
        for call in self._on_commit:
            run_hook(call)
        changes = self.changes
        if publish is not None and changes:
            run_hook(lambda: publish(changes))
        if snapshot is not None and (publish is None or not any(_holds(change, snapshot) for change in changes)):
            snapshot.close()

    def rolled_back(self, snapshot: Snapshot | None) -> None:
        """Run what follows a rollback of the whole."""
        if snapshot is not None:
            snapshot.close()
        self.undo((0, 0, 0))


class Joined(Generic[E]):
    """A `write` inside of a transaction that holds together: that transaction, which fails if the block raises."""

    __slots__ = ("_transaction",)

    def __init__(self, transaction: E) -> None:
        self._transaction = transaction

    def __enter__(self) -> E:
        return self._transaction

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transaction.has_failed |= kind is not None


class Nested(Generic[T]):
    """A `write` inside of a `write`: a savepoint that hands out the transaction around it."""

    __slots__ = ("_savepoint", "_transaction")

    def __init__(self, transaction: T, savepoint: AbstractContextManager[None]) -> None:
        self._transaction, self._savepoint = transaction, savepoint

    def __enter__(self) -> T:
        self._savepoint.__enter__()
        return self._transaction

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._savepoint.__exit__(kind, raised, trace)


def run_hook(call: Callable[[], object]) -> None:
    """Run what follows a commit or rollback; its failure can't change the outcome any more."""
    try:
        call()
    except Exception:
        logger.exception("a call after the end of a transaction failed")


def _holds(change: Logged, snapshot: Snapshot) -> bool:
    return isinstance(change, Change) and change.before is snapshot
