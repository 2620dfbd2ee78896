"""SQL that a superuser wrote: several statements at once, bounded, and kept from the connection's own affairs.

Owns what such SQL may not do whoever sends it: end or begin transactions, attach
files, change how the connection works. Knows nothing of what the tables mean.
"""

from __future__ import annotations

import apsw

from rowcast.sql import SQLValue
from rowcast.storage import Bounds, Outcome, QueryTimeoutError, Row, StorageError, WritesError
from rowcast.storage.sqlite_connections import METER_STEPS, Deadline, connect
from rowcast.storage.sqlite_errors import RAISED, translate

_REFUSED = frozenset(
    {apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT, apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH},
)

_ASKING_PRAGMAS = frozenset(
    {
        *("foreign_key_check", "foreign_key_list", "integrity_check", "optimize", "quick_check"),
        *("index_info", "index_list", "index_xinfo", "table_info", "table_list", "table_xinfo"),
    }
)
"""The pragmas whose argument says what they tell, not what they change."""


def read_script(path: str, sql: str, bounds: Bounds) -> Outcome:
    """Run SQL that reads, on a connection of its own. Raises WritesError where it wants to write, StorageError."""
    try:
        connection = connect(path)
    except apsw.Error as error:
        raise translate(error) from error
    try:
        # A single value must not fill the memory either.
        connection.limit(apsw.SQLITE_LIMIT_LENGTH, bounds.bytes)
        return run_script(connection.cursor(), sql, bounds)
    except StorageError as error:
        if isinstance(error.__cause__, apsw.ReadOnlyError):
            raise WritesError(str(error), engine_text=error.engine_text) from error
        raise
    finally:
        connection.close()


def run_script(cursor: apsw.Cursor, sql: str, bounds: Bounds) -> Outcome:
    """Run SQL on the one cursor of a connection, which nobody else uses meanwhile. Raises StorageError."""
    script, connection = _Script(sql, bounds), cursor.connection
    total = connection.total_changes()
    connection.authorizer = _authorize
    connection.set_progress_handler(Deadline(bounds.seconds).is_over, METER_STEPS)
    try:
        script.run(cursor)
    except apsw.InterruptError as error:
        raise QueryTimeoutError(f"the query took longer than {bounds.seconds:g} s") from error
    except RAISED as error:
        raise translate(error) from error
    finally:
        connection.authorizer = None
        connection.set_progress_handler(None)
    changed = connection.changes() if connection.total_changes() != total else 0
    return Outcome(script.columns, script.rows, changed)


class _Script:
    """The rows of the last statement that gives any, while the statements run one after the other."""

    def __init__(self, sql: str, bounds: Bounds) -> None:
        self.columns: tuple[tuple[str, str], ...] = ()
        self.rows: list[Row] = []
        self._rest = sql
        self._bounds = bounds
        self._size = 0

    def run(self, cursor: apsw.Cursor) -> None:
        cursor.exec_trace = self._begins
        try:
            for row in cursor.execute(self._rest, can_cache=False):
                if len(self.rows) < self._bounds.rows:
                    self._keep(row)
                elif not self._rest.strip(" \t\r\n;"):
                    break
        finally:
            cursor.exec_trace = None

    def _begins(self, cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        self._rest = self._rest[len(sql) :]
        if described := cursor.get_description():
            self.columns = tuple((name, (kind or "").upper()) for name, kind in described)
            self.rows, self._size = [], 0
        return True

    def _keep(self, row: Row) -> None:
        self._size += sum(_size(value) for value in row)
        if self._size > self._bounds.bytes:
            raise StorageError(f"the result has more than {self._bounds.bytes} bytes")
        self.rows.append(row)


def _size(value: SQLValue) -> int:
    return len(value) if isinstance(value, str | bytes) else 8


def _authorize(operation: int, name: str | None, argument: str | None, _database: str | None, _by: str | None) -> int:
    if operation in _REFUSED:
        return apsw.SQLITE_DENY
    is_change = operation == apsw.SQLITE_PRAGMA and argument is not None
    if is_change and (name or "").lower() not in _ASKING_PRAGMAS:
        return apsw.SQLITE_DENY
    return apsw.SQLITE_OK
