"""The log of requests: one row of `_logs` in auxiliary.db for each answered request.

`add` only queues, so a request pays for an append; a task writes what piled up, in
one transaction in a thread, every few seconds or as soon as there are many.
The queue is bounded: when the disk can't follow, the oldest entries are dropped and counted.
Copies apis/middlewares.go, logRequest, and core/base.go, initLogger.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from urllib.parse import unquote

from rowcast import encoding
from rowcast.config import SettingsRef
from rowcast.errors import ErrorData
from rowcast.schema import dates
from rowcast.schema.generate import random_id
from rowcast.storage import Storage, StorageError, Transaction

_log = logging.getLogger(__name__)

LEVEL_INFO = 0
LEVEL_ERROR = 8

_BATCH = 200
_MAX_QUEUE = 20_000
_PERIOD_S = 3.0
_TRIM_PERIOD_S = 3600.0
_DAY_S = 86_400
_INSERT = "INSERT INTO _logs (id, level, message, data, created) VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Entry:
    """One answered request. `at` is a Unix time in seconds, `took_s` in seconds; `error` is "" for success."""

    at: float
    took_s: float
    method: str
    url: str
    status: int
    auth_collection: str
    auth_id: str
    user_ip: str
    remote_ip: str
    referer: str
    user_agent: str
    error: str = ""
    details: ErrorData | None = None


class ActivityLog:
    """Queues entries on the event loop and writes them in a thread."""

    def __init__(self, auxiliary: Storage, settings: SettingsRef) -> None:
        self._auxiliary = auxiliary
        self._settings = settings
        self._queue: deque[Entry] = deque(maxlen=_MAX_QUEUE)
        self._wake = asyncio.Event()
        self._trimmed_at = float("-inf")
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
        if len(self._queue) == _MAX_QUEUE:
            self.dropped += 1
        self._queue.append(entry)
        if len(self._queue) >= _BATCH:
            self._wake.set()

    async def run(self) -> None:
        """Write what piles up until cancelled, then the rest."""
        try:
            while True:
                try:
                    async with asyncio.timeout(_PERIOD_S):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()
                if self._queue or time.monotonic() - self._trimmed_at > _TRIM_PERIOD_S:
                    await asyncio.to_thread(self.flush)
        finally:
            self.flush()

    def flush(self) -> None:
        """Write the queue in one transaction, and once an hour drop what is too old."""
        entries = [self._queue.popleft() for _ in range(len(self._queue))]
        logs = self._settings.current.logs
        rows = [self._row(entry) for entry in entries if _level(entry) >= logs.min_level and logs.max_days]
        try:
            with self._auxiliary.write() as transaction:
                if rows:
                    transaction.run_many(_INSERT, rows)
                if time.monotonic() - self._trimmed_at > _TRIM_PERIOD_S:
                    self._trim(transaction)
        except StorageError:
            self.dropped += len(rows)
            _log.exception("the request log can't be written")

    def trim(self) -> None:
        """Drop what the settings in force would not keep, as when they change (core/base.go, initLogger)."""
        try:
            with self._auxiliary.write() as transaction:
                self._trim(transaction)
        except StorageError:
            _log.exception("the request log can't be trimmed")

    def _trim(self, transaction: Transaction) -> None:
        logs = self._settings.current.logs
        oldest = dates.from_unix(time.time() - logs.max_days * _DAY_S)
        transaction.run("DELETE FROM _logs WHERE created <= ? OR level < ?", (oldest, logs.min_level))
        self._trimmed_at = time.monotonic()

    def _row(self, entry: Entry) -> tuple[str, int, str, str, str]:
        created = dates.from_unix(entry.at)
        message = f"{entry.method} {unquote(entry.url)}"
        return (random_id(), _level(entry), message, self._data(entry), created)

    def _data(self, entry: Entry) -> str:
        logs = self._settings.current.logs
        data: dict[str, object] = {
            "auth": entry.auth_collection,
            "execTime": round(entry.took_s * 1000, 6),
            "method": entry.method,
            "referer": entry.referer,
            "status": entry.status,
            "type": "request",
            "url": entry.url,
            "userAgent": entry.user_agent,
        }
        if entry.auth_collection and logs.log_auth_id:
            data["authId"] = entry.auth_id
        if logs.log_ip:
            data["remoteIP"], data["userIP"] = entry.remote_ip, entry.user_ip
        if entry.error:
            data["error"] = entry.error
            data["details"] = entry.details.to_json() if entry.details else {}
        return encoding.encode(data).decode()


def _level(entry: Entry) -> int:
    return LEVEL_ERROR if entry.error else LEVEL_INFO
