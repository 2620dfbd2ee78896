"""The SQLite driver: one writer, many readers, all synchronous.

Rule 1: the writer connection is used only by the thread that holds `_writer_lock`.
Rule 2: a reader connection belongs to one block or snapshot at a time; idle ones
wait in a stack. Rule 3: what follows a commit (`on_commit`, `publish`) runs before
the lock is given back, so everybody sees commits in one order.

Under `budget` nothing waits: a statement over the budget, a writer at work or a
lock of another process raise `BudgetExceededError`, with the transaction undone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import apsw

from rowcast.errors import RowcastError
from rowcast.schema.record import Change
from rowcast.sql import SQLITE, SQLValue
from rowcast.storage import BudgetExceededError, Row, StorageError
from rowcast.storage.sqlite_connections import BUSY_TIMEOUT_MS, METER_STEPS, Checkpointer, Meter, Turns, connect
from rowcast.storage.sqlite_errors import RAISED, translate

logger = logging.getLogger("rowcast.storage")

Publish = Callable[[list[Change]], None]

WRITER_TIMEOUT_S = 30.0
"""How long a thread waits for its turn to write, as the reference's query timeout."""

_BUDGET_LOCK_S = 0.001
_IDLE_READERS = 16
_MAX_SNAPSHOTS = 64


class SQLiteStorage:
    """One SQLite database file.

    `publish` may be set after construction, before the first write. `budget_s` is
    the CPU time that one `budget` block may take. Raises StorageError where the file
    can't be opened.
    """

    dialect = SQLITE

    def __init__(
        self, path: str | Path, *, publish: Publish | None = None, budget_s: float = 0.002, create: bool = False
    ) -> None:
        self.path = str(path)
        self.publish = publish
        self._budget_s = budget_s
        self._local = _Local()
        self._writer_lock = Turns()
        self._transaction: _Write | None = None
        self._idle: list[apsw.Connection] = []
        self._snapshots: set[SQLiteSnapshot] = set()
        self._is_closed = False
        try:
            self._writer = connect(self.path, create=create, writable=True)
        except apsw.Error as error:
            raise translate(error) from error
        if self._writer.readonly("main"):
            self._writer.close()
            raise StorageError("the database can't be written (read-only file, directory or disk)")
        self._writer_timeout_ms = BUSY_TIMEOUT_MS
        self._checkpointer = Checkpointer(self.path, self._writer_lock)
        self._checkpointer.watch(self._writer)

    def read(self) -> _Read:
        """Open a reader on one consistent state, for a `with` block.

        Inside a `write` block it sees the state before the transaction.
        """
        return _Read(self)

    def write(self) -> AbstractContextManager[SQLiteTransaction]:
        """Open a write transaction, or a savepoint in that of this thread."""
        current = self._transaction
        if current is not None and current.thread == threading.get_ident():
            return _Nested(current)
        return _Write(self)

    def budget(self) -> AbstractContextManager[None]:
        """Bound the reads and writes that are opened in this block on this thread.

        A budget inside of a budget changes nothing.
        """
        return _Budget(self._local, self._budget_s)

    def optimize(self) -> None:
        """Refresh the planner's statistics, as the reference does nightly and after schema changes."""
        with self.write() as transaction:
            transaction.run("PRAGMA optimize")

    def checkpoint(self) -> None:
        """Move the whole log into the database file and truncate it; waits for readers."""
        self._take_turn()
        try:
            self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error as error:
            raise translate(error) from error
        finally:
            self._writer_lock.release()

    def close(self) -> None:
        """Wait for the writer and close every idle connection. May be called again without effect.

        A reader that is still open is closed when its block ends.
        """
        self._take_turn()
        was_closed, self._is_closed = self._is_closed, True
        self._writer_lock.release()
        if was_closed:
            return
        self._checkpointer.close()
        for snapshot in list(self._snapshots):
            snapshot.close()
        while self._idle:
            self._idle.pop().close()
        self._writer.close()

    def _take_turn(self) -> None:
        """Wait for this thread's turn to use the writer, without a budget."""
        if not self._writer_lock.acquire(WRITER_TIMEOUT_S):
            raise StorageError(f"the database is busy: no turn to write within {WRITER_TIMEOUT_S:g} s")

    def _take_reader(self) -> apsw.Connection:
        """Return a reader connection without a transaction."""
        try:
            return self._idle.pop()
        except IndexError:
            pass
        if self._is_closed:
            raise StorageError("the database is closed")
        try:
            return connect(self.path)
        except apsw.Error as error:
            raise translate(error) from error

    def _give_reader(self, connection: apsw.Connection) -> None:
        """Take a reader connection back."""
        if self._is_closed or len(self._idle) >= _IDLE_READERS:
            connection.close()
        else:
            self._idle.append(connection)


