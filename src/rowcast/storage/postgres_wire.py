"""One statement to PostgreSQL and back, over libpq's own calls.

A cursor of psycopg takes five times the CPU of what is done here, since it can do much that
nothing here asks for; and statements are most of what a node on PostgreSQL does. A statement is prepared
when it comes for the fifth time with the same types. The calls wait with the GIL released. What
can't be sent, and what the server says, is raised as psycopg raises it.
"""

from __future__ import annotations

import select
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from rowcast.sql import Row, SQLValue
from rowcast.storage.postgres_reach import Connection
from rowcast.storage.postgres_values import NUMERIC, TEXT, as_bytes, numbered

_PREPARE_AFTER = 5
_MOST_PREPARED = 200

_DONE = frozenset((ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY))

_NUMBERS = frozenset((bool, int, float))

_Key = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave: its rows, and how many rows it changed or returned."""

    rows: list[Row]
    count: int


class Session(Connection):
    """A connection, with what it has prepared. `prepares` is set by its pool. Used by one thread at a time."""

    prepares = True

    def __init__(self, *args: Any, **named: Any) -> None:  # noqa: ANN401 - as psycopg calls it
        super().__init__(*args, **named)
        # By text and types: how often it came, below 0 once it is prepared, and then its name.
        self._known: OrderedDict[_Key, int | bytes] = OrderedDict()
        self._names = 0
        self._loading: Any = None
        self._poll = select.poll()
        self._polled = -1

    def command(self, sql: str) -> None:
        """Run statements without parameters and rows, such as BEGIN with its settings. Raises psycopg errors."""
        self.pgconn.send_query(sql.encode())
        _checked(self._result())

    def ask(self, sql: str, params: Sequence[SQLValue], *, replaces_nul: bool) -> Answer:
        """Run one statement with `?` for its parameters. Raises psycopg errors and what a value raises."""
        values = [as_bytes(value, replaces_nul=replaces_nul) for value in params]
        types = tuple([NUMERIC if type(value) in _NUMBERS else TEXT for value in params])
        name = self._name_of(sql, types) if self.prepares else None
        if name is None:
            self.pgconn.send_query_params(numbered(sql).encode(), values, types)
        else:
            self.pgconn.send_query_prepared(name, values)
        _checked(result := self._result())
        rows: list[Row] = self._rows(result) if result.status == ExecStatus.TUPLES_OK else []
        return Answer(rows, result.command_tuples or 0)

    def _name_of(self, sql: str, types: tuple[int, ...]) -> bytes | None:
        """Return the name of a prepared statement, None as long as it does not come often."""
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
        self.pgconn.send_prepare(name, numbered(sql).encode(), types)
        _checked(self._result())
        known[key] = name
        return name

    def _forget(self, state: int | bytes) -> None:
        if isinstance(state, bytes):
            self.command(f"DEALLOCATE {state.decode()}")

    def _result(self) -> PGresult:
        """Wait for what was sent; return what the last statement gave, or the first that failed."""
        connection = self.pgconn
        while connection.flush():
            # What the server says meanwhile is taken in, or neither side would go on.
            if self._await(select.POLLIN | select.POLLOUT) & select.POLLIN:
                connection.consume_input()
        found: PGresult | None = None
        while True:
            while connection.is_busy():
                self._await(select.POLLIN)
                connection.consume_input()
            result = connection.get_result()
            if result is None:
                break
            if found is None or found.status in _DONE:
                found = result
        if found is None:
            raise psycopg.OperationalError("the connection is lost")
        return found

    def _await(self, events: int) -> int:
        """Wait until the socket can be read or written, but no longer than the server may take."""
        descriptor = self.pgconn.socket
        if self._polled != descriptor:
            self._poll, self._polled = select.poll(), descriptor
        self._poll.register(descriptor, events)
        found = self._poll.poll(None if self.patience_s is None else self.patience_s * 1000)
        if not found:
            raise self.given_up()
        return found[0][1]

    def _rows(self, result: PGresult) -> list[Row]:
        if self._loading is None:
            self._loading = Transformer(self)
        self._loading.set_pgresult(result)
        found: list[Row] = self._loading.load_rows(0, result.ntuples, tuple)
        return found


def _checked(result: PGresult) -> None:
    if result.status not in _DONE:
        raise error_from_result(result)
