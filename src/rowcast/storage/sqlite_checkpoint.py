"""Moving the write-ahead log into the database file, away from the commits.

Owns the thread that does it, and how big the log may grow. A commit never waits for
the disk because of it. Knows nothing of transactions but the writer's lock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from rowcast.storage.sqlite_connections import Turns, connect

logger = logging.getLogger("rowcast.storage")

CHECKPOINT_PAGES = 1_000
FORCED_CHECKPOINT_PAGES = 16_000
"""The log's size (64 MB) from which writers wait for the checkpoint, so that it stays bounded."""

_CHECKPOINT_LOCK_S = 30.0
_ROUNDS = 4
_SMALL_REST = 200
"""The pages that may be left to copy while the writers wait."""


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
        self._is_patient = False

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Let the log grow in this block, whose reader stays open for long: writers would wait for it in vain."""
        self._is_patient = True
        try:
            yield
        finally:
            self._is_patient = False

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
                except apsw.BusyError:
                    # Another process is at it; the commits to come ask again.
                    self._due_pages = self._log_pages + CHECKPOINT_PAGES
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
            if pages >= FORCED_CHECKPOINT_PAGES and not self._is_patient:
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
