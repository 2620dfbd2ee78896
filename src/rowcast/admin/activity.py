"""The log of requests: one row of `_logs` in auxiliary.db for each answered request.

`add` only queues, so a request pays for an append and never for the state of the
disk; a task writes what piled up, in one transaction in a thread, every few seconds
or as soon as there are many. Few become rows at once, many wait in `activity_backlog`
to be sorted in. What can't be written (another process holds the database, the disk
is full) stays queued and is tried again. Queue and tables are bounded: the oldest
entries go first, those that were never written are counted.
Copies core/base.go, initLogger.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque

from rowcast.admin.activity_backlog import INSERT, Backlog
from rowcast.admin.activity_rows import Entry, rows_of
from rowcast.config import SettingsRef
from rowcast.schema import dates
from rowcast.storage import Storage, StorageError, Transaction

logger = logging.getLogger("rowcast.activity")

MAX_ROWS = 500_000
"""How many rows are kept unless the process is told otherwise."""

_BATCH = 2_048
_FEW = 64
"""Fewer entries than these at a time, and the server is not busy."""

_SOON_DONE = 20_000
"""So many entries are sorted in while a stop waits for it: some tenths of a second."""

_MAX_QUEUE = 20_000
_PERIOD_S = 3.0
_TRIM_PERIOD_S = 3600.0
_DAY_S = 86_400


class ActivityLog:
    """Queues entries on the event loop and writes them in a thread.

    `max_rows` bounds the table, give or take a tenth; `dropped` counts what was never written.
    """

    def __init__(self, auxiliary: Storage, settings: SettingsRef, *, max_rows: int = MAX_ROWS) -> None:
        self._auxiliary = auxiliary
        self._backlog = Backlog(auxiliary)
        self._settings = settings
        self._max_rows = max_rows
        self._queue: deque[Entry] = deque(maxlen=_MAX_QUEUE)
        self._wake = asyncio.Event()
        self._turn = threading.Lock()
        self._trimmed_at = float("-inf")
        self._since_trim = 0
        self._is_failing = self._is_stuck = False
        # An earlier process may have left something.
        self._is_behind = True
        self.dropped = 0

    @property
    def queued(self) -> int:
        """How many entries wait to be written."""
        return len(self._queue)

    @property
    def is_on(self) -> bool:
        """Whether requests are logged at all."""
        return self._settings.current.logs.max_days > 0

    def add(self, entry: Entry) -> None:
        """Queue an entry. Called on the event loop, for requests that `is_on` asks for."""
        logs = self._settings.current.logs
        if entry.level < logs.min_level:
            return
        if not logs.log_ip:
            entry.user_ip = entry.remote_ip = None
        if not logs.log_auth_id:
            entry.auth_id = None
        if len(self._queue) == _MAX_QUEUE:
            self.dropped += 1
        self._queue.append(entry)
        if len(self._queue) >= _BATCH and not self._is_failing:
            self._wake.set()

    async def run(self) -> None:
        """Write what piles up until cancelled; `close` writes the rest."""
        while True:
            try:
                async with asyncio.timeout(_PERIOD_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if self._queue or self._is_behind or self._is_trim_due():
                await asyncio.to_thread(self.flush)

    def close(self) -> None:
        """Write what is left, when no more requests come; what can't be written is lost and told."""
        self.flush()
        if left := len(self._queue):
            self.dropped += left
            self._queue.clear()
            logger.error("%d entries of the request log could not be written before the end", left)
            return
        self.settle(most=_SOON_DONE)

    def settle(self, most: int | None = None) -> None:
        """Make rows of all that is written but not sorted in yet, for who wants to read the log. Raises nothing.

        Does nothing where more than `most` entries wait.
        """
        try:
            self._backlog.settle(most)
        except StorageError as error:
            logger.warning("the request log can't be sorted in: %s", error)

    def flush(self) -> None:
        """Write the queue, and from time to time drop what is too old or too much. Raises nothing."""
        with self._turn:
            # Those that come meanwhile are for the next one.
            count = len(self._queue)
            for _ in range(-(-count // _BATCH)):
                if not self._write([self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]):
                    return
            if self._is_behind and count < _FEW:
                self._catch_up()
            if self._is_trim_due():
                self._drop_old()

    def _catch_up(self) -> None:
        try:
            with self._auxiliary.write() as transaction:
                self._is_behind = not self._backlog.settle_some(transaction)
        except StorageError as error:
            # It is tried again soon, also where nobody can mend the disk for hours.
            if not self._is_stuck:
                logger.warning("the request log can't be sorted in: %s", error)
            self._is_stuck = True
        else:
            self._is_stuck = False

    def _write(self, entries: list[Entry]) -> bool:
        """Write some entries in one transaction; put them back and return False where that fails."""
        if not self.is_on:
            return True
        try:
            with self._auxiliary.write() as transaction:
                if len(entries) < _FEW and not self._is_behind:
                    transaction.run_many(INSERT, rows_of(entries))
                else:
                    self._is_behind = True
                    self._backlog.append(transaction, entries)
        except StorageError as error:
            self._put_back(entries)
            if not self._is_failing:
                logger.warning("the request log can't be written, so it waits in memory: %s", error)
            self._is_failing = True
            return False
        self._since_trim += len(entries)
        if self._is_failing:
            logger.warning("the request log is written again; %d entries are lost", self.dropped)
        self._is_failing = False
        return True

    def _put_back(self, entries: list[Entry]) -> None:
        """Queue entries anew before those that have come meanwhile, as far as there is room for them."""
        room = max(0, _MAX_QUEUE - len(self._queue))
        self.dropped += max(0, len(entries) - room)
        self._queue.extendleft(reversed(entries[len(entries) - min(room, len(entries)) :]))

    def trim(self) -> None:
        """Drop what the settings in force and the bound would not keep. Raises nothing."""
        # They speak of each entry, also of those in sheaves.
        self.settle()
        self._drop_old()

    def _drop_old(self) -> None:
        try:
            with self._auxiliary.write() as transaction:
                self._trim(transaction)
        except StorageError as error:
            logger.warning("the request log can't be trimmed: %s", error)

    def _trim(self, transaction: Transaction) -> None:
        self._trimmed_at, self._since_trim = time.monotonic(), 0
        logs = self._settings.current.logs
        # A number of days may be any; before 1970 there were no logs.
        oldest = dates.from_unix(max(0.0, time.time() - logs.max_days * _DAY_S))
        transaction.run("DELETE FROM _logs WHERE created <= ? OR level < ?", (oldest, logs.min_level))
        waiting = self._backlog.trim(transaction, oldest=oldest, most=self._max_rows)
        # Rows get ascending numbers, so this reads what it deletes and no more.
        transaction.run(
            "DELETE FROM _logs WHERE _rowid_ <= (SELECT max(_rowid_) FROM _logs) - CAST(? AS bigint)",
            (max(0, self._max_rows - waiting),),
        )

    def _is_trim_due(self) -> bool:
        return time.monotonic() - self._trimmed_at > _TRIM_PERIOD_S or self._since_trim > self._max_rows // 10
