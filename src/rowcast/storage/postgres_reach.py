"""Whether the database answers, and an end to waiting for one that does not.

The server bounds each statement by itself. One that is frozen, or behind a network that swallows
everything, does not, so a thread looks after all connections: one that waits longer than it may is cut, and
whoever waits gets an error as if it had been lost. While the database is away the pools try to connect again,
about once in a second, and nobody waits for them: who comes meanwhile is refused at once.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from psycopg_pool import ConnectionPool, PoolTimeout

if TYPE_CHECKING:
    from rowcast.storage.postgres_wire import Session

_log = logging.getLogger("rowcast.storage")

# It would say for each attempt what `Reach` says once.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)

GRACE_S = 2.0
"""How long after the time that a statement may take the server is given up."""

RECONNECT_S = 1.0
"""For how long a pool tries to connect before that counts as failed."""

_TICK_S = 0.25
"""How often it is looked whether somebody waits too long."""

_LOOK_S = 2.0
"""How long one waits for a connection before one asks whether the database is away."""

_AWAY_S = 0.05
"""How long one waits for a connection while it is: long enough for a new one where it is back."""

DEFAULTS = {
    "connect_timeout": "5",
    # A machine that is gone says nothing: ask it after half a minute instead of two hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
"""What libpq is told unless the URL says otherwise."""


class Pool(ConnectionPool["Session"]):
    """Connections, and how many of them are lent.

    The pool's own sizes can't tell: they count a connection that is still being made as well.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - what psycopg takes
        self.lent = 0
        self._counting = threading.Lock()
        super().__init__(*args, **options)

    def getconn(self, timeout: float | None = None) -> Session:
        """Lend a connection. Raises PoolTimeout."""
        connection = super().getconn(timeout)
        with self._counting:
            self.lent += 1
        return connection

    def putconn(self, conn: Session) -> None:
        """Take a connection back."""
        # Before somebody else can have it: never are more lent than there are.
        with self._counting:
            self.lent -= 1
        super().putconn(conn)


class Reach:
    """What is known of one database. Safe to use from several threads.

    `silences` counts the waits that were given up.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self.is_away = False
        self.reason = ""
        self.silences = 0
        # How often a prepared statement met columns that have another type now: all sessions prepare anew then.
        self.outdated = 0
        self.pools: list[Pool] = []
        self._sessions: WeakSet[Session] = WeakSet()
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._watch: threading.Thread | None = None

    def connected(self, session: Session) -> None:
        """Look after a new connection."""
        with self._lock:
            self._sessions.add(session)
            if self._watch is None:
                self._watch = threading.Thread(target=self._run, name="rowcast-reach", daemon=True)
                self._watch.start()
        self.answered()

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

    def take(self, pool: Pool) -> Session:
        """Return a connection of a pool. Raises PoolTimeout, soon where the database is away."""
        until = time.monotonic() + pool.timeout
        while True:
            try:
                return pool.getconn(_AWAY_S if self.is_away else min(_LOOK_S, max(until - time.monotonic(), _AWAY_S)))
            except PoolTimeout:
                if self.is_away or time.monotonic() >= until:
                    raise

    def close(self) -> None:
        """Look after nobody any more."""
        self._is_closed.set()
        if self._watch is not None:
            self._watch.join()

    def _run(self) -> None:
        while not self._is_closed.wait(_TICK_S):
            with self._lock:
                sessions = tuple(self._sessions)
            now = time.monotonic()
            silent = [session for session in sessions if session.is_late(now)]
            if not silent:
                continue
            # Before they wake up: whoever was behind them must not wait for the server anew.
            self.silences += 1
            self.reason = "it does not answer"
            self.failed()
            for session in silent:
                session.give_up(now)
            # What waits in the pools would not answer either.
            for pool in self.pools:
                pool.drain()