class _Local(threading.local):
    meter: Meter | None = None


class _Budget:
    __slots__ = ("_is_outer", "_local", "_seconds")

    def __init__(self, local: _Local, seconds: float) -> None:
        self._local, self._seconds = local, seconds

    def __enter__(self) -> None:
        self._is_outer = self._local.meter is None
        if self._is_outer:
            self._local.meter = Meter(self._seconds)

    def __exit__(self, *raised: object) -> None:
        if self._is_outer:
            self._local.meter = None


class _Statements:
    """Runs statements on a cursor that the subclass opens."""

    __slots__ = ("_cursor",)

    # apsw's cursor, or `_Ended` after the block.
    _cursor: Any

    def rows(self, sql: str, params: Sequence[SQLValue] = ()) -> list[Row]:
        """Return all rows."""
        try:
            found: list[Row] = self._cursor.execute(sql, params).fetchall()
        except RAISED as error:
            raise self._failed(error) from error
        return found

    def row(self, sql: str, params: Sequence[SQLValue] = ()) -> Row | None:
        """Return the first row, or None."""
        try:
            found: Row | None = self._cursor.execute(sql, params).fetchone()
        except RAISED as error:
            raise self._failed(error) from error
        return found

    def value(self, sql: str, params: Sequence[SQLValue] = ()) -> SQLValue:
        """Return the first column of the first row, or None."""
        try:
            found: Row | None = self._cursor.execute(sql, params).fetchone()
        except RAISED as error:
            raise self._failed(error) from error
        return None if found is None else found[0]

    def _failed(self, error: Exception) -> Exception:
        return translate(error)


class _Ended:
    """Stands in for the cursor of a block that has ended, or that may not go on."""

    __slots__ = ("_kind", "_reason")

    def __init__(self, reason: str, kind: type[RowcastError] = StorageError) -> None:
        self._reason, self._kind = reason, kind

    def execute(self, *_: object) -> NoReturn:
        raise self._kind(self._reason)


_ENDED = _Ended("the block of this reader or transaction has ended")


class _Read(_Statements):
    """A reader for one block."""

    __slots__ = ("_connection", "_storage")

    def __init__(self, storage: SQLiteStorage) -> None:
        self._storage = storage
        self._cursor = _ENDED

    def __enter__(self) -> Self:
        storage = self._storage
        self._connection = connection = storage._take_reader()
        self._cursor = connection.cursor()
        self._cursor.execute("BEGIN")
        meter = storage._local.meter
        if meter is not None:
            connection.set_progress_handler(meter.is_spent, METER_STEPS)
        return self

    def __exit__(self, *raised: object) -> None:
        connection = self._connection
        connection.set_progress_handler(None)
        try:
            # Resets the last statement too, which `row` may have left unfinished.
            self._cursor.execute("COMMIT")
        except apsw.Error:
            connection.close(True)
            return
        finally:
            self._cursor = _ENDED
        self._storage._give_reader(connection)


class SQLiteSnapshot(_Statements):
    """A reader that keeps its state until `close`; while it is open, the log can't be emptied.

    Used by one thread at a time.
    """

    __slots__ = ("_connection", "_storage")

    def __init__(self, storage: SQLiteStorage) -> None:
        if len(storage._snapshots) >= _MAX_SNAPSHOTS:
            raise StorageError("too many snapshots are open")
        self._storage = storage
        self._connection = storage._take_reader()
        self._cursor = _Metered(self._connection, storage._local)
        try:
            # BEGIN alone takes no snapshot: the first read does.
            self._cursor.execute("BEGIN").execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
        except apsw.Error as error:
            self._connection.close(True)
            raise translate(error) from error
        storage._snapshots.add(self)

    def close(self) -> None:
        """Let go of the state."""
        storage = self._storage
        if self not in storage._snapshots:
            return
        storage._snapshots.discard(self)
        self._cursor = _ENDED
        self._connection.set_progress_handler(None)
        try:
            self._connection.execute("COMMIT")
        except apsw.Error:
            self._connection.close(True)
            return
        storage._give_reader(self._connection)


