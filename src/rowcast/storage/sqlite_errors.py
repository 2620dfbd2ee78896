"""What SQLite's errors mean, in words for the person who runs the server.

Owns the mapping from apsw's exceptions to `StorageError` and its kinds. Called on
the error path only. The original exception stays attached as the cause.
"""

from __future__ import annotations

import apsw

from rowcast.storage import BudgetExceededError, StorageError, UniqueError, UnwritableError

_UNIQUE = "UNIQUE constraint failed: "

_TEXTS: dict[type[apsw.Error], str] = {
    apsw.BusyError: "the database is locked by another process",
    apsw.LockedError: "the database is locked by another statement",
    apsw.ReadOnlyError: "the database can't be written (read-only file, directory or disk)",
    apsw.FullError: "the disk is full",
    apsw.CorruptError: "the database file is damaged",
    apsw.NotADBError: "the file is not a SQLite database",
    apsw.CantOpenError: "the database file can't be opened",
    apsw.IOError: "reading or writing the database file failed",
    apsw.NoMemError: "there is not enough memory for the statement",
    apsw.TooBigError: "a value or statement is too big",
}

_UNWRITABLE = (apsw.BusyError, apsw.ReadOnlyError, apsw.FullError, apsw.IOError)
"""What has nothing to do with the statement, and may be over at the next try."""

RAISED = (apsw.Error, OverflowError, UnicodeError, TypeError)
"""What running a statement may raise: besides apsw's own, values that SQLite can't hold."""


_CODES = {
    1: "SQL logic error",
    4: "query aborted",
    5: "database is locked",
    6: "database table is locked",
    7: "out of memory",
    8: "attempt to write a readonly database",
    9: "interrupted",
    10: "disk I/O error",
    11: "database disk image is malformed",
    12: "unknown operation",
    13: "database or disk is full",
    14: "unable to open database file",
    17: "database schema has changed",
    18: "string or blob too big",
    19: "constraint failed",
    20: "datatype mismatch",
    21: "bad parameter or other API misuse",
    23: "authorization denied",
    25: "column index out of range",
    26: "file is not a database",
}
"""What sqlite3_errstr says of a result code."""


def translate(error: Exception) -> Exception:
    """Return the `StorageError` (or `BudgetExceededError`) that says what `error` means."""
    meaning = _meaning(error)
    if isinstance(meaning, StorageError) and isinstance(error, apsw.Error):
        code = getattr(error, "extendedresult", 0) or getattr(error, "result", 1)
        kind, text = _CODES.get(code & 0xFF, "SQL logic error"), str(error)
        meaning.engine_text = f"{kind}: {text} ({code})" if kind != text else f"{kind} ({code})"
    return meaning


def _meaning(error: Exception) -> Exception:
    text = str(error)
    if isinstance(error, apsw.InterruptError):
        return BudgetExceededError("the statement was stopped: it takes too long for the event loop")
    if isinstance(error, apsw.ConstraintError):
        return _unique(text) if text.startswith(_UNIQUE) else StorageError(text)
    if isinstance(error, apsw.Error):
        no_room = getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE
        meaning = _TEXTS.get(apsw.FullError if no_room else type(error))
        kind = UnwritableError if isinstance(error, _UNWRITABLE) else StorageError
        return kind(f"{meaning} ({text})" if meaning else text)
    return StorageError(f"a value can't be stored: {text}")


def _unique(text: str) -> UniqueError:
    """Read `UNIQUE constraint failed: table.a, table.b`; an index on an expression names no columns."""
    table, columns = "", []
    for part in text.removeprefix(_UNIQUE).split(", "):
        name, dot, column = part.partition(".")
        if dot:
            table = name
            columns.append(column)
    return UniqueError(text, table, tuple(columns))
