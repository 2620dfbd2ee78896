"""The log of changes: positions in commit order, and what came behind a position.

Every committed change gets a position. As long as nobody opened a stream with a
cursor the latest changes are only kept in memory; from then on each change is also
a row of `_rowcast_changes`, written in its own transaction, so that positions stay
valid over restarts. Nothing is added to a data directory that no cursor is used on.

Rule 1: `record` runs under the storage's write lock, which gives the order, also
between processes: in a stored log each change gets a number from `numbers`.
`publish` takes the changes over in that order, those of other processes too (see
`follower`). Rule 2: a position that can't be verified (too old, of another directory, of
a state that a backup replaced) has no changes behind it: `knows` says so before
anything is replayed. Passwords and token keys are never logged.
"""

from __future__ import annotations

import dataclasses
import re
import secrets
import string
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from rowcast.realtime.log_rows import COLUMNS, change_of, row_of
from rowcast.realtime.numbers import Numbers, OneWriter
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Logged, Message, Position
from rowcast.schema.rows import moved, new_record
from rowcast.sql import SQLValue, quote
from rowcast.storage import CHANGES_TABLE, Reader, Storage, Transaction
from rowcast.storage.ddl import has_table

_CREATE = """CREATE TABLE IF NOT EXISTS {table} (
    number {number} PRIMARY KEY, tag TEXT NOT NULL, at {number} NOT NULL, action TEXT NOT NULL,
    collection TEXT NOT NULL, record TEXT NOT NULL, row TEXT NOT NULL, previous TEXT NOT NULL)"""
_INSERT = f"INSERT INTO {CHANGES_TABLE} VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_START = "start"
"""The action of the row that marks where the log begins; it is no change."""

_DROPPED = "SELECT value FROM _params WHERE id = 'rowcast:changes'"
_NOTE_DROPPED = (
    "INSERT INTO _params (id, value, created, updated) VALUES ('rowcast:changes', ?, '', '')"
    " ON CONFLICT (id) DO UPDATE SET value = excluded.value"
)
"""Up to which number changes were dropped, where holes do not let it be seen."""

_TRIM_EVERY = 256
_TRIM_ROWS = 4 * _TRIM_EVERY
_IN_MEMORY = 1_000

