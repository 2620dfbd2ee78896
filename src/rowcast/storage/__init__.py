"""What a storage engine offers: the protocols that its drivers fit.

The core is synchronous: a service function takes a `Reader` or a `Transaction`,
asks and returns. `api` decides where it runs (on the event loop, bounded by
`Storage.budget`, or in a thread), so that one request of many milliseconds never
stops the streams. SQL uses positional `?` and the names of the tables in PocketBase's data.db.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rowcast.errors import RowcastError
from rowcast.schema.record import Logged
from rowcast.sql import Dialect, Reader, Row, Snapshot, SQLValue
from rowcast.storage.timed import BlockTimes

__all__ = [
    "CHANGES_TABLE",
    "Bounds",
    "BudgetExceededError",
    "ConflictError",
    "ConnectionPool",
    "Outcome",
    "QueryTimeoutError",
    "Reader",
    "Row",
    "Snapshot",
    "Storage",
    "StorageError",
    "Transaction",
    "UnavailableError",
    "UniqueError",
    "UnwritableError",
    "WritesError",
]


CHANGES_TABLE = "_rowcast_changes"
"""The table with the latest changes and their positions (`realtime.changelog`)."""


class BudgetExceededError(RowcastError):
    """A statement took longer than the event loop allows; run the request again in a thread."""


class ConflictError(RowcastError):
    """Two transactions stood in each other's way and this one was undone; run the call again from its start."""


class StorageError(RowcastError):
    """A statement failed for a reason that is not a constraint (disk full, read-only, locked).

    `engine_text` is what the engine says, in the form in which the reference shows
    it to superusers ("SQL logic error: no such column: x (1)").
    """

    def __init__(self, message: str, *, engine_text: str = "") -> None:
        super().__init__(message)
        self.engine_text = engine_text or message


class UnwritableError(StorageError):
    """The database can't be written for now: the disk is full, read-only or failing, or another process holds it."""


class UnavailableError(StorageError):
    """The database can't be reached, or went away: the same call may succeed when it is back."""


class QueryTimeoutError(StorageError):
    """A read took longer than reads may take."""


class UniqueError(StorageError):
    """A unique index refused a row; `columns` are the names of its columns, `table` its table."""

    def __init__(self, message: str, table: str = "", columns: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.table, self.columns = table, columns


class WritesError(StorageError):
    """SQL that was to read wants to change something; nothing has been changed."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What SQL of unknown origin may take: rows that are kept, bytes of all of them, seconds."""

    rows: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ConnectionPool:
    """A pool of connections: the most it may have, those it has, those at work, who waits, who waited in vain."""

    most: int
    opened: int
    busy: int
    waiting: int
    timeouts: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What SQL gave: columns as (name, declared type) and rows of its last query, rows that its last write changed."""

    columns: tuple[tuple[str, str], ...]
    rows: list[Row]
    changed: int


class Transaction(Reader, Protocol):
    """One write transaction. On SQLite all writers take turns, on PostgreSQL they meet at the rows they lock."""

    changes: list[Logged]

    def run(self, sql: str, params: Sequence[SQLValue] = ()) -> int:
        """Run a statement and return the number of rows that it changed."""
        ...

    def run_many(self, sql: str, params: Iterable[Sequence[SQLValue]]) -> None:
        """Run a statement once for each set of parameters."""
        ...

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[SQLValue]]) -> None:
        """Add many rows to an empty table, with its own `_rowid_` among the columns; the next row comes behind them."""
        ...

    def serialize(self) -> None:
        """Have no other transaction at work that asks for the same: for what is read whole and written whole."""
        ...

    def script(self, sql: str, bounds: Bounds) -> Outcome:
        """Run one or more statements of unknown origin, which can't end the transaction. Raises StorageError."""
        ...

    def before(self) -> Snapshot:
        """Return a reader on the state before this transaction; it stays open until `Snapshot.close`.

        Asking twice returns the same one.
        """
        ...

    def on_commit(self, call: Callable[[], None]) -> None:
        """Have `call` run after the commit, before the next writer starts, in the order of asking."""
        ...

    def on_rollback(self, call: Callable[[], None]) -> None:
        """Have `call` run if the transaction does not commit."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what is written inside if the block raises; the transaction goes on."""
        ...

    def hold_together(self) -> None:
        """From now on a `Storage.write` inside of this one is no savepoint: where it fails, the whole fails."""
        ...


class Storage(Protocol):
    """A database.

    `publish` gets the changes of each commit, in commit order, before the next one is
    done; `before_commit` runs inside each transaction that changed records, before its end.
    """

    @property
    def publish(self) -> Callable[[list[Logged]], None] | None:
        """What gets the changes of each commit."""
        ...

    @publish.setter
    def publish(self, publish: Callable[[list[Logged]], None] | None) -> None: ...

    @property
    def before_commit(self) -> Callable[[Any], None] | None:
        """What runs before the commit of changes; it gets the transaction."""
        ...

    @before_commit.setter
    def before_commit(self, call: Callable[[Any], None] | None) -> None: ...

    dialect: Dialect
    path: str
    """The file of the database, or its address without secrets."""
    times: BlockTimes | None
    """How long blocks take, for who asks."""
    around_write: Callable[[AbstractContextManager[Any]], AbstractContextManager[Any]] | None
    """Put around every write transaction, for who traces."""

    def read(self) -> AbstractContextManager[Reader]:
        """Open a reader for one request."""
        ...

    def glance(self, sql: str) -> Row | None:
        """Run one statement that reads, outside of a transaction, and return its first row, or None.

        It takes one turn with a server. `{schema}` in it stands for where the tables are: nothing else says so.
        """
        ...

    def snapshot(self) -> Snapshot:
        """Return a reader that keeps the present state until `Snapshot.close`; used by one thread at a time."""
        ...

    def write(self) -> AbstractContextManager[Transaction]:
        """Open a write transaction: commits when the block ends, rolls back when it raises.

        Inside another `write` of the same thread the outer transaction goes on (nested savepoint).
        """
        ...

    def budget(self) -> AbstractContextManager[None]:
        """Bound what runs in this block on this thread; over it, BudgetExceededError is raised."""
        ...

    def script(self, sql: str, bounds: Bounds) -> Outcome:
        """Run one or more statements of unknown origin that read. Raises WritesError and StorageError."""
        ...

    def connections(self) -> Mapping[str, ConnectionPool]:
        """Return the pools of connections to a server by what they are for; none where there is no server."""
        ...

    def optimize(self) -> None:
        """Refresh the planner's statistics; after schema changes, outside of a transaction."""
        ...

    def checkpoint(self) -> None:
        """Bring what is committed into its final place, where the engine does not do so by itself."""
        ...

    def copy(self, target: Path, progress: Callable[[int, int], None]) -> None:
        """Write the present state to a new file, while writers go on. Raises StorageError where that can't be."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
