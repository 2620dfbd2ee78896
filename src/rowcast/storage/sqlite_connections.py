"""Connections to one SQLite file: how they are opened, metered and checkpointed.

Owns the pragmas (those of the reference, core/db_connect.go), the meter behind
`Storage.budget`, and the thread that moves the write-ahead log into the database
file. Knows nothing of transactions. The file must never be opened a second time
by another SQLite library in this process: closing that one would drop our locks.
"""

from __future__ import annotations

import logging
import threading
from time import perf_counter, thread_time

import apsw

logger = logging.getLogger("rowcast.storage")

BUSY_TIMEOUT_MS = 10_000
METER_STEPS = 500
"""SQLite asks the meter after this many VM steps (some 10 us)."""

CHECKPOINT_PAGES = 1_000
FORCED_CHECKPOINT_PAGES = 16_000
"""The log's size (64 MB) from which writers wait for the checkpoint, so that it stays bounded."""

_CHECKPOINT_LOCK_S = 30.0
_ROUNDS = 4
_SMALL_REST = 200
"""The pages that may be left to copy while the writers wait."""

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


class Checkpointer:
    """Moves the write-ahead log into the database file, in a thread of its own.

    Woken by the writer's WAL hook. A passive checkpoint makes nobody wait. Where
    readers that stay open let the log grow past `FORCED_CHECKPOINT_PAGES`, the
    writers wait once while it is emptied. `_due_pages` is written by the thread only,
    `_log_pages` by whoever holds the writer lock.
    """

    def __init__(self, path: str, writer_lock: Turns) -> None:
        self._path = path
        self._writer_lock = writer_lock
        self._wake = threading.Event()
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._due_pages = CHECKPOINT_PAGES
        self._log_pages = 0

    def watch(self, writer: apsw.Connection) -> None:
        """Follow the commits of `writer`."""
        writer.set_wal_hook(self._committed)

    def _committed(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._log_pages = pages
        if pages >= self._due_pages and not self._wake.is_set():
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rowcast-checkpoint", daemon=True)
                self._thread.start()
        return apsw.SQLITE_OK

    def _run(self) -> None:
        try:
            connection = connect(self._path, writable=True)
        except apsw.Error as error:
            logger.warning("checkpoint failed: %s", error)
            self._thread = None  # The next commit tries again.
            self._wake.clear()
            return
        connection.set_wal_hook(self._restarted)
        try:
            while not self._is_closed:
                self._wake.wait()
                try:
                    if not self._is_closed:
                        self._due_pages = CHECKPOINT_PAGES + self._checkpoint(connection)
                except apsw.Error as error:
                    logger.warning("checkpoint failed: %s", error)
                self._wake.clear()
        finally:
            connection.close()

    def _checkpoint(self, connection: apsw.Connection) -> int:
        """Copy what can be copied and start the log anew; return the pages that stay in it."""
        for _ in range(_ROUNDS):
            _, copied = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if self._log_pages - copied < _SMALL_REST:
                break
        if not self._writer_lock.acquire(_CHECKPOINT_LOCK_S):
            return self._log_pages
        try:
            pages, copied = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if pages == copied:
                return self._restart_log(connection)
            if pages >= FORCED_CHECKPOINT_PAGES:
                connection.set_busy_timeout(1_000)
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                return 0
            return pages
        finally:
            self._writer_lock.release()

    def _restart_log(self, connection: apsw.Connection) -> int:
        """Write one page, so that it is not a commit on the event loop that starts the new log.

        The first commit of a log waits for the disk (SQLite syncs the log's header).
        """
        try:
            connection.set_busy_timeout(0)
            connection.execute("BEGIN IMMEDIATE")
            connection.pragma("user_version", connection.pragma("user_version"))
            connection.execute("COMMIT")
        except apsw.BusyError:
            pass  # Another process writes: its commit starts the log.
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return self._log_pages if self._log_pages > _SMALL_REST else 0

    def _restarted(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def close(self) -> None:
        """End the thread, waiting for a checkpoint under way."""
        self._is_closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
