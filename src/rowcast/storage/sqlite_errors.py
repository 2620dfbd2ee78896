"""What SQLite's errors mean, in words for the person who runs the server.

Owns the mapping from apsw's exceptions to `StorageError` and its kinds. Called on
the error path only. The original exception stays attached as the cause.
"""

from __future__ import annotations

import apsw

from rowcast.storage import BudgetExceededError, StorageError, UniqueError

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

RAISED = (apsw.Error, OverflowError, UnicodeError, TypeError)
"""What running a statement may raise: besides apsw's own, values that SQLite can't hold."""


def translate(error: Exception) -> Exception:
    """Return the `StorageError` (or `BudgetExceededError`) that says what `error` means."""
    text = str(error)
    if isinstance(error, apsw.InterruptError):
        return BudgetExceededError("the statement was stopped: it takes too long for the event loop")
    if isinstance(error, apsw.ConstraintError):
        return _unique(text) if text.startswith(_UNIQUE) else StorageError(text)
    if isinstance(error, apsw.Error):
        meaning = _TEXTS.get(type(error))
        return StorageError(f"{meaning} ({text})" if meaning else text)
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
