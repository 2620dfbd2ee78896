"""A copy of one state of a SQLite database, made while others go on writing.

Reads in one transaction, so writers neither wait nor show up in the copy. It is
short: it lasts as long as the disk needs for the pages.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw

from rowcast.storage import StorageError
from rowcast.storage.sqlite_connections import BUSY_TIMEOUT_MS, connect
from rowcast.storage.sqlite_errors import translate

_PAGES_AT_ONCE = 2_048

Progress = Callable[[int, int], None]
"""Gets how many bytes are done, of how many; what it raises ends the copy."""


def copy_database(source: str, target: Path, progress: Progress) -> None:
    """Write the present state of the database `source` to a new file. Raises StorageError."""
    try:
        reading = connect(source)
        try:
            writing = apsw.Connection(str(target))
            try:
                # Nobody needs a copy that was not finished.
                writing.execute("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF").fetchall()
                _copy(reading, writing, progress)
            finally:
                writing.close()
        finally:
            reading.close()
    except apsw.Error as error:
        raise translate(error) from error


def _copy(reading: apsw.Connection, writing: apsw.Connection, progress: Progress) -> None:
    # Without a transaction each step would see another state and start anew. It begins with its first read.
    reading.execute("BEGIN")
    reading.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    page_size = reading.pragma("page_size")
    with writing.backup("main", reading, "main") as backup:
        while not backup.done:
            backup.step(_PAGES_AT_ONCE)
            progress((backup.page_count - backup.remaining) * page_size, backup.page_count * page_size)
    reading.execute("COMMIT")


def check_database(file: Path) -> None:
    """Read all of a database file. Raises StorageError where it is damaged, or no database at all."""
    try:
        connection = apsw.Connection(str(file))
        try:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            found = str(connection.execute("PRAGMA integrity_check(1)").fetchall()[0][0])
        finally:
            connection.close()
    except apsw.Error as error:
        raise translate(error) from error
    if found != "ok":
        raise StorageError(f"the database is damaged: {found}")
