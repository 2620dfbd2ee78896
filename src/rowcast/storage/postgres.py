"""The PostgreSQL driver: many readers and many writers, over two pools of connections.

Puts together sessions, transactions and what a database needs before the first use; see
`postgres_readers` and `postgres_writer` for their rules. The options of rowcast stand
in the query of the URL, beside those of libpq:

| option | meaning |
| --- | --- |
| `pool_size` | the most connections for requests (20) |
| `snapshots` | the most connections for reads of the state before a write (8) |
| `pool_timeout` | how many seconds a request waits for a connection (30) |
| `prepare` | `off` keeps no prepared statements, for PgBouncer before 1.21 |
| `schema` | the schema of all tables (public) |
| `listen` | `off` keeps nodes from hinting each other over the database (see `bus.postgres`) |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg

from rowcast.storage import Bounds, ConnectionPool, Outcome, Row, StorageError
from rowcast.storage.ending import Publish
from rowcast.storage.postgres_dialect import POSTGRES
from rowcast.storage.postgres_errors import translate
from rowcast.storage.postgres_functions import statements, version
from rowcast.storage.postgres_reach import DEFAULTS, RECONNECT_S, Pool, Reach
from rowcast.storage.postgres_readers import PostgresSnapshot, Read, Sessions, Statements, run_script
from rowcast.storage.postgres_values import Context
from rowcast.storage.postgres_wire import Session
from rowcast.storage.postgres_writer import BeforeCommit, PostgresTransaction, Writer
from rowcast.storage.timed import BlockTimes, Timed

_OLDEST = 160_000
_PREPARE_AFTER = 5

_CLOSE_S = 1.0
"""How long the threads of a pool are waited for."""

_FOLLOWING = 4
"""The most connections for reading what was written: one state is kept, one read, some are with the hub."""


_POOLS = ("requests", "snapshots", "following")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is and how it is used. `conninfo` is what libpq gets."""

    conninfo: str
    pool_size: int = 20
    snapshots: int = 8
    pool_timeout_s: float = 30.0
    prepares: bool = True
    schema: str = "public"


