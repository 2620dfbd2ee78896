"""Connections to one SQLite file: how they are opened, metered and taken in turns.

Owns the pragmas (those of the reference, core/db_connect.go), the meter behind
`Storage.budget` and the lock of the writer. Knows nothing of transactions. The
file must never be opened a second time by another SQLite library in this process:
closing that one would drop our locks.
"""

from __future__ import annotations

import threading
from time import perf_counter, thread_time

import apsw

BUSY_TIMEOUT_MS = 10_000
DEADLINE_STEPS = 100_000
METER_STEPS = 500
"""SQLite asks the meter after this many VM steps (some 10 us)."""

_STATEMENTS = 400


def connect(path: str, *, create: bool = False, writable: bool = False) -> apsw.Connection:
    """Open `path` with the pragmas of the reference (core/db_connect.go, DefaultDBConnect).

    A connection that is not `writable` refuses to change anything. Raises apsw errors.
    """
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = apsw.Connection(path, flags, statementcachesize=_STATEMENTS)
    try:
        # First the timeout: switching a new file to WAL needs a lock.
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        for pragma in (
            "journal_mode=WAL",
            "journal_size_limit=200000000",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-32000",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        if not writable:
            connection.execute("PRAGMA query_only=ON").fetchall()
        # Never a checkpoint inside a commit: it would stall the event loop.
        connection.wal_autocheckpoint(0)
    except BaseException:
        connection.close()
        raise
    return connection


class Meter:
    """Counts the time of one budget; SQLite asks it while a statement runs.

    CPU time of the thread decides, so that a busy machine does not make short
    statements look long; eight times as much wall time bounds waiting for the disk.
    The clock starts when SQLite asks first: what is short never reads it.
    """

    __slots__ = ("_cpu_end", "_seconds", "_wall_end")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._cpu_end = self._wall_end = 0.0

    def is_spent(self) -> bool:
        """Whether the budget is used up (True stops the statement)."""
        if not self._cpu_end:
            self._cpu_end = thread_time() + self._seconds
            self._wall_end = perf_counter() + 8 * self._seconds
        return thread_time() > self._cpu_end or perf_counter() > self._wall_end


class Deadline:
    """Bounds the wall time of the reads of one block in a thread, where no budget does."""

    __slots__ = ("_end",)

    def __init__(self, seconds: float) -> None:
        self._end = perf_counter() + seconds

    def is_over(self) -> bool:
        """Whether the time is up (True stops the statement)."""
        return perf_counter() > self._end


class Turns:
    """A lock that is given in turns: who waits comes before who asks again.

    Without that a busy event loop could keep the threads, and the checkpoint, waiting forever.
    """

    __slots__ = ("_lock", "_next")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = threading.Lock()

    def acquire(self, timeout_s: float) -> bool:
        """Take the lock; False where it is not to be had in time (which may double)."""
        if not self._next.acquire(blocking=False) and not self._next.acquire(timeout=timeout_s):
            return False
        try:
            return self._lock.acquire(blocking=False) or self._lock.acquire(timeout=timeout_s)
        finally:
            self._next.release()

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()
