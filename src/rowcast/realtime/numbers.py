"""Numbers in the log of changes: how a transaction gets them, and up to which one all are decided.

Every change has a number, and a reader that has told one must never meet a lower one
later. What that takes depends on the engine.

SQLite has one writer at a time: the number behind the last row is right, numbers have no
holes, and what a reader sees is decided.

PostgreSQL has many: a transaction takes its numbers from a sequence as the last thing before its
commit, so that of two that touch one row the later has the higher number; but one with a lower number
may commit after one with a higher. So a reader goes only as far as all numbers are decided.
Whoever takes numbers first takes a shared advisory lock, until the end of the transaction. A look reads
the last number and then who holds that lock: once none of those holds it any more, all numbers up to
there are decided, committed or never used. Transactions of other applications do not matter for it. A crash of
the server takes numbers back that nobody has committed, so what was seen before it is forgotten.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Protocol

from rowcast.schema.record import Position
from rowcast.sql import SQLValue
from rowcast.storage import CHANGES_TABLE, Storage, StorageError, Transaction
from rowcast.storage.postgres_sources import NUMBERS, PENDING_LOCK

_SEQUENCE = NUMBERS
_TRIM_LOCK = 7_240_033

_LIFE = "CAST((SELECT extract(epoch FROM stats_reset) FROM pg_stat_bgwriter) AS text)"
"""What a crash changes, and everybody may read: statistics do not outlive it."""

_LOOK = f"""
    WITH seen AS MATERIALIZED (SELECT last_value AS number FROM {{schema}}.{_SEQUENCE})
    SELECT number, {_LIFE}, (
        SELECT string_agg(virtualtransaction, ' ') FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = {PENDING_LOCK} AND objsubid = 1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND number IS NOT NULL
    ) FROM seen"""
"""The last number, then who holds the lock: the inner query needs the number, so it runs behind it. In no
transaction, since whoever is not found has committed, and must be seen by what is read next."""

_MOST_LOOKS = 64

_SETTLE_S = 60.0
_AGAIN_S = 0.005


class Numbers(Protocol):
    """What differs between engines."""

    is_dense: bool
    """Whether there are no holes, so that what comes right behind is known without reading."""

    is_waiting: bool
    """Whether some numbers were not decided when they were looked at."""

    seen: int
    """The last number that was taken when they were looked at; 0 where whatever a look finds is decided."""

    def create(self, tx: Transaction, end: Position, /) -> int:
        """Make what is needed besides the table; return the number of the first row, which marks the start."""
        ...

    def take(self, tx: Transaction, count: int, last: int, /) -> list[int]:
        """Return numbers for a transaction that is about to commit; `last` is that of the last known row."""
        ...

    def decided(self, storage: Storage, /) -> int | None:
        """Return the number up to which all are decided; None where all that a later reader sees are."""
        ...

    def settled(self, storage: Storage, /) -> int:
        """Wait until the numbers that are taken now are decided; return the last of them."""
        ...

    def may_trim(self, tx: Transaction, /) -> bool:
        """Whether a transaction may drop old rows: of several that are due at once, one does."""
        ...


class OneWriter:
    """Numbers where one transaction writes at a time (SQLite)."""

    is_dense = True
    is_waiting = False
    seen = 0

    def create(self, _: Transaction, end: Position) -> int:
        """Return the number of the last change so far."""
        return end.number

    def take(self, _: Transaction, count: int, last: int) -> list[int]:
        """Return the numbers behind the last row."""
        return list(range(last + 1, last + count + 1))

    def decided(self, _: Storage) -> None:
        """Return None: whatever is committed is decided."""

    def settled(self, storage: Storage) -> int:
        """Return the number of the last row."""
        with storage.read() as reader:
            return int(reader.value(f"SELECT max(number) FROM {CHANGES_TABLE}") or 0)

    def may_trim(self, _: Transaction) -> bool:
        """Return True: nobody else writes."""
        return True


class ManyWriters:
    """Numbers where transactions commit side by side (PostgreSQL)."""

    is_dense = False
    lock = PENDING_LOCK
    """The number of the advisory lock of those that have numbers and have not committed."""

    def __init__(self) -> None:
        self._looks: deque[tuple[int, set[str]]] = deque(maxlen=_MOST_LOOKS)
        self._decided = 0
        self._life: SQLValue = None
        self.seen = 0
        self.is_waiting = False

    def create(self, tx: Transaction, _: Position) -> int:
        """Make the sequence."""
        tx.run(f"CREATE SEQUENCE IF NOT EXISTS {_SEQUENCE}")
        return self._next(tx, 1)[0]

    def take(self, tx: Transaction, count: int, _: int) -> list[int]:
        """Take numbers from the sequence, behind the lock that says so."""
        return self._next(tx, count, f"pg_advisory_xact_lock_shared({self.lock})")

    def _next(self, tx: Transaction, count: int, first: str = "1") -> list[int]:
        # No row comes out, and so no number is taken, before what comes first has been done.
        rows = tx.rows(
            f"WITH first AS MATERIALIZED (SELECT {first})"
            f" SELECT nextval('{_SEQUENCE}') FROM first, generate_series(1, ?)",
            [count],
        )
        return sorted(int(number or 0) for (number,) in rows)

    def decided(self, storage: Storage) -> int:
        """Look again; return how far all numbers are decided."""
        # Who takes a number between the two is among the holders or above it.
        last, life, holding = storage.glance(_LOOK) or (0, None, None)
        holders = set(str(holding or "").split())
        self.seen = last = int(last or 0)
        if life != self._life:
            # What was seen of the life before means nothing: the same numbers may be under way again.
            self._life, self._decided = life, 0
            self._looks.clear()
        self._looks.append((last, holders))
        while self._looks and not self._looks[0][1] & holders:
            self._decided = max(self._decided, self._looks.popleft()[0])
        if not holders:
            self._looks.clear()
            self._decided = max(self._decided, last)
        self.is_waiting = bool(self._looks)
        return self._decided

    def settled(self, storage: Storage) -> int:
        """Look until what is under way now has ended. Raises StorageError where that takes too long."""
        until = time.monotonic() + _SETTLE_S
        while not self.decided(storage) and self.is_waiting:
            if time.monotonic() > until:
                raise StorageError("a transaction that changed records has been open for too long")
            time.sleep(_AGAIN_S)
        return self._decided

    def may_trim(self, tx: Transaction) -> bool:
        """Whether no other transaction is at it."""
        return bool(tx.value(f"SELECT pg_try_advisory_xact_lock({_TRIM_LOCK})"))


def numbers_of(storage: Storage) -> Numbers:
    """Return how changes are numbered in a storage."""
    return OneWriter() if storage.dialect.name == "sqlite" else ManyWriters()
