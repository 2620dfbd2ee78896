"""Commits whose answer was lost: whether they happened, asked of the database when it is back.

What follows a commit or a rollback waits until then, in a thread: a file must not be removed while
a record may name it. What counts is whether the log of changes has the transaction; its own number
only tells whether it is still under way, since one that a crash has undone may be given again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from rowcast.schema.record import Position
from rowcast.sql import SQLValue
from rowcast.storage import CHANGES_TABLE, StorageError, UnavailableError
from rowcast.storage.postgres_readers import Read, Sessions

_log = logging.getLogger("rowcast.storage")

_AGAIN_S = 0.5

_STATUS = "SELECT pg_xact_status(CAST(CAST(? AS text) AS xid8))"
_LOGGED = f"SELECT count(*) FROM {CHANGES_TABLE} WHERE number = ? AND tag = ?"

Settle = Callable[[bool], None]
"""Called with whether the transaction was committed."""


class Doubts:
    """The transactions of one database of which nobody knows yet. Safe to use from several threads."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._waiting: dict[Position, tuple[SQLValue, Settle]] = {}
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, number: SQLValue, position: Position, settle: Settle) -> None:
        """Ask for a transaction, by its number and the position of its first change, until the answer is known."""
        with self._lock:
            self._waiting[position] = number, settle
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rowcast-doubts", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Ask no more. What is left over of those that are still unknown stays."""
        self._is_closed.set()
        thread = self._thread
        if thread is not None:
            thread.join()
        if self._waiting:
            _log.warning("the outcome of %d writes is not known; files of theirs may be left", len(self._waiting))

    def _run(self) -> None:
        while not self._is_closed.wait(_AGAIN_S):
            for position, (number, settle) in tuple(self._waiting.items()):
                try:
                    is_committed = self._look(number, position)
                except UnavailableError:
                    break
                except StorageError as error:
                    _log.warning("the outcome of a write can't be found: %s", error)
                    break
                if is_committed is not None:
                    settle(is_committed)
                    with self._lock:
                        del self._waiting[position]
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return

    def _look(self, number: SQLValue, position: Position) -> bool | None:
        """Return whether a transaction was committed, None where it is under way."""
        if self._is_under_way(number):
            return None
        with Read(self._sessions) as reader:
            return bool(reader.value(_LOGGED, [position.number, position.tag]))

    def _is_under_way(self, number: SQLValue) -> bool:
        with Read(self._sessions) as reader:
            try:
                return reader.value(_STATUS, [number]) == "in progress"
            except UnavailableError:
                raise
            except StorageError:
                # "transaction ID is in the future": a crash has undone it so well that its number is free again.
                return False
