"""Writing to SQLite: one connection, taken in turns, and what follows a commit.

The connection is used only by the thread whose turn it is. What follows a commit
(`on_commit`, `publish`) runs before the next turn, so everybody sees commits in one
order. Under a budget nothing waits: a long statement, a writer at work or a lock of
another process raise `BudgetExceededError`, and nothing of the transaction stays.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from types import TracebackType

import apsw

from rowcast.schema.record import Logged
from rowcast.sql import SQLValue, quote
from rowcast.storage import Bounds, BudgetExceededError, Outcome, StorageError
from rowcast.storage.ending import Ending, Joined, Nested, Publish, run_hook
from rowcast.storage.sqlite_connections import BUSY_TIMEOUT_MS, METER_STEPS, Meter, Turns, connect
from rowcast.storage.sqlite_errors import RAISED, translate
from rowcast.storage.sqlite_readers import ENDED, Ended, Readers, SQLiteSnapshot, Statements
from rowcast.storage.sqlite_script import run_script
from rowcast.storage.sqlite_sources import OWN_WRITE

BeforeCommit = Callable[["SQLiteTransaction"], None]
"""Runs inside each transaction that changed records, just before its COMMIT; what it raises undoes the transaction."""

TURN_TIMEOUT_S = 30.0
"""How long a thread waits for its turn to write, as the reference's query timeout."""

_BUDGET_TURN_S = 0.001


@lru_cache(maxsize=512)
def _beginnings(table: str) -> tuple[str, ...]:
    """Return how a statement begins that writes a table itself."""
    name = quote(table)
    return f"INSERT INTO {name} ", f"UPDATE {name} ", f"DELETE FROM {name} "


_LOCK_STEPS = BUSY_TIMEOUT_MS // 4
"""How often the lock of another process is waited for: some 10 seconds in all."""


class Writer:
    """The writer connection of one file. Raises apsw errors where it can't be opened."""

    def __init__(self, path: str, readers: Readers, *, create: bool) -> None:
        self.connection = connect(path, create=create, writable=True)
        self.readers = readers
        self.turns = Turns()
        self.publish: Publish | None = None
        self.before_commit: BeforeCommit | None = None
        self.transaction: SQLiteTransaction | None = None
        self.is_closed = False
        self.is_patient: bool | None = None
        # The last statement and its parameters: what it writes is told by who runs it.
        self.running: tuple[str, Sequence[SQLValue]] = ("", ())
        self.connection.create_scalar_function(
            "sqlite_compileoption_used", self._has_option, 1, flags=apsw.SQLITE_INNOCUOUS
        )

    def open(self) -> AbstractContextManager[SQLiteTransaction]:
        """Return the block of a new transaction, or of a savepoint in that of this thread."""
        current = self.transaction
        if current is not None and current.thread == threading.get_ident():
            return Joined(current) if current.is_one else Nested(current, current.savepoint())
        return _Write(self)

    def is_mine(self) -> bool:
        """Whether this thread is in a transaction."""
        current = self.transaction
        return current is not None and current.thread == threading.get_ident()

    def take_turn(self, meter: Meter | None = None) -> None:
        """Wait for this thread's turn. Raises BudgetExceededError or StorageError where it does not come."""
        if self.turns.acquire(TURN_TIMEOUT_S if meter is None else _BUDGET_TURN_S):
            return
        if meter is not None:
            raise BudgetExceededError("another thread is writing")
        raise StorageError(f"the database is busy: no turn to write within {TURN_TIMEOUT_S:g} s")

    def begin(self, meter: Meter | None) -> apsw.Cursor:
        """Take SQLite's write lock and return a cursor that `meter` stops. Raises apsw errors."""
        if self.is_closed:
            raise StorageError("the database is closed")
        is_patient = meter is None
        if is_patient != self.is_patient:
            # Its own steps: SQLite's wait for up to 100 ms, in which other processes write on and on.
            self.connection.set_busy_handler(_wait_for_lock if is_patient else None)
            self.is_patient = is_patient
        cursor = self.connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        if meter is not None:
            self.connection.set_progress_handler(meter.is_spent, METER_STEPS)
        return cursor

    def _has_option(self, *options: SQLValue) -> int | None:
        """Do what SQLite's function of this name does, and tell triggers which rows are written on purpose.

        What else a statement writes, by foreign keys or triggers, is captured (`sqlite_sources`).
        """
        option = options[0]
        if not isinstance(option, str):
            return None
        if not option.startswith(OWN_WRITE):
            name = option.removeprefix("SQLITE_")
            return int(any(each.partition("=")[0] == name for each in apsw.compile_options))
        table, _, record_id = option[len(OWN_WRITE) :].partition(" ")
        sql, params = self.running
        return int(record_id in params and sql.startswith(_beginnings(table)))

    def checkpoint(self) -> None:
        """Move the whole log into the database file and truncate it; waits for readers."""
        self.take_turn()
        try:
            self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error as error:
            raise translate(error) from error
        finally:
            self.turns.release()

    def close(self) -> bool:
        """Wait for the turn and refuse all further transactions; return whether that is news."""
        self.take_turn()
        was_closed, self.is_closed = self.is_closed, True
        self.turns.release()
        return not was_closed