class _Metered:
    """A cursor that follows the budget of whichever thread uses it."""

    __slots__ = ("_connection", "_cursor", "_local", "fetchall", "fetchone")

    def __init__(self, connection: apsw.Connection, local: _Local) -> None:
        self._connection, self._local = connection, local
        self._cursor = connection.cursor()
        self.fetchall, self.fetchone = self._cursor.fetchall, self._cursor.fetchone

    def execute(self, sql: str, params: Sequence[SQLValue] = ()) -> _Metered:
        meter = self._local.meter
        self._connection.set_progress_handler(None if meter is None else meter.is_spent, METER_STEPS)
        self._cursor.execute(sql, params)
        return self


class SQLiteTransaction(_Statements):
    """One write transaction on the writer connection. Used by the thread that opened it."""

    __slots__ = ("_connection", "_on_commit", "_on_rollback", "_snapshot", "_storage", "changes", "thread")

    def __init__(self, storage: SQLiteStorage) -> None:
        self._storage = storage
        self._connection = storage._writer
        self._cursor = _ENDED
        self._snapshot: SQLiteSnapshot | None = None
        self._on_commit: list[Callable[[], None]] = []
        self._on_rollback: list[Callable[[], None]] = []
        self.changes: list[Change] = []
        self.thread = 0

    def run(self, sql: str, params: Sequence[SQLValue] = ()) -> int:
        """Run a statement and return the number of rows that it changed.

        Rows that triggers changed are not counted.
        """
        connection = self._connection
        total = connection.total_changes()
        try:
            self._cursor.execute(sql, params).fetchall()
        except RAISED as error:
            raise self._failed(error) from error
        return connection.changes() if connection.total_changes() != total else 0

    def run_many(self, sql: str, params: Iterable[Sequence[SQLValue]]) -> None:
        """Run a statement once for each set of parameters."""
        try:
            self._cursor.executemany(sql, params).fetchall()
        except RAISED as error:
            raise self._failed(error) from error

    def before(self) -> SQLiteSnapshot:
        """Return a reader on the state before this transaction.

        It outlives the commit where one of `changes` holds it as its `before`; whoever
        gets the changes closes it then. Until that the log can't be emptied, so close
        it soon; at most 64 may be open. Else it ends with the transaction.
        """
        if self._snapshot is None:
            self._snapshot = SQLiteSnapshot(self._storage)
        return self._snapshot

    def on_commit(self, call: Callable[[], None]) -> None:
        """Have `call` run after the commit, before the changes are published."""
        self._on_commit.append(call)

    def on_rollback(self, call: Callable[[], None]) -> None:
        """Have `call` run if the transaction, or the savepoint around, does not commit; last asked, first run."""
        self._on_rollback.append(call)

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what is written inside, and what was asked for, if the block raises."""
        return _Savepoint(self)

    def _failed(self, error: Exception) -> Exception:
        meaning = translate(error)
        if isinstance(meaning, BudgetExceededError):
            # The statement may or may not have taken effect: nothing of this transaction may stay.
            self._cursor = _Ended(str(meaning), BudgetExceededError)
        elif not self._connection.in_transaction:
            # SQLite has undone the transaction by itself (disk full); what ran now would be committed at once.
            self._cursor = _Ended(f"the transaction was undone: {meaning}")
        return meaning

    def _undo(self, calls: list[Callable[[], None]]) -> None:
        for call in reversed(calls):
            _run_hook(call)


class _Write(SQLiteTransaction):
    """The block of a write transaction, and the transaction itself."""

    __slots__ = ()

    def __enter__(self) -> SQLiteTransaction:
        storage, connection = self._storage, self._connection
        meter = storage._local.meter
        self._lock(meter)
        try:
            if storage._is_closed:
                raise StorageError("the database is closed")
            timeout_ms = BUSY_TIMEOUT_MS if meter is None else 0
            if timeout_ms != storage._writer_timeout_ms:
                connection.set_busy_timeout(timeout_ms)
                storage._writer_timeout_ms = timeout_ms
            cursor = connection.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            if meter is not None:
                connection.set_progress_handler(meter.is_spent, METER_STEPS)
            self._cursor = cursor
            self.thread = threading.get_ident()
            storage._transaction = self
        except BaseException as error:
            storage._writer_lock.release()
            if meter is not None and isinstance(error, apsw.BusyError):
                raise BudgetExceededError("another process is writing") from error
            if isinstance(error, apsw.Error):
                raise translate(error) from error
            raise
        return self

    def _lock(self, meter: Meter | None) -> None:
        """Wait for this thread's turn to write."""
        if meter is None:
            self._storage._take_turn()
        elif not self._storage._writer_lock.acquire(_BUDGET_LOCK_S):
            raise BudgetExceededError("another thread is writing")

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        storage, connection, cursor = self._storage, self._connection, self._cursor
        try:
            # A COMMIT must not be stopped: SQLite may report that after it has committed.
            connection.set_progress_handler(None)
            if kind is None:
                try:
                    cursor.execute("COMMIT")
                except apsw.Error as error:
                    self._roll_back()
                    raise translate(error) from error
                except RowcastError:
                    self._roll_back()
                    raise
                self._committed()
            else:
                self._roll_back()
        finally:
            self._cursor = _ENDED
            storage._transaction = None
            storage._writer_lock.release()

    def _committed(self) -> None:
        self._cursor = _ENDED
        for call in self._on_commit:
            _run_hook(call)
        changes, snapshot, publish = self.changes, self._snapshot, self._storage.publish
        if publish is not None and changes:
            _run_hook(lambda: publish(changes))
        if snapshot is not None and (publish is None or all(change.before is not snapshot for change in changes)):
            snapshot.close()

    def _roll_back(self) -> None:
        self._cursor = _ENDED
        if self._connection.in_transaction:
            _run_hook(lambda: self._connection.execute("ROLLBACK"))
        self.changes.clear()
        if self._snapshot is not None:
            self._snapshot.close()
        self._undo(self._on_rollback)