_POSITION = re.compile(r"(?:[A-Za-z0-9]{40}_)?([0-9]{1,18})-([0-9a-z]{10})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of the log is kept: at most `max_changes`, none older than `max_age_s` seconds."""

    max_changes: int = 100_000
    max_age_s: float = 86_400.0


def parse_position(text: str) -> Position | None:
    """Read a position, or a client id that carries one; None for anything else."""
    found = _POSITION.fullmatch(text)
    return Position(int(found[1]), found[2]) if found else None


class ChangeLog:
    """The order of the changes of one database, and the latest of them."""

    def __init__(
        self, storage: Storage, catalog: CatalogRef, retention: Retention, numbers: Numbers | None = None
    ) -> None:
        self.numbers = numbers or OneWriter()
        self._storage = storage
        self._catalog = catalog
        self._retention = retention
        self._tag = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(10))
        self._recent: deque[Logged] = deque(maxlen=_IN_MEMORY)
        self._since_trim = self._since_tidy = 0
        self._schema: SQLValue = None
        # Tells the trace of the transaction that is about to commit, where there are traces.
        self.trace: Callable[[], str] | None = None
        # Called with the position that the numbers of this process begin anew behind, and whether all since is there.
        self.on_adopted: Callable[[Position, bool], None] = lambda _position, _is_whole: None
        with storage.read() as reader:
            self._is_stored = _is_there(reader)
            self._end = (_last(reader) if self._is_stored else None) or Position(0, self._tag)
        # What `_recent` starts behind: nothing older can be answered from memory.
        self._memory_start = self._end

    @property
    def tag(self) -> str:
        """What stands at the positions that this process gives."""
        return self._tag

    @property
    def end(self) -> Position:
        """The position of the last committed change."""
        return self._end

    @property
    def is_stored(self) -> bool:
        """Whether each change is also a row of the database."""
        return self._is_stored

    def record(self, tx: Transaction) -> None:
        """Give the changes of a transaction that is about to commit their positions, and log them in it."""
        changes = tx.changes
        numbers = self._numbers_for(tx, len(changes))
        for index, (change, number) in enumerate(zip(changes, numbers, strict=True)):
            changes[index] = replace(change, position=Position(number, self._tag))
        if self.trace is not None and isinstance(last := changes[-1], Change):
            changes[-1] = replace(last, trace=self.trace())
        if self._is_stored:
            at = int(time.time() * 1000)
            tx.run_many(_INSERT, [row_of(change, at) for change in changes])
            self._trim(tx, len(changes), numbers[-1], at)

    def _numbers_for(self, tx: Transaction, count: int) -> list[int]:
        if not self.numbers.is_dense:
            return self.numbers.take(tx, count, 0)
        self._look(tx)
        last = _last(tx) if self._is_stored else None
        return self.numbers.take(tx, count, max(self._end.number, last.number if last is not None else 0))

    def publish(self, changes: Sequence[Logged]) -> None:
        """Take over committed changes, in the order of their positions."""
        if len(self._recent) + len(changes) > _IN_MEMORY:
            gone = len(self._recent) + len(changes) - _IN_MEMORY
            dropped = [*self._recent, *changes][gone - 1]
            self._memory_start = dropped.position or self._memory_start
        self._recent.extend(map(_without_state, changes))
        self._end = changes[-1].position or self._end

    def skip_to(self, position: Position) -> None:
        """Go on behind a position, without what is before it."""
        self._recent.clear()
        self._end = self._memory_start = position

    def last(self, reader: Reader) -> Position:
        """Return the position of the last change that `reader` sees."""
        return (_last(reader) if self._is_stored else None) or self._end

    def is_lost(self, reader: Reader, number: int) -> bool:
        """Whether changes behind a number were dropped from a log whose numbers have holes."""
        return int(reader.value(_DROPPED) or 0) > number

    def behind(self, reader: Reader, number: int, end: int, limit: int) -> list[Logged]:
        """Return the first changes behind a number up to `end` as they are stored, whoever made them."""
        found = self._stored(reader, number, end, limit)
        self._since_tidy += len(found)
        return [_with_key(reader, change) if isinstance(change, Change) else change for change in found]

    @property
    def is_untidy(self) -> bool:
        """Whether much was read that perhaps nobody has tidied up."""
        return self._since_tidy >= _TRIM_ROWS

    def tidy(self) -> None:
        """Drop what is beyond the retention: where others write, no process does it with its own changes."""
        self._since_tidy = 0
        with self._storage.write() as tx:
            last = _last(tx)
            if last is not None:
                self._trim(tx, _TRIM_ROWS, last.number, int(time.time() * 1000))

    def _stored(self, reader: Reader, number: int, end: int, limit: int) -> list[Logged]:
        rows = reader.rows(
            f"SELECT {COLUMNS} FROM {CHANGES_TABLE} WHERE number > ? AND number <= ? ORDER BY number LIMIT ?",
            [number, end, limit],
        )
        return [change_of(self._catalog.current, row) for row in rows]

    def start(self, asked: Position | None) -> tuple[Position, bool]:
        """Return where a stream with a cursor starts: at the position it asks for, if all behind it is at hand.

        Else it starts now; the flag tells which.
        """
        self.store()
        if asked is not None:
            with self._storage.read() as reader:
                if self.knows(reader, asked):
                    return asked, True
        return self._end, False

    def store(self) -> None:
        """Keep the log in the database from now on. Called when the first stream asks for a cursor."""
        if self._is_stored:
            return
        with self._storage.write() as tx:
            if self._is_stored:
                return
            tx.serialize()
            if _is_there(tx):
                self._adopt(tx)
                return
            tx.run(_CREATE.format(table=CHANGES_TABLE, number=tx.dialect.whole_number))
            end = self._end
            number = self.numbers.create(tx, end)
            tx.run(_INSERT, [number, end.tag, int(time.time() * 1000), _START, "", "", "{}", "{}"])
            tx.on_commit(self._mark_stored)

    def settle(self) -> None:
        """Store the log, and end it where all numbers are decided; to be called before anything is told."""
        self.store()
        decided = self.numbers.settled(self._storage)
        with self._storage.read() as reader:
            self.skip_to(self.last_until(reader, decided))

    def last_until(self, reader: Reader, number: int) -> Position:
        """Return the position of the last change up to a number."""
        row = reader.row(
            f"SELECT number, tag FROM {CHANGES_TABLE} WHERE number <= ? ORDER BY number DESC LIMIT 1", [number]
        )
        return Position(int(row[0] or 0), str(row[1])) if row is not None else self._end

    def is_begun(self) -> bool:
        """Whether the log is in the database, whoever has begun it."""
        if self._is_stored:
            return True
        with self._storage.read() as reader:
            return _is_there(reader)

    def _mark_stored(self) -> None:
        self._is_stored = True

    def _look(self, tx: Transaction) -> None:
        """Notice that another process has begun to store the log."""
        if not self._is_stored:
            schema = tx.value(tx.dialect.schema_version.format(CHANGES_TABLE))
            if schema != self._schema:
                self._schema = schema
                if _is_there(tx):
                    self._adopt(tx)

    def _adopt(self, tx: Transaction) -> None:
        """Go on in the log that another process has begun.

        What this one has numbered by itself was committed before the log began, and is told; its
        numbers mean nothing there, and nobody has a cursor to them.
        """
        row = tx.row(f"SELECT number, tag, action FROM {CHANGES_TABLE} ORDER BY number LIMIT 1")
        number, tag, action = row or (self._end.number, self._end.tag, _START)
        is_whole = action == _START
        position = Position(int(number or 0) - (not is_whole), str(tag))
        self.skip_to(position)
        self._is_stored = True
        self.on_adopted(position, is_whole)

    def knows(self, reader: Reader, position: Position) -> bool:
        """Whether all changes behind a position are at hand."""
        if position == self._end or self._in_memory(position) is not None:
            return True
        if not self._is_stored:
            return False
        tag = reader.value(f"SELECT tag FROM {CHANGES_TABLE} WHERE number = ?", [position.number])
        return tag == position.tag

    def between(self, reader: Reader, start: Position, end: Position, limit: int) -> list[Change] | None:
        """Return the first changes behind `start` up to `end`, at most `limit`; None where they are gone."""
        if start.number >= end.number:
            return []
        recent = self._in_memory(start)
        if recent is not None:
            found = [each for each in recent if each.position and each.position.number <= end.number]
            return [self._as_now(each) if isinstance(each, Change) else _no_change(each) for each in found[:limit]]
        if not self._is_stored or not self.knows(reader, start):
            return None
        logged = self._stored(reader, start.number, end.number, limit)
        return [each if isinstance(each, Change) else _no_change(each) for each in logged]

    def _as_now(self, change: Change) -> Change:
        """Return a change with its record in the form that its collection has now: a field may have been hidden."""
        collection = self._catalog.current.find(change.record.collection.id)
        if collection is None or collection is change.record.collection:
            return change
        earlier = change.previous and moved(change.previous, collection)
        return replace(change, record=moved(change.record, collection), previous=earlier)

    def _in_memory(self, position: Position) -> list[Logged] | None:
        """Return the changes behind a position if memory has all of them."""
        recent = list(self._recent)
        if position != self._memory_start and all(change.position != position for change in recent):
            return None
        # A thread may be moving the start meanwhile: what is returned begins right behind the position, or nowhere.
        behind = [change for change in recent if change.position and change.position.number > position.number]
        first = behind[0].position if behind else None
        return behind if first is None or first.number == position.number + 1 else None

    def _trim(self, tx: Transaction, added: int, end: int, at: int) -> None:
        """Drop what is beyond the retention, a bounded part of it now and then."""
        self._since_trim += added
        if self._since_trim < _TRIM_EVERY:
            return
        if not self.numbers.may_trim(tx):
            return
        self._since_trim = 0
        kept = self._retention
        first = int(tx.value(f"SELECT min(number) FROM {CHANGES_TABLE}") or 0)
        most = min(end, first + max(_TRIM_ROWS, 4 * added))
        # Always from the oldest on: where a clock was set back, what is kept must not get a hole.
        fresh = tx.value(
            f"SELECT number FROM {CHANGES_TABLE} WHERE number < ? AND at >= ? ORDER BY number LIMIT 1",
            [most, at - int(kept.max_age_s * 1000)],
        )
        by_age = most if fresh is None else int(fresh)
        kept_from = min(most, max(by_age, end - kept.max_changes + 1))
        tx.run(f"DELETE FROM {CHANGES_TABLE} WHERE number < ?", [kept_from])
        if not self.numbers.is_dense:
            tx.run(_NOTE_DROPPED, [str(kept_from - 1)])


