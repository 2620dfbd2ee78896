"""Looking at a SQLite file without changing anything, not even by the files beside it.

Safe beside a process that writes: then the log is there and is read as well. Without a log
nobody has the file open, and it is read as one that does not change, since even a
read-only connection would leave the files of a log behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from rowcast.storage.sqlite_connections import BUSY_TIMEOUT_MS
from rowcast.storage.sqlite_errors import translate
from rowcast.storage.sqlite_readers import Statements


class Inspection(Statements):
    """A reader on one consistent state of a file."""

    __slots__ = ()

    def __init__(self, connection: apsw.Connection) -> None:
        self._cursor = connection.cursor()


@contextmanager
def inspecting(path: Path) -> Iterator[Inspection]:
    """Open a file to look at it. Raises StorageError where it can't be read or is no database."""
    log = path.with_name(path.name + "-wal")
    how = "mode=ro" if log.exists() else "immutable=1"
    connection: apsw.Connection | None = None
    try:
        connection = apsw.Connection(
            f"{path.absolute().as_uri()}?{how}", apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.execute("BEGIN").fetchall()
        # The state begins with the first read.
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
        yield Inspection(connection)
    except apsw.Error as error:
        raise translate(error) from error
    finally:
        if connection is not None:
            connection.close(True)