class _Savepoint:
    """A block inside of a transaction that can be undone alone."""

    __slots__ = ("_marks", "_transaction")

    def __init__(self, transaction: SQLiteTransaction) -> None:
        self._transaction = transaction

    def __enter__(self) -> None:
        transaction = self._transaction
        self._marks = (len(transaction.changes), len(transaction._on_commit), len(transaction._on_rollback))
        transaction.rows("SAVEPOINT rowcast")

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        transaction = self._transaction
        if kind is None:
            transaction.rows("RELEASE rowcast")
            return
        changes, on_commit, on_rollback = self._marks
        undone = transaction._on_rollback[on_rollback:]
        del transaction.changes[changes:], transaction._on_commit[on_commit:], transaction._on_rollback[on_rollback:]
        if transaction._connection.in_transaction:
            transaction.rows("ROLLBACK TO rowcast")
            transaction.rows("RELEASE rowcast")
        transaction._undo(undone)


class _Nested:
    """A `write` inside of a `write`: a savepoint that hands out the transaction around it."""

    __slots__ = ("_savepoint", "_transaction")

    def __init__(self, transaction: SQLiteTransaction) -> None:
        self._transaction, self._savepoint = transaction, _Savepoint(transaction)

    def __enter__(self) -> SQLiteTransaction:
        self._savepoint.__enter__()
        return self._transaction

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._savepoint.__exit__(kind, raised, trace)


def inspect(path: str | Path) -> set[str]:
    """Return the names of the tables in a file without changing it; none where there is no file.

    Raises StorageError where it is not a database or can't be read.
    """
    if not Path(path).exists() or not Path(path).stat().st_size:
        return set()
    try:
        connection = apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            return {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        finally:
            connection.close()
    except apsw.Error as error:
        raise translate(error) from error


def _run_hook(call: Callable[[], object]) -> None:
    """Run what follows a commit or rollback; its failure can't change the outcome any more."""
    try:
        call()
    except Exception:
        logger.exception("a call after the end of a transaction failed")