def _without_state(each: Logged) -> Logged:
    """Return a change that holds no snapshot: what is kept here is kept for long."""
    return replace(each, before=None) if isinstance(each, Change) and each.before is not None else each


def _no_change(message: Message) -> Change:
    """Return what stands for a message in a replay, which does not repeat it: a change that nobody can listen to."""
    return Change("delete", new_record(Collection(id=f"@{message.topic}")), position=message.position)


def _with_key(reader: Reader, change: Change) -> Change:
    """Give an account that was updated its present token key, which is never logged: it tells whether tokens ended."""
    if change.action != "update" or not change.record.collection.is_auth:
        return change
    record = change.record
    key = reader.value(f'SELECT "tokenKey" FROM {quote(record.collection.name)} WHERE id = ?', [record.id])
    keyed = dataclasses.replace(record, values={**record.values, "tokenKey": key if isinstance(key, str) else ""})
    return replace(change, record=keyed)


def _is_there(reader: Reader) -> bool:
    return has_table(reader, CHANGES_TABLE)


def _last(reader: Reader) -> Position | None:
    row = reader.row(f"SELECT number, tag FROM {CHANGES_TABLE} ORDER BY number DESC LIMIT 1")
    return Position(int(row[0] or 0), str(row[1])) if row is not None else None
