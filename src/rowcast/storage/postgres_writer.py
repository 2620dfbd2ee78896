"""Writing to PostgreSQL: transactions side by side, and what follows a commit.

Transactions are READ COMMITTED: each statement sees what others have committed before
it, and a row that is about to change is read with a lock (`Dialect.lock`), so that
its value stays true until the commit. What a new record refers to is held with a weaker
lock, as a foreign key does it. SERIALIZABLE would make strangers fail together; here only
deadlocks are left, which are told as `ConflictError` and run again.

A commit whose answer was lost with the connection is in doubt: it may have happened. `postgres_doubt`
finds out when the database is back, and only then files are removed that one outcome or the other leaves over.

A transaction that changed records, or has calls to make after its commit, takes
a lock of this process from its last statement until it has published: so
everybody here sees commits in one order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import chain
from types import TracebackType

import psycopg

from rowcast.schema.record import Logged
from rowcast.sql import SQLValue, quote
from rowcast.storage import Bounds, ConflictError, Outcome, StorageError, UnavailableError
from rowcast.storage.ending import Ending, Joined, Nested, Publish
from rowcast.storage.postgres_dialect import POSTGRES_WRITING
from rowcast.storage.postgres_doubt import Doubts
from rowcast.storage.postgres_errors import RAISED, translate
from rowcast.storage.postgres_readers import PostgresSnapshot, Sessions, Statements, run_script
from rowcast.storage.postgres_values import adding

BeforeCommit = Callable[["PostgresTransaction"], None]
"""Runs inside each transaction that changed records, just before its COMMIT; what it raises undoes the transaction."""

_ROWS_AT_ONCE = 64
"""How many rows one INSERT adds."""

SERIAL_LOCK = 7_240_031
"""The number of the advisory lock behind `Transaction.serialize`."""


class Writer:
    """What all transactions of one database have in common."""

    def __init__(self, sessions: Sessions, publish: Publish | None) -> None:
        self.sessions = sessions
        self.doubts = Doubts(sessions)
        self.publish = publish
        self.before_commit: BeforeCommit | None = None
        self.commits = threading.Lock()

    def is_mine(self) -> bool:
        """Whether this thread is in a transaction."""
        return self.sessions.local.writing is not None

    def open(self) -> AbstractContextManager[PostgresTransaction]:
        """Return the block of a new transaction, or of a savepoint in that of this thread."""
        current = self.sessions.local.writing
        if isinstance(current, PostgresTransaction):
            return Joined(current) if current.is_one else Nested(current, current.savepoint())
        return _Write(self)


class PostgresTransaction(Ending, Statements):
    """One write transaction. Used by the thread that opened it."""

    __slots__ = ("_is_serial", "_on_commit", "_on_rollback", "_snapshot", "changes", "has_failed", "is_one", "writer")

    dialect = POSTGRES_WRITING
    _replaces_nul = False

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.changes: list[Logged] = []
        self.is_one = self.has_failed = False
        self._on_commit: list[Callable[[], None]] = []
        self._on_rollback: list[Callable[[], None]] = []
        self._connection = None
        self._is_serial = False
        self._snapshot: PostgresSnapshot | None = None

    def run(self, sql: str, params: Sequence[SQLValue] = ()) -> int:
        """Run a statement and return the number of rows that it changed."""
        return self._execute(sql, params).count

    def run_many(self, sql: str, params: Iterable[Sequence[SQLValue]]) -> None:
        """Run a statement once for each set of parameters; rows that are added go many in one statement."""
        sets = list(params)
        size = _ROWS_AT_ONCE if adding(sql, 1) else 1
        try:
            for first in range(0, len(sets), size):
                some = sets[first : first + size]
                text = adding(sql, len(some)) or sql
                self.connection().ask(text, list(chain.from_iterable(some)), replaces_nul=True)
        except RAISED as error:
            raise translate(error) from error

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[SQLValue]]) -> None:
        """Add many rows to an empty table by COPY. Values are of the types of the columns."""
        if self._connection is None:
            raise StorageError("the block of this transaction has ended")
        name = quote(table)
        try:
            with (
                self._connection.cursor() as cursor,
                cursor.copy(f"COPY {name} ({','.join(map(quote, columns))}) FROM STDIN") as copy,
            ):
                for row in rows:
                    copy.write_row(row)
        except RAISED as error:
            raise translate(error) from error
        following = f"(SELECT COALESCE(max(_rowid_), 0) + 1 FROM {name})"
        self.rows(f"SELECT setval(pg_get_serial_sequence(?, '_rowid_'), {following}, false)", [name])

    def script(self, sql: str, bounds: Bounds) -> Outcome:
        """Run one statement of unknown origin. What fails undoes the whole transaction.

        What it changes in captured tables is logged: nobody else tells of it.
        """
        self.rows("SET LOCAL rowcast.writer TO 'off'")
        return run_script(self, sql, bounds)

    def serialize(self) -> None:
        """Wait until no other transaction that asked for the same is under way; it may then take its time."""
        self.rows("SET LOCAL statement_timeout TO 0")
        self.connection().patience_s = None
        self._is_serial = True
        self.rows(f"SELECT pg_advisory_xact_lock({SERIAL_LOCK})")

    def before(self) -> PostgresSnapshot:
        """Return a reader on the state before this transaction, on a connection of its own.

        It outlives the commit where one of `changes` holds it as its `before`; whoever
        gets the changes closes it then.
        """
        if self._snapshot is None:
            self._snapshot = PostgresSnapshot(self.writer.sessions, self.writer.sessions.spare)
        return self._snapshot

    def command(self, sql: str) -> None:
        """Run a statement without parameters and rows."""
        try:
            self.connection().command(sql)
        except psycopg.Error as error:
            raise translate(error) from error

    def hold_together(self) -> None:
        """From now on a `write` inside of this transaction is no savepoint: where it fails, the whole fails."""
        self.is_one = True

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what is written inside, and what was asked for, if the block raises."""
        return _Savepoint(self)


