"""The SQLite driver: one writer, many readers, all synchronous.

Puts together the readers, the writer and the checkpoints of one file; see
`sqlite_readers`, `sqlite_writer` and `sqlite_checkpoint` for their rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import apsw

from rowcast.sql import SQLITE
from rowcast.storage import Bounds, ConnectionPool, Outcome, Row, StorageError
from rowcast.storage.ending import Publish
from rowcast.storage.sqlite_checkpoint import Checkpointer
from rowcast.storage.sqlite_copy import Progress, copy_database
from rowcast.storage.sqlite_errors import translate
from rowcast.storage.sqlite_readers import Budget, Read, Readers, SQLiteSnapshot, Statements
from rowcast.storage.sqlite_script import read_script
from rowcast.storage.sqlite_writer import BeforeCommit, SQLiteTransaction, Writer
from rowcast.storage.timed import BlockTimes, Timed

AroundWrite = Callable[[AbstractContextManager[SQLiteTransaction]], AbstractContextManager[SQLiteTransaction]]


class SQLiteStorage:
    """One SQLite database file.

    `publish` may be set after construction, before the first write. `budget_s` is
    the CPU time that one `budget` block may take. Raises StorageError where the file
    can't be opened for reading and writing.
    """

    dialect = SQLITE

    def __init__(
        self,
        path: str | Path,
        *,
        publish: Publish | None = None,
        budget_s: float = 0.002,
        query_timeout_s: float = 30.0,
        create: bool = False,
    ) -> None:
        self.path = str(path)
        self._budget_s = budget_s
        # How long blocks take, for who asks.
        self.times: BlockTimes | None = None
        # Put around every write transaction, for who traces.
        self.around_write: AroundWrite | None = None
        self._readers = Readers(self.path, query_timeout_s)
        try:
            self._writer = Writer(self.path, self._readers, create=create)
        except apsw.Error as error:
            raise translate(error) from error
        if self._writer.connection.readonly("main"):
            self._writer.connection.close()
            raise StorageError("the database can't be written (read-only file, directory or disk)")
        self._writer.publish = publish
        self._checkpointer = Checkpointer(self.path, self._writer.turns)
        self._checkpointer.watch(self._writer.connection)

    @property
    def publish(self) -> Publish | None:
        """What gets the changes of each commit, in commit order, before the next writer starts."""
        return self._writer.publish

    @publish.setter
    def publish(self, publish: Publish | None) -> None:
        self._writer.publish = publish

    @property
    def before_commit(self) -> BeforeCommit | None:
        """What runs inside each transaction that changed records, just before its COMMIT."""
        return self._writer.before_commit

    @before_commit.setter
    def before_commit(self, call: BeforeCommit | None) -> None:
        self._writer.before_commit = call

    def read(self) -> AbstractContextManager[Statements]:
        """Open a reader on one consistent state, for a `with` block.

        Inside a `write` block it sees the state before the transaction.
        """
        block = Read(self._readers)
        return block if self.times is None else Timed(block, self.times.reads)

    def glance(self, sql: str) -> Row | None:
        """Run one statement that reads and return its first row, or None; `{schema}` in it becomes `main`."""
        with self.read() as reader:
            return reader.row(sql.format(schema="main"))

    def snapshot(self) -> SQLiteSnapshot:
        """Return a reader that keeps the present state; the log can't be emptied until it is closed."""
        return SQLiteSnapshot(self._readers)

    def write(self) -> AbstractContextManager[SQLiteTransaction]:
        """Open a write transaction, or a savepoint in that of this thread."""
        block = self._writer.open()
        if (self.times is None and self.around_write is None) or self._writer.is_mine():
            return block
        if self.times is not None:
            block = Timed(block, self.times.writes, self.times.waits)
        return block if self.around_write is None else self.around_write(block)

    def budget(self) -> Budget:
        """Bound the reads and writes that are opened in this block on this thread.

        A budget inside of a budget changes nothing.
        """
        return Budget(self._readers.local, self._budget_s)

    def script(self, sql: str, bounds: Bounds) -> Outcome:
        """Run statements of unknown origin that read, on a connection of their own."""
        return read_script(self.path, sql, bounds)

    def connections(self) -> Mapping[str, ConnectionPool]:
        """Return none: there is no server."""
        return {}

    def optimize(self) -> None:
        """Refresh the planner's statistics, as the reference does nightly and after schema changes."""
        with self.write() as transaction:
            transaction.run("PRAGMA optimize")

    def checkpoint(self) -> None:
        """Move the whole log into the database file and truncate it; waits for readers."""
        self._writer.checkpoint()

    def copy(self, target: Path, progress: Progress) -> None:
        """Write the present state to a new file, while writers go on. Raises StorageError."""
        with self._checkpointer.patience():
            copy_database(self.path, target, progress)

    def close(self) -> None:
        """Wait for the writer and close every connection. May be called again without effect.

        A reader that is still open is closed when its block ends.
        """
        if self._writer.close():
            self._checkpointer.close()
            self._readers.close()
            self._writer.connection.close()
