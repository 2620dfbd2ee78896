"""Reading from SQLite: blocks on one state, snapshots that outlive their transaction, budgets.

A reader connection belongs to one block or snapshot at a time; idle ones wait in a
stack, so that the one used last, with its warm cache, is used next. Whatever reads
under a budget is stopped by the meter of its thread.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

import apsw

from rowcast.errors import RowcastError
from rowcast.sql import SQLITE, SQLValue
from rowcast.storage import BudgetExceededError, QueryTimeoutError, Row, StorageError
from rowcast.storage.sqlite_connections import BUSY_TIMEOUT_MS, DEADLINE_STEPS, METER_STEPS, Deadline, Meter, connect
from rowcast.storage.sqlite_errors import RAISED, translate

_IDLE_READERS = 16
_MAX_SNAPSHOTS = 64
_SNAPSHOT_WAIT_S = 10.0


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


class Local(threading.local):
    """What belongs to one thread."""

    meter: Meter | None = None


class Readers:
    """The reader connections of one file, and the budgets of its threads."""

    def __init__(self, path: str, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.local = Local()
        self.snapshots: set[SQLiteSnapshot] = set()
        self.room = threading.Condition()
        self._path = path
        self._idle: list[apsw.Connection] = []
        self._is_closed = False

    def take(self) -> apsw.Connection:
        """Return a connection without a transaction."""
        try:
            return self._idle.pop()
        except IndexError:
            pass
        if self._is_closed:
            raise StorageError("the database is closed")
        try:
            return connect(self._path)
        except apsw.Error as error:
            raise translate(error) from error

    def give(self, connection: apsw.Connection) -> None:
        """Take a connection back."""
        if self._is_closed or len(self._idle) >= _IDLE_READERS:
            connection.close()
        else:
            self._idle.append(connection)

    def wait_for_snapshot(self) -> None:
        """Wait until one more snapshot may be open; under a budget nothing waits."""
        if len(self.snapshots) < _MAX_SNAPSHOTS:
            return
        if self.local.meter is not None:
            raise BudgetExceededError("too many snapshots are open")
        with self.room:
            if not self.room.wait_for(lambda: len(self.snapshots) < _MAX_SNAPSHOTS, _SNAPSHOT_WAIT_S):
                raise StorageError("too many snapshots are open")

    def close(self) -> None:
        """Close what is idle, and the snapshots. A block that is still open closes its connection when it ends."""
        self._is_closed = True
        for snapshot in list(self.snapshots):
            snapshot.close()
        while self._idle:
            self._idle.pop().close()


class Budget:
    """The block of `Storage.budget`. A budget inside of a budget changes nothing."""

    __slots__ = ("_is_outer", "_local", "_seconds")

    def __init__(self, local: Local, seconds: float) -> None:
        self._local, self._seconds = local, seconds

    def __enter__(self) -> None:
        self._is_outer = self._local.meter is None
        if self._is_outer:
            self._local.meter = Meter(self._seconds)

    def __exit__(self, *raised: object) -> None:
        if self._is_outer:
            self._local.meter = None


class Ended:
    """Stands in for the cursor of a block that has ended, or that may not go on."""

    __slots__ = ("_kind", "_reason")

    def __init__(self, reason: str, kind: type[RowcastError] = StorageError) -> None:
        self._reason, self._kind = reason, kind

    def execute(self, *_: object) -> NoReturn:
        """Refuse the statement."""
        raise self._kind(self._reason)

    executemany = execute


ENDED = Ended("the block of this reader or transaction has ended")


class Statements:
    """Runs statements on a cursor that the subclass opens."""

    __slots__ = ("_cursor",)

    dialect = SQLITE
    # apsw's cursor, or `Ended`.
    _cursor: Any

    def rows(self, sql: str, params: Sequence[SQLValue] = ()) -> list[Row]:
        """Return all rows."""
        try:
            found: list[Row] = self._cursor.execute(sql, params).fetchall()
        except UnicodeDecodeError:
            return self._lossy(sql, params)
        except RAISED as error:
            raise self._failed(error) from error
        return found

    def row(self, sql: str, params: Sequence[SQLValue] = ()) -> Row | None:
        """Return the first row, or None."""
        try:
            found: Row | None = self._cursor.execute(sql, params).fetchone()
        except UnicodeDecodeError:
            return next(iter(self._lossy(sql, params)), None)
        except RAISED as error:
            raise self._failed(error) from error
        return found

    def value(self, sql: str, params: Sequence[SQLValue] = ()) -> SQLValue:
        """Return the first column of the first row, or None."""
        try:
            found: Row | None = self._cursor.execute(sql, params).fetchone()
        except UnicodeDecodeError:
            found = next(iter(self._lossy(sql, params)), None)
        except RAISED as error:
            raise self._failed(error) from error
        return None if found is None else found[0]

    def _lossy(self, sql: str, params: Sequence[SQLValue]) -> list[Row]:
        """Return the rows of a SELECT of which some text is no UTF-8: what is none of it becomes U+FFFD."""
        try:
            self._cursor.execute(sql, params)
            names = [f"c{number}" for number in range(len(self._cursor.get_description()))]
            values = ",".join(
                f"typeof({name}) = 'text', CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"
                for name in names
            )
            statement = f"WITH r({','.join(names)}) AS ({sql}) SELECT {values} FROM r"
            found = self._cursor.execute(statement, params).fetchall()
        except RAISED as error:
            raise self._failed(error) from error
        return [
            tuple(
                value.decode(errors="replace") if is_text else value
                for is_text, value in zip(row[::2], row[1::2], strict=True)
            )
            for row in found
        ]

    def _failed(self, error: Exception) -> Exception:
        return translate(error)


class Read(Statements):
    """A reader for one block."""

    __slots__ = ("_connection", "_readers")

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._cursor = ENDED

    def __enter__(self) -> Self:
        readers = self._readers
        self._connection = connection = readers.take()
        self._cursor = connection.cursor()
        self._cursor.execute("BEGIN")
        meter = readers.local.meter
        if meter is not None:
            connection.set_progress_handler(meter.is_spent, METER_STEPS)
        else:
            connection.set_progress_handler(Deadline(readers.timeout_s).is_over, DEADLINE_STEPS)
        return self

    def _failed(self, error: Exception) -> Exception:
        meaning = translate(error)
        if isinstance(meaning, BudgetExceededError) and self._readers.local.meter is None:
            return QueryTimeoutError(f"a query took longer than {self._readers.timeout_s:g} s")
        return meaning

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
            self._cursor = ENDED
        self._readers.give(connection)


class SQLiteSnapshot(Statements):
    """A reader that keeps its state until `close`; while it is open, the log can't be emptied.

    Used by one thread at a time.
    """

    __slots__ = ("_connection", "_readers")

    def __init__(self, readers: Readers) -> None:
        readers.wait_for_snapshot()
        self._readers = readers
        self._connection = readers.take()
        self._cursor = _Metered(self._connection, readers.local)
        try:
            # BEGIN alone takes no snapshot: the first read does.
            self._cursor.execute("BEGIN").execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
        except apsw.Error as error:
            self._connection.close(True)
            raise translate(error) from error
        readers.snapshots.add(self)

    def close(self) -> None:
        """Let go of the state."""
        readers = self._readers
        if self not in readers.snapshots:
            return
        readers.snapshots.discard(self)
        with readers.room:
            readers.room.notify()
        self._cursor = ENDED
        self._connection.set_progress_handler(None)
        try:
            self._connection.execute("COMMIT")
        except apsw.Error:
            self._connection.close(True)
            return
        readers.give(self._connection)


class _Metered:
    """A cursor that follows the budget of whichever thread uses it."""

    __slots__ = ("_connection", "_cursor", "_local", "fetchall", "fetchone", "get_description")

    def __init__(self, connection: apsw.Connection, local: Local) -> None:
        self._connection, self._local = connection, local
        self._cursor = connection.cursor()
        self.fetchall, self.fetchone = self._cursor.fetchall, self._cursor.fetchone
        self.get_description = self._cursor.get_description

    def execute(self, sql: str, params: Sequence[SQLValue] = ()) -> Self:
        """Run a statement as the cursor does."""
        meter = self._local.meter
        self._connection.set_progress_handler(None if meter is None else meter.is_spent, METER_STEPS)
        self._cursor.execute(sql, params)
        return self