class _Write(PostgresTransaction):
    """The block of a write transaction, and the transaction itself."""

    __slots__ = ()

    def __enter__(self) -> PostgresTransaction:
        sessions = self.writer.sessions
        sessions.refuse_budget()
        self._connection = sessions.begin_write()
        sessions.local.writing = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        sessions = self.writer.sessions
        connection = self._connection
        try:
            if kind is not None:
                self._roll_back()
            elif self.changes or self._on_commit:
                silences = sessions.reach.silences
                with self.writer.commits:
                    self._commit(is_lost=sessions.reach.silences != silences)
            else:
                self._commit()
        finally:
            self._connection = None
            sessions.local.writing = None
            if connection is not None:
                sessions.give_write(connection)

    def _commit(self, *, is_lost: bool = False) -> None:
        """End well. With `is_lost` the server said nothing to the one before: nobody else waits for it."""
        try:
            if is_lost:
                raise UnavailableError("the database can't be reached")
            self.check()
            if self.changes and self.writer.before_commit is not None:
                self.writer.before_commit(self)
            number = self._number()
        except BaseException:
            self._roll_back()
            raise
        try:
            self._end("COMMIT")
        except UnavailableError:
            self._leave_in_doubt(number)
            raise
        except BaseException:
            self._roll_back()
            raise
        self._connection = None
        self.committed(self.writer.publish, self._snapshot)

    def _end(self, sql: str) -> None:
        connection = self._connection
        if connection is None:
            return
        if connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR and sql == "COMMIT":
            # PostgreSQL would answer a COMMIT with a silent ROLLBACK.
            raise StorageError("the transaction was undone: a statement in it has failed")
        try:
            connection.command(sql)
        except psycopg.Error as error:
            raise translate(error) from error

    def _number(self) -> SQLValue:
        """Return the number of this transaction where something depends on its outcome, for one that is in doubt.

        What is written in turns is read again by all processes instead: what follows it may not come late.
        """
        if self._is_serial or not self.changes or not (self._on_commit or self._on_rollback):
            return None
        return self.value("SELECT CAST(pg_current_xact_id_if_assigned() AS text)")

    def _leave_in_doubt(self, number: SQLValue) -> None:
        self._connection = None
        position = self.changes[0].position if self.changes else None
        if number is not None and position is not None:
            self.writer.doubts.add(number, position, self._settle)
        elif self._snapshot is not None:
            self._snapshot.close()

    def _settle(self, is_committed: bool) -> None:
        if is_committed:
            # The log tells its changes.
            self.committed(lambda _: None, self._snapshot)
        else:
            self.rolled_back(self._snapshot)

    def _roll_back(self) -> None:
        connection = self._connection
        if self.writer.sessions.reach.is_away and connection is not None:
            connection.close()
        if connection is not None and not connection.closed:
            # Where it fails the connection is lost, and the server undoes it by itself.
            with suppress(StorageError):
                self._end("ROLLBACK")
        self._connection = None
        self.rolled_back(self._snapshot)


class _Savepoint:
    """A block inside of a transaction that can be undone alone."""

    __slots__ = ("_marks", "_transaction")

    def __init__(self, transaction: PostgresTransaction) -> None:
        self._transaction = transaction

    def __enter__(self) -> None:
        self._marks = self._transaction.marks()
        self._transaction.command("SAVEPOINT rowcast")

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        transaction = self._transaction
        if kind is None:
            transaction.command("RELEASE SAVEPOINT rowcast")
            return
        try:
            if not isinstance(raised, ConflictError):
                transaction.command("ROLLBACK TO SAVEPOINT rowcast")
                transaction.command("RELEASE SAVEPOINT rowcast")
        finally:
            transaction.undo(self._marks)
