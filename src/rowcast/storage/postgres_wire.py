"""One statement to PostgreSQL and back, over libpq's own calls.

A cursor of psycopg takes five times the CPU of what is done here, since it can do much that
nothing here asks for; and statements are most of what a node on PostgreSQL does. A statement is prepared
when it comes for the fifth time with the same types. The calls wait with the GIL released, and as long as
they may: whoever looks after the connection (`postgres_reach`) cuts it then. What
can't be sent, and what the server says, is raised as psycopg raises it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

from rowcast.sql import Row, SQLValue
from rowcast.storage.postgres_errors import OUTDATED
from rowcast.storage.postgres_reach import Reach
from rowcast.storage.postgres_values import numbered, sent

T = TypeVar("T")

_PREPARE_AFTER = 5
_MOST_PREPARED = 200

_CLOSES = psycopg.capabilities.has_send_close_prepared()
"""Whether libpq is of PostgreSQL 17 or newer."""

_DONE = frozenset((ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY))

_Key = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave: its rows, and how many rows it changed or returned."""

    rows: list[Row]
    count: int


class Session(psycopg.Connection[tuple[Any, ...]]):
    """A connection, with what it has prepared. `prepares` is set by its pool. Used by one thread at a time.

    An answer is waited for no longer than `patience_s`; None waits for ever. `is_silent` tells that one did not come.
    """

    prepares = True
    patience_s: float | None = None
    is_silent = False
    reach: Reach
    _outdated = 0

    @classmethod
    def connect(cls, conninfo: str = "", *, reach: Reach, **options: Any) -> Session:  # type: ignore[override]  # noqa: ANN401 - what libpq takes
        """Connect; `reach` looks after it. Raises psycopg.Error."""
        try:
            session = super().connect(conninfo, **options)
        except psycopg.Error as error:
            reach.reason = str(error).partition("\n")[0]
            raise
        session.reach, session._outdated = reach, reach.outdated
        reach.connected(session)
        return session

    def __init__(self, *args: Any, **named: Any) -> None:  # noqa: ANN401 - as psycopg calls it
        super().__init__(*args, **named)
        # By text and types: how often it came, below 0 once it is prepared, and then its name.
        self._known: OrderedDict[_Key, int | bytes] = OrderedDict()
        self._names = 0
        self._loading: Any = None
        # Until when somebody waits for an answer; the lock is held when it came, and when it is given up.
        self._until: float | None = None
        self._guard = threading.Lock()

    def command(self, sql: str) -> None:
        """Run statements without parameters and rows, such as BEGIN with its settings. Raises psycopg errors."""
        self._checked(self._bounded(lambda: self.pgconn.exec_(sql.encode())))

    def ask(self, sql: str, params: Sequence[SQLValue], *, replaces_nul: bool) -> Answer:
        """Run one statement with `?` for its parameters. Raises psycopg errors and what a value raises."""
        values, types = sent(params, replaces_nul=replaces_nul)
        name = self._name_of(sql, types) if self.prepares else None
        if name is None:
            result = self._bounded(lambda: self.pgconn.exec_params(numbered(sql).encode(), values, types))
        else:
            result = self._bounded(lambda: self.pgconn.exec_prepared(name, values))  # type: ignore[arg-type]  # None stands for NULL
        try:
            self._checked(result)
        except psycopg.errors.FeatureNotSupported as error:
            if error.diag.source_function == OUTDATED:
                self.reach.outdated += 1
            raise
        rows: list[Row] = self._rows(result) if result.status == ExecStatus.TUPLES_OK else []
        return Answer(rows, result.command_tuples or 0)

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait as psycopg does, and no longer than this connection may. Raises psycopg.Error."""
        return self._bounded(lambda: super(Session, self).wait(gen, interval, timeout))

    def is_late(self, now: float) -> bool:
        """Whether somebody waits for an answer longer than he may."""
        return self._until is not None and now > self._until

    def give_up(self, now: float) -> None:
        """Cut the connection, where somebody still waits: he gets an error. Called from another thread."""
        with self._guard:
            if not self.is_late(now):
                return
            self.is_silent = True
            # A handle of one's own: the connection stays with whoever uses it.
            with (
                contextlib.suppress(OSError, psycopg.Error),
                socket.socket(fileno=os.dup(self.pgconn.socket)) as handle,
            ):
                handle.shutdown(socket.SHUT_RDWR)

    def _bounded(self, call: Callable[[], T]) -> T:
        self._until = None if self.patience_s is None else time.monotonic() + self.patience_s
        try:
            return call()
        finally:
            with self._guard:
                self._until = None

    def _checked(self, result: PGresult) -> None:
        if result.status in _DONE:
            return
        if not result.error_field(DiagnosticField.SQLSTATE):
            # The server has said nothing of it: libpq has, which may notice the state of the connection later.
            raise psycopg.OperationalError("it does not answer" if self.is_silent else "the connection was lost")
        raise error_from_result(result)

    def _name_of(self, sql: str, types: tuple[int, ...]) -> bytes | None:
        """Return the name of a prepared statement, None as long as it does not come often."""
        if self._outdated != self.reach.outdated:
            self._outdated = self.reach.outdated
            while self._known:
                self._forget(self._known.popitem()[1])
        known, key = self._known, (sql, types)
        state = known.get(key, 0)
        known[key] = state
        known.move_to_end(key)
        if isinstance(state, bytes):
            return state
        if state + 1 < _PREPARE_AFTER:
            known[key] = state + 1
            if len(known) > _MOST_PREPARED:
                self._forget(known.popitem(last=False)[1])
            return None
        self._names += 1
        name = b"rowcast_%d" % self._names
        self._checked(self._bounded(lambda: self.pgconn.prepare(name, numbered(sql).encode(), types)))
        known[key] = name
        return name

    def _forget(self, state: int | bytes) -> None:
        if not isinstance(state, bytes):
            return
        if _CLOSES:
            # Not DEALLOCATE: a pooler has other names for statements, which it puts into messages, not into SQL.
            self._checked(self._bounded(lambda: self.pgconn.close_prepared(state)))
        else:
            self.command(f"DEALLOCATE {state.decode()}")

    def _rows(self, result: PGresult) -> list[Row]:
        if self._loading is None:
            self._loading = Transformer(self)
        self._loading.set_pgresult(result)
        found: list[Row] = self._loading.load_rows(0, result.ntuples, tuple)
        return found
