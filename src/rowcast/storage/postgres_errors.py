"""What PostgreSQL's errors mean, as the `StorageError` and its kinds.

Called on the error path only. The original exception stays attached as the cause.
"""

from __future__ import annotations

import re

import psycopg
from psycopg import errors
from psycopg_pool import PoolClosed, PoolTimeout

from rowcast.storage import ConflictError, QueryTimeoutError, StorageError, UnavailableError, UniqueError

RAISED = (psycopg.Error, UnicodeError, OverflowError, ValueError)
"""What running a statement may raise: besides psycopg's own, values that can't be sent."""

OUTDATED = "RevalidateCachedQuery"
"""What in the server refuses a statement that was prepared for columns that have another type now."""

_TEXTS: dict[type[Exception], str] = {
    PoolClosed: "the database is closed",
    errors.LockNotAvailable: "the database is busy: no lock within the time a query may take",
}

_AWAY = re.compile(r"08...|57P0[0-5]|53300")
"""The codes of a connection that was lost or refused; without a code it was lost before the server said anything."""

_KEY = re.compile(r"\((.*?)\)=\(", re.DOTALL)
_NAME = re.compile(r'(?:lower\(|\()*"?(\w+)')


def translate(error: Exception) -> Exception:
    """Return the error of `rowcast.storage` that says what `error` means."""
    if isinstance(error, errors.UniqueViolation):
        return _unique(error)
    if isinstance(error, errors.DeadlockDetected | errors.SerializationFailure) or (
        # The next time it is prepared anew.
        isinstance(error, errors.FeatureNotSupported) and error.diag.source_function == OUTDATED
    ):
        return ConflictError(_text(error))
    if isinstance(error, errors.QueryCanceled):
        return QueryTimeoutError("a query took longer than it may")
    for kind, text in _TEXTS.items():
        if isinstance(error, kind):
            return StorageError(text)
    if isinstance(error, PoolTimeout):
        return UnavailableError("no connection to the database is free")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and (
        error.sqlstate is None or _AWAY.fullmatch(error.sqlstate)
    ):
        return UnavailableError(f"the database can't be reached ({_text(error)})")
    if isinstance(error, psycopg.Error):
        return StorageError(_text(error), engine_text=_engine_text(error))
    return StorageError(f"a value can't be stored: {error}")


def _text(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).strip()


def _engine_text(error: psycopg.Error) -> str:
    return f"{_text(error)} ({error.sqlstate})" if error.sqlstate else _text(error)


def _unique(error: errors.UniqueViolation) -> UniqueError:
    """Read the columns of `Key (a, lower(b))=(x, y) already exists.`; the words around them may be of any language."""
    found = _KEY.search(error.diag.message_detail or "")
    parts = found[1].split(", ") if found else []
    columns = tuple(name[1] for part in parts if (name := _NAME.match(part)))
    return UniqueError(_text(error), error.diag.table_name or "", columns)