def parse_address(url: str) -> Address:
    """Read the URL of a database. Raises StorageError for an option that can't be understood."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise StorageError("the URL of a database starts with postgresql://")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    try:
        pool_size, snapshots = int(options.pop("pool_size", 20)), int(options.pop("snapshots", 8))
        pool_timeout_s = float(options.pop("pool_timeout", 30))
    except ValueError as error:
        raise StorageError("pool_size, snapshots and pool_timeout in the URL of a database are numbers") from error
    if pool_size < 2 or snapshots < 1 or pool_timeout_s <= 0:
        raise StorageError("a database needs a pool_size of at least 2, snapshots of 1 and a pool_timeout above 0")
    prepares, schema = options.pop("prepare", "on") != "off", options.pop("schema", "public")
    options.pop("listen", "")
    if not schema.replace("_", "a").isalnum() or schema == "rowcast":
        raise StorageError("the schema in the URL of a database is a word, and not rowcast")
    conninfo = urlunsplit(parts._replace(query=urlencode(DEFAULTS | options)))
    return Address(conninfo, pool_size, snapshots, pool_timeout_s, prepares, schema)


class PostgresStorage:
    """One schema of a PostgreSQL database.

    `publish` may be set after construction, before the first write. A statement may
    take `query_timeout_s`. Raises StorageError where the database can't be reached or is too old.
    """

    dialect = POSTGRES

    def __init__(self, url: str, *, publish: Publish | None = None, query_timeout_s: float = 30.0) -> None:
        address = parse_address(url)
        self.path = _without_secrets(address.conninfo)
        self.times: BlockTimes | None = None
        self.around_write: Callable[[AbstractContextManager[Any]], AbstractContextManager[Any]] | None = None
        self._reach = reach = Reach(self.path)
        sizes = address.pool_size, address.snapshots, _FOLLOWING
        self._pools = reach.pools = [_pool(address, size, reach) for size in sizes]
        sessions = Sessions(reach, timeout_s=query_timeout_s, schema=address.schema)
        self._sessions = sessions
        self._writer = Writer(sessions, publish)
        try:
            _connect(address)
            for pool in self._pools:
                pool.open()
            self._install()
        except BaseException as error:
            self.close()
            raise translate(error) if isinstance(error, psycopg.Error) else error from error

    @property
    def publish(self) -> Publish | None:
        """What gets the changes of each commit, in commit order, before the next one."""
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
        """Open a reader on one consistent state, for a `with` block."""
        block = Read(self._sessions)
        return block if self.times is None else Timed(block, self.times.reads)

    def glance(self, sql: str) -> Row | None:
        """Run one statement outside of a transaction and return its first row, or None; `{schema}` is the schema."""
        self._sessions.refuse_budget()
        return self._sessions.glance(sql)

    def snapshot(self) -> PostgresSnapshot:
        """Return a reader that keeps the present state until it is closed."""
        self._sessions.refuse_budget()
        return PostgresSnapshot(self._sessions, self._sessions.following)

    def write(self) -> AbstractContextManager[PostgresTransaction]:
        """Open a write transaction, or a savepoint in that of this thread."""
        block = self._writer.open()
        if (self.times is None and self.around_write is None) or self._writer.is_mine():
            return block
        if self.times is not None:
            block = Timed(block, self.times.writes, self.times.waits)
        return block if self.around_write is None else self.around_write(block)

    def budget(self) -> Budget:
        """Refuse what is opened in this block on this thread: it would wait for the network."""
        return Budget(self._sessions)

    def script(self, sql: str, bounds: Bounds) -> Outcome:
        """Run one statement of unknown origin that reads."""
        with self.read() as reader:
            return run_script(reader, sql, bounds)

    def connections(self) -> Mapping[str, ConnectionPool]:
        """Return the pools for requests, for states before a write, and for following the log."""
        return {
            name: ConnectionPool(
                most=pool.max_size,
                opened=state["pool_size"],
                busy=pool.lent,
                waiting=state["requests_waiting"],
                timeouts=state.get("requests_errors", 0),
            )
            for name, pool in zip(_POOLS, self._pools, strict=True)
            if (state := pool.get_stats())
        }

    def optimize(self) -> None:
        """Do nothing: PostgreSQL keeps its statistics up to date by itself."""

    def checkpoint(self) -> None:
        """Do nothing: PostgreSQL does so by itself."""

    def copy(self, target: Path, progress: Callable[[int, int], None]) -> None:  # noqa: ARG002 - it refuses
        """Raise StorageError: a server's database is no file."""
        raise StorageError("a PostgreSQL database is not part of backups; use its own tools, such as pg_dump")

    def close(self) -> None:
        """Close every connection. May be called again without effect."""
        self._writer.doubts.close()
        for pool in self._pools:
            # Its threads end by themselves; one may be connecting to a server that does not answer.
            pool.close(timeout=_CLOSE_S)
        self._reach.close()

    def _install(self) -> None:
        """Bring the functions to this version; of several nodes that start at once, one does it."""
        installed = "SELECT obj_description(to_regnamespace('rowcast')::oid, 'pg_namespace')"
        with self.read() as reader:
            if reader.value(installed) == version():
                return
        with self.write() as transaction:
            transaction.serialize()
            if transaction.value(installed) != version():
                for statement in statements():
                    transaction.rows(statement)
                transaction.rows(f"COMMENT ON SCHEMA rowcast IS '{version()}'")


class Budget:
    """The block of `Storage.budget`. A budget inside of a budget changes nothing."""

    __slots__ = ("_is_outer", "_local")

    def __init__(self, sessions: Sessions) -> None:
        self._local = sessions.local

    def __enter__(self) -> None:
        self._is_outer = not self._local.has_budget
        self._local.has_budget = True

    def __exit__(self, *raised: object) -> None:
        if self._is_outer:
            self._local.has_budget = False


def _without_secrets(conninfo: str) -> str:
    parts = urlsplit(conninfo)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def _pool(address: Address, size: int, reach: Reach) -> Pool:
    return Pool(
        address.conninfo,
        connection_class=Session,
        configure=partial(_configure, prepares=address.prepares),
        kwargs={**_options(address), "reach": reach},
        reconnect_timeout=RECONNECT_S,
        reconnect_failed=reach.failed,
        min_size=min(2, size),
        max_size=size,
        timeout=address.pool_timeout_s,
        max_idle=300,
        open=False,
        name="rowcast",
    )


def _configure(session: Session, *, prepares: bool) -> None:
    session.prepares = prepares


def _options(address: Address) -> dict[str, object]:
    return {
        "autocommit": True,
        "context": Context(),
        "cursor_factory": psycopg.RawCursor,
        "prepare_threshold": _PREPARE_AFTER if address.prepares else None,
        "application_name": "rowcast",
        "client_encoding": "UTF8",
    }


def _connect(address: Address) -> None:
    """See that the database answers: a pool would try again and again. Raises psycopg errors and StorageError."""
    with psycopg.connect(address.conninfo, autocommit=True) as connection:
        if connection.info.server_version < _OLDEST:
            raise StorageError("rowcast needs PostgreSQL 16 or newer")
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{address.schema}"')