class SQLiteTransaction(Ending, Statements):
    """One write transaction. Used by the thread that opened it."""

    __slots__ = ("_on_commit", "_on_rollback", "_snapshot", "changes", "has_failed", "is_one", "thread", "writer")

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.changes: list[Logged] = []
        self.is_one = self.has_failed = False
        self._on_commit: list[Callable[[], None]] = []
        self._on_rollback: list[Callable[[], None]] = []
        self.thread = 0
        self._cursor = ENDED
        self._snapshot: SQLiteSnapshot | None = None

    def run(self, sql: str, params: Sequence[SQLValue] = ()) -> int:
        """Run a statement and return the number of rows that it changed.

        Rows that triggers changed are not counted.
        """
        connection = self.writer.connection
        total = connection.total_changes()
        self.writer.running = (sql, params)
        try:
            self._cursor.execute(sql, params).fetchall()
        except RAISED as error:
            raise self._failed(error) from error
        # What the triggers of a view write is not counted as a change of the view.
        return (connection.changes() or 1) if connection.total_changes() != total else 0

    def run_many(self, sql: str, params: Iterable[Sequence[SQLValue]]) -> None:
        """Run a statement once for each set of parameters."""
        try:
            self._cursor.executemany(sql, params).fetchall()
        except RAISED as error:
            raise self._failed(error) from error

    def script(self, sql: str, bounds: Bounds) -> Outcome:
        """Run statements of unknown origin; outside of a budget only. What fails undoes the whole transaction."""
        self.writer.running = ("", ())
        try:
            return run_script(self._cursor, sql, bounds)
        except StorageError:
            self._cursor = Ended("a statement of the transaction failed")
            raise

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[SQLValue]]) -> None:
        """Add many rows to an empty table."""
        names = ",".join(map(quote, columns))
        self.run_many(f"INSERT INTO {quote(table)} ({names}) VALUES ({','.join('?' * len(columns))})", rows)

    def serialize(self) -> None:
        """Do nothing: there is one writer at a time."""

    def before(self) -> SQLiteSnapshot:
        """Return a reader on the state before this transaction.

        It outlives the commit where one of `changes` holds it as its `before`; whoever
        gets the changes closes it then. Until that the log can't be emptied, so close
        it soon; at most 64 may be open, and who wants another waits. Else it ends with the transaction.
        """
        if self._snapshot is None:
            self._snapshot = SQLiteSnapshot(self.writer.readers)
        return self._snapshot

    def hold_together(self) -> None:
        """From now on a `write` inside of this transaction is no savepoint: where it fails, the whole fails."""
        self.is_one = True

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what is written inside, and what was asked for, if the block raises."""
        return _Savepoint(self)

    def _failed(self, error: Exception) -> Exception:
        meaning = translate(error)
        if isinstance(meaning, BudgetExceededError):
            # The statement may or may not have taken effect: nothing of this transaction may stay.
            self._cursor = Ended(str(meaning), BudgetExceededError)
        elif not self.writer.connection.in_transaction:
            # SQLite has undone the transaction by itself (disk full); what ran now would be committed at once.
            self._cursor = Ended(f"the transaction was undone: {meaning}")
        return meaning


class _Write(SQLiteTransaction):
    """The block of a write transaction, and the transaction itself."""

    __slots__ = ()

    def __enter__(self) -> SQLiteTransaction:
        writer = self.writer
        meter = writer.readers.local.meter
        writer.take_turn(meter)
        try:
            self._cursor = writer.begin(meter)
        except BaseException as error:
            writer.turns.release()
            if meter is not None and isinstance(error, apsw.BusyError):
                raise BudgetExceededError("another process is writing") from error
            if isinstance(error, apsw.Error):
                raise translate(error) from error
            raise
        self.thread = threading.get_ident()
        writer.transaction = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        writer = self.writer
        try:
            # A COMMIT must not be stopped: SQLite may report that after it has committed.
            writer.connection.set_progress_handler(None)
            if kind is None:
                self._commit()
            else:
                self._roll_back()
        finally:
            self._cursor = ENDED
            writer.transaction = None
            writer.turns.release()

    def _commit(self) -> None:
        try:
            self.check()
            if self.changes and self.writer.before_commit is not None:
                self.writer.before_commit(self)
            self._cursor.execute("COMMIT")
        except BaseException as error:
            # Whatever it is: a transaction that stayed open would keep every later one from beginning.
            self._roll_back()
            if isinstance(error, apsw.Error):
                raise translate(error) from error
            raise
        self._cursor = ENDED
        self.committed(self.writer.publish, self._snapshot)

    def _roll_back(self) -> None:
        self._cursor = ENDED
        if self.writer.connection.in_transaction:
            run_hook(lambda: self.writer.connection.execute("ROLLBACK"))
        self.rolled_back(self._snapshot)


class _Savepoint:
    """A block inside of a transaction that can be undone alone."""

    __slots__ = ("_marks", "_transaction")

    def __init__(self, transaction: SQLiteTransaction) -> None:
        self._transaction = transaction

    def __enter__(self) -> None:
        self._marks = self._transaction.marks()
        self._transaction.rows("SAVEPOINT rowcast")

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        transaction = self._transaction
        if kind is None:
            transaction.rows("RELEASE rowcast")
            return
        try:
            if not isinstance(raised, BudgetExceededError) and transaction.writer.connection.in_transaction:
                transaction.rows("ROLLBACK TO rowcast")
                transaction.rows("RELEASE rowcast")
        finally:
            transaction.undo(self._marks)


def _wait_for_lock(calls: int) -> bool:
    """Wait a little for the lock of another process; False once it has taken too long.

    Between a fifth of a millisecond and four, by chance: so none of several processes is always too late.
    """
    time.sleep(min(0.0002 * (calls + 1), 0.004) * (0.5 + random.random()))  # noqa: S311 - no secret
    return calls < _LOCK_STEPS
