"""Reading from PostgreSQL: connections, blocks on one state, snapshots that outlive their transaction.

A block is one transaction, in REPEATABLE READ, so that all of its statements see one
state. Nothing is kept in the session between blocks, and every setting is local to
its transaction: a pooler that hands the connection on after each transaction
(PgBouncer) may stand between. Under a budget nothing talks to the server, since
that waits for the network: the block is refused at once and runs in a thread.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from typing import Self, TypeVar

import psycopg
from psycopg_pool import PoolTimeout

from rowcast.sql import SQLValue, quote
from rowcast.storage import Bounds, BudgetExceededError, Outcome, Row, StorageError, UnavailableError, WritesError
from rowcast.storage.postgres_dialect import POSTGRES
from rowcast.storage.postgres_errors import RAISED, translate
from rowcast.storage.postgres_reach import GRACE_S, Pool, Reach
from rowcast.storage.postgres_wire import Answer, Session

T = TypeVar("T")

_COMMENT = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)

READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL rowcast.writer TO 'on'"
"""Triggers that capture changes look at who writes (`postgres_sources`)."""


class Local(threading.local):
    """What belongs to one thread."""

    has_budget = False
    writing: object | None = None


class Sessions:
    """The connections to one database, in three pools.

    `pool` is for blocks, `spare` for the states before a write, `following` for whoever reads what was written.
    A writer waits for a state with its own connection in hand, until a reader of changes has let go of an
    earlier one: so readers must never wait for writers, and some connections of `pool` are not for these.
    """

    def __init__(self, reach: Reach, *, timeout_s: float, schema: str) -> None:
        self.reach = reach
        self.pool, self.spare, self.following = reach.pools
        self._patience_s = timeout_s + GRACE_S
        self._writers = threading.BoundedSemaphore(max(1, self.pool.max_size * 3 // 4))
        self.local = Local()
        self._schema = quote(schema)
        self._settings = (
            f'; SET LOCAL search_path TO "{schema}"; SET LOCAL statement_timeout TO {int(timeout_s * 1000)}'
            f"; SET LOCAL lock_timeout TO {int(timeout_s * 1000)}"
        )

    def refuse_budget(self) -> None:
        """Raise BudgetExceededError where the caller must not wait."""
        if self.local.has_budget:
            raise BudgetExceededError("a database behind a network is asked in a thread")

    def begin(self, pool: Pool, kind: str) -> Session:
        """Return a connection with a new transaction."""
        return self._first(pool, lambda connection: connection.command(kind + self._settings))[0]

    def begin_now(self, pool: Pool, kind: str) -> Session:
        """Return a connection with a new transaction that has its state already, in one turn with the server."""
        # BEGIN alone takes no snapshot: the first read does.
        return self._first(pool, lambda connection: connection.command(f"{kind}{self._settings}; SELECT 1"))[0]

    def glance(self, sql: str) -> Row | None:
        """Run one statement outside of a transaction and return its first row, or None."""
        text, pool = sql.format(schema=self._schema), self.following
        connection, answer = self._first(pool, lambda connection: connection.ask(text, (), replaces_nul=True))
        self.give(pool, connection)
        return answer.rows[0] if answer.rows else None

    def _first(self, pool: Pool, call: Callable[[Session], T]) -> tuple[Session, T]:
        """Return a connection and what a first call on it gave. A connection that was lost meanwhile is replaced."""
        for is_last in (*[False] * pool.max_size, True):
            try:
                connection = self.reach.take(pool)
            except PoolTimeout as error:
                if self.reach.is_away:
                    raise UnavailableError("the database can't be reached") from error
                raise translate(error) from error
            except psycopg.Error as error:
                raise translate(error) from error
            connection.patience_s = self._patience_s
            try:
                found = call(connection)
            except BaseException as error:
                # One that was lost while nobody used it says nothing about the server; one that is silent does.
                is_stale = connection.closed and not connection.is_silent
                self.give(pool, connection)
                if is_stale and isinstance(error, psycopg.Error) and not is_last:
                    continue
                raise translate(error) if isinstance(error, psycopg.Error) else error from error
            self.reach.answered()
            return connection, found
        raise UnavailableError("the database can't be reached")

    def begin_write(self) -> Session:
        """Return a connection with a new write transaction; `give_write` takes it back."""
        if not self._writers.acquire(timeout=self.pool.timeout):
            raise translate(PoolTimeout())
        try:
            return self.begin(self.pool, WRITE)
        except BaseException:
            self._writers.release()
            raise

    def give_write(self, connection: Session) -> None:
        """Take back the connection of a write transaction."""
        self.give(self.pool, connection)
        self._writers.release()

    def give(self, pool: Pool, connection: Session) -> None:
        """Take a connection back; what is left of its transaction is undone."""
        if self.reach.is_away:
            # Its answer would be waited for.
            connection.close()
        if not connection.closed and connection.info.transaction_status:
            try:
                connection.command("ROLLBACK")
            except psycopg.Error:
                connection.close()
        pool.putconn(connection)


class Statements:
    """Runs statements on a connection that the subclass opens; None stands for a block that has ended."""

    __slots__ = ("_connection",)

    dialect = POSTGRES
    _replaces_nul = True
    _connection: Session | None

    def rows(self, sql: str, params: Sequence[SQLValue] = ()) -> list[Row]:
        """Return all rows."""
        return self._execute(sql, params).rows

    def row(self, sql: str, params: Sequence[SQLValue] = ()) -> Row | None:
        """Return the first row, or None."""
        found = self._execute(sql, params).rows
        return found[0] if found else None

    def value(self, sql: str, params: Sequence[SQLValue] = ()) -> SQLValue:
        """Return the first column of the first row, or None."""
        found = self.row(sql, params)
        return None if found is None else found[0]

    def connection(self) -> Session:
        """Return the connection. Raises StorageError where the block has ended."""
        if self._connection is None:
            raise StorageError("the block of this reader or transaction has ended")
        return self._connection

    def _execute(self, sql: str, params: Sequence[SQLValue]) -> Answer:
        connection = self.connection()
        try:
            return connection.ask(sql, params, replaces_nul=self._replaces_nul)
        except RAISED as error:
            raise translate(error) from error


_ENDS = frozenset(
    (
        *("abort", "begin", "commit", "deallocate", "discard", "end", "listen", "prepare", "release", "reset"),
        *("rollback", "savepoint", "set", "start", "unlisten"),
    )
)


def run_script(statements: Statements, sql: str, bounds: Bounds) -> Outcome:
    """Run one statement that can't end the transaction. Raises StorageError, WritesError where only reads may run."""
    connection = statements.connection()
    words = _COMMENT.sub(" ", sql).lower().split(maxsplit=1)
    if words and words[0].strip(";(") in _ENDS:
        raise StorageError(f"{words[0].strip(';(').upper()} can't be run here")
    try:
        connection.execute(f"SET LOCAL statement_timeout TO {int(bounds.seconds * 1000)}", prepare=False)
        connection.patience_s = bounds.seconds + GRACE_S
        # A prepared statement is one statement.
        cursor = connection.execute(sql.strip().rstrip(";").encode(), prepare=True)
        if cursor.description is None:
            return Outcome((), [], max(cursor.rowcount, 0))
        rows: list[Row] = []
        size = 0
        for row in cursor:
            size += sum(len(str(value)) for value in row)
            if len(rows) == bounds.rows or size > bounds.bytes:
                break
            rows.append(row)
        columns = tuple((column.name, column.type_display) for column in cursor.description)
        return Outcome(columns, rows, 0)
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise WritesError(str(error)) from error
    except RAISED as error:
        raise translate(error) from error


class Read(Statements):
    """A reader for one block."""

    __slots__ = ("_sessions",)

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._connection = None

    def __enter__(self) -> Self:
        self._sessions.refuse_budget()
        self._connection = self._sessions.begin(self._sessions.pool, READ)
        return self

    def __exit__(self, *raised: object) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._sessions.give(self._sessions.pool, connection)


class PostgresSnapshot(Statements):
    """A reader that keeps its state until `close`. Used by one thread at a time."""

    __slots__ = ("_pool", "_sessions")

    def __init__(self, sessions: Sessions, pool: Pool) -> None:
        self._sessions, self._pool = sessions, pool
        self._connection = sessions.begin_now(pool, READ)

    def _execute(self, sql: str, params: Sequence[SQLValue]) -> Answer:
        self._sessions.refuse_budget()
        return super()._execute(sql, params)

    def close(self) -> None:
        """Let go of the state. May be called again without effect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._sessions.give(self._pool, connection)
