"""Whether the database answers: connections that wait no longer than they may, and what is known of the server.

The server bounds each statement by itself. One that is frozen, or behind a network that swallows
everything, does not, so each wait has an end of its own here: past it the connection is closed, as if it had
been lost. While the database is away the pools try to connect again, about once in a second, and nobody waits
for them: who comes meanwhile is refused at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg_pool import ConnectionPool, PoolTimeout

T = TypeVar("T")

_log = logging.getLogger("rowcast.storage")

GRACE_S = 2.0
"""How long after the time that a statement may take the server is given up."""

_CONNECT_S = 5
RECONNECT_S = 1.0
"""How long one attempt to connect may take, and for how long a pool tries before it counts as failed."""

_LOOK_S = 2.0
"""How long one waits for a connection before one asks whether the database is away."""

_AWAY_S = 0.05
"""How long one waits for a connection while it is: long enough for a new one where it is back."""

# It would say for each attempt what `Reach` says once.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)

DEFAULTS = {
    "connect_timeout": str(_CONNECT_S),
    # A machine that is gone says nothing: ask it after half a minute instead of two hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
"""What libpq is told unless the URL says otherwise."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is closed when the server says nothing for `patience_s`; None waits for ever."""

    patience_s: float | None = None
    is_silent = False
    reach: Reach

    @classmethod
    def connect(cls, conninfo: str = "", *, reach: Reach, **options: Any) -> Connection:  # type: ignore[override]  # noqa: ANN401 - what libpq takes
        """Connect; `reach` is told how it went. Raises psycopg.Error."""
        try:
            connection = super().connect(conninfo, **options)
        except psycopg.Error as error:
            reach.reason = str(error).partition("\n")[0]
            raise
        connection.reach = reach
        reach.answered()
        return connection

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for the server. Raises psycopg.OperationalError where it does not answer in time."""
        if timeout is not None or self.patience_s is None:
            return super().wait(gen, interval, timeout)
        until = time.monotonic() + self.patience_s
        try:
            return super().wait(gen, interval, self.patience_s)
        except psycopg.OperationalError as error:
            if time.monotonic() < until or self.closed:
                raise
            raise self.given_up() from error

    def given_up(self) -> psycopg.OperationalError:
        """Close the connection, since the server has said nothing for too long; return what is to be raised."""
        self.is_silent = True
        # Nobody may use it again: the answer to this statement may still come.
        self.close()
        self.reach.silent()
        return psycopg.OperationalError("it does not answer")


C = TypeVar("C", bound=Connection)


class Reach:
    """What is known of one database. Safe to use from several threads.

    `silences` counts the waits that were given up.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self.is_away = False
        self.reason = ""
        self.silences = 0
        self.pools: Sequence[ConnectionPool[Any]] = ()

    def answered(self) -> None:
        """Note that a connection was made, or has answered."""
        if self.is_away:
            self.is_away = False
            _log.warning("the database %s is back", self._where)

    def failed(self, _: object = None) -> None:
        """Note that connections can't be made."""
        if not self.is_away:
            self.is_away = True
            _log.warning("the database %s is away, requests are refused until it is back: %s", self._where, self.reason)

    def silent(self) -> None:
        """Note that a connection got no answer."""
        self.silences += 1
        self.reason = "it does not answer"
        self.failed()
        # What waits in the pools would not answer either.
        for pool in self.pools:
            pool.drain()

    def take(self, pool: ConnectionPool[C]) -> C:
        """Return a connection of a pool. Raises PoolTimeout, soon where the database is away."""
        until = time.monotonic() + pool.timeout
        while True:
            try:
                return pool.getconn(_AWAY_S if self.is_away else min(_LOOK_S, max(until - time.monotonic(), _AWAY_S)))
            except PoolTimeout:
                if self.is_away or time.monotonic() >= until:
                    raise
