"""What a busy server has logged of its requests, before it is sorted into `_logs`.

A row of `_logs` changes four indexes, which costs more than many a request that it
is about. So a busy process only appends sheaves, each the entries of some moments
in one row of `_rowcast_logs`, and they become rows of `_logs` when somebody reads
the log or when there is less to do. Owns that table. Each entry is in one of the
two tables at any time; the order is that of the requests.
"""

from __future__ import annotations

import logging

import msgspec

from rowcast.admin.activity_rows import Entry, new_sheaf_id, rows_of
from rowcast.schema import dates
from rowcast.sql import Reader
from rowcast.storage import Storage, Transaction
from rowcast.storage.ddl import has_table

logger = logging.getLogger("rowcast.activity")

BACKLOG_TABLE = "_rowcast_logs"

_CREATE = f"""CREATE TABLE IF NOT EXISTS {BACKLOG_TABLE} (
    id TEXT PRIMARY KEY NOT NULL, latest TEXT NOT NULL, count {{number}} NOT NULL, entries TEXT NOT NULL)"""
_APPEND = f"INSERT INTO {BACKLOG_TABLE} (id, latest, count, entries) VALUES (?, ?, ?, ?)"
_TAKE = (
    f"DELETE FROM {BACKLOG_TABLE} WHERE id IN (SELECT id FROM {BACKLOG_TABLE} ORDER BY id LIMIT ?)"
    " RETURNING id, count, entries"
)
INSERT = "INSERT INTO _logs (id, level, message, data, created) VALUES (?, ?, ?, ?, ?)"
_BEYOND = (
    f"DELETE FROM {BACKLOG_TABLE} WHERE id IN (SELECT id FROM"
    f" (SELECT id, sum(count) OVER (ORDER BY id DESC) AS total FROM {BACKLOG_TABLE}) AS sums WHERE total > ?)"
)

_SHEAVES_AT_ONCE = 4

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Entry])


class Backlog:
    """The sheaves of one database. Synchronous; safe to use from several threads and processes."""

    def __init__(self, auxiliary: Storage) -> None:
        self._auxiliary = auxiliary
        self._is_made = False

    def append(self, tx: Transaction, entries: list[Entry]) -> None:
        """Add a sheaf. Raises StorageError."""
        if not self._exists(tx):
            # Several nodes may be at it.
            tx.serialize()
            tx.run(_CREATE.format(number=tx.dialect.whole_number))
            tx.on_commit(self._made)
        latest = dates.from_unix(max(entry.at for entry in entries))
        tx.run(_APPEND, (new_sheaf_id(), latest, len(entries), _encoder.encode(entries).decode()))

    def count(self, reader: Reader) -> int:
        """Return how many entries wait."""
        if not self._exists(reader):
            return 0
        found = reader.value(f"SELECT coalesce(sum(count), 0) FROM {BACKLOG_TABLE}")
        return int(found) if isinstance(found, int | float) else 0

    def settle(self, most: int | None = None) -> None:
        """Make rows of `_logs` of all that waits, in transactions of some thousands. Raises StorageError.

        Does nothing where more than `most` wait.
        """
        while True:
            # Mostly there is nothing, and then no writer is waited for.
            with self._auxiliary.read() as reader:
                count = self.count(reader)
            if not count or (most is not None and count > most):
                return
            with self._auxiliary.write() as tx:
                self.settle_some(tx)

    def settle_some(self, tx: Transaction) -> bool:
        """Make rows of the oldest sheaves; return whether none is left. Raises StorageError."""
        if not self._exists(tx):
            return True
        taken = sorted(tx.rows(_TAKE, (_SHEAVES_AT_ONCE,)))
        for _, count, text in taken:
            try:
                tx.run_many(INSERT, rows_of(_decoder.decode(str(text))))
            except msgspec.DecodeError:
                logger.warning("%s entries of the request log can't be read and are dropped", count)
        return len(taken) < _SHEAVES_AT_ONCE

    def trim(self, tx: Transaction, *, oldest: str, most: int) -> int:
        """Drop the sheaves before a time and those beyond `most` entries; return how many entries are left."""
        if not self._exists(tx):
            return 0
        tx.run(f"DELETE FROM {BACKLOG_TABLE} WHERE latest <= ?", (oldest,))
        tx.run(_BEYOND, (most,))
        return self.count(tx)

    def _exists(self, reader: Reader) -> bool:
        if not self._is_made:
            self._is_made = has_table(reader, BACKLOG_TABLE)
        return self._is_made

    def _made(self) -> None:
        self._is_made = True
