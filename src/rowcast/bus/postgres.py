"""The link between the nodes that one PostgreSQL database connects: LISTEN and NOTIFY, and a table for what is long.

A node has two connections: one listens, on a channel for the hints of all and on one of its own; the other one
says and reads everything else. Questions and answers are rows of an unlogged table, so that they may be
long, and that only those who may read tables of the database read them; a notification says that there is one.
Hints leave at a bounded pace, and never in the transaction of a change: PostgreSQL lets one transaction with
a notification commit at a time. Who is there is known by the names of the connections.

The log of changes is the truth. While a node has no connection it follows the log without hints, and
is asked nothing. What goes wrong ends both connections, and new ones are made. Each node notifies itself with each
beat: a pooler that lends connections for a transaction lets nobody hear, and a connection may be dead. Behind
such a pooler the processes of one machine have their sockets, and the others follow the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import AsyncConnection, sql

from rowcast.bus import Answer, Link, LinkCounts
from rowcast.bus.hints import Hints
from rowcast.bus.questions import ANSWER_S, NODE, Questions

_log = logging.getLogger("rowcast.bus")

_BEAT_S = 1.0
_SILENT_S = 4.0
"""How often a node notifies itself, and how long it may hear nothing."""

_OPEN_S = 5.0
_POOLER_BEATS = 3
"""How long a start waits for the first connection, and after how many beats that nobody hears it gives up to listen."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_HINT_PAUSE_S = 0.005
"""How soon a hint may follow another."""

_REMEMBER_S = 30.0
"""How long others count as there after the last one was seen: one may have lost its connections and still commit."""

_KEPT_S = 60
_SWEEP_BEATS = 10
"""How old a message may become that nobody fetches, and how often such are looked for."""

_TABLE = "_rowcast_mail"
_CREATE_LOCK = 7_240_034
_OPTIONS = {
    "connect_timeout": 5,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
    "client_encoding": "UTF8",
}
_PEER = "SET tcp_keepalives_idle TO 3; SET tcp_keepalives_interval TO 1; SET tcp_keepalives_count TO 3"
"""A node whose machine is gone is forgotten as fast as one that has died."""

_FAILURES = (psycopg.Error, OSError)  # TimeoutError of Python is an OSError

# It would tell of each query that `Connection` drops.
logging.getLogger("psycopg").setLevel(logging.ERROR)


class Connection(AsyncConnection[tuple[Any, ...]]):
    """A connection that is closed when nobody waits for its answer any more: a frozen server ends no query."""

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:  # noqa: ARG002, ASYNC109 - as psycopg calls it
        """Close it, instead of asking the server for five seconds, and then for five more."""
        await self.close()

    async def close(self) -> None:
        """Close it, also under a task that waits for it: that gets an error soon.

        Nobody may poll a socket that is closed: uvloop ends the process then.
        """
        with contextlib.suppress(psycopg.Error):
            loop, socket = asyncio.get_running_loop(), self.fileno()
            loop.remove_reader(socket)
            loop.remove_writer(socket)
        await super().close()


def listens(url: str) -> bool:
    """Whether nodes on a database may listen there: `listen=off` in its URL says no."""
    return dict(parse_qsl(urlsplit(url).query)).get("listen") != "off"


def _split(url: str) -> tuple[str, str]:
    """Return what libpq gets of a URL, and the schema; what libpq does not know is for the storage."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    query = urlencode({name: value for name, value in options.items() if name in known})
    return urlunsplit(parts._replace(query=query)), options.get("schema", "public")


class PostgresLink:
    """Connects the nodes on one schema of a database. Owned by the event loop, save for `hint` and `has_others`.

    `stand_in` is the link to the processes of this machine, used where nobody can listen.
    """

    def __init__(self, name: str, url: str, stand_in: Link) -> None:
        self.name = name
        self.counts = LinkCounts("postgresql")
        self._conninfo, self._schema = _split(url)
        self._where = urlsplit(self._conninfo).netloc.rpartition("@")[2] or "the local server"
        # Channels belong to a database and know no schemas.
        self._space = f"rowcast_{hashlib.sha256(self._schema.encode()).hexdigest()[:8]}"
        self._table = sql.Identifier(self._schema, _TABLE)
        self._stand_in = stand_in
        self._is_pooled = False
        self._is_open = False
        self._says: Connection | None = None
        self._is_down = False
        self._has_tried = asyncio.Event()
        self._outgoing = Hints()
        self._mailed = asyncio.Event()
        self._others: frozenset[str] = frozenset()
        self._seen_until = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._questions = Questions(self.counts, self._mail)

    @property
    def has_others(self) -> bool:
        """Whether other nodes are there, were just now, or can't be known."""
        return self._says is None or bool(self._others) or time.monotonic() < self._seen_until

    async def open(self, on_hint: Callable[[], None], answer: Answer) -> None:
        """Begin to listen; return when notifications arrive, or when they do not."""
        self._is_open = True
        self._outgoing.open()
        self._tasks = [
            asyncio.create_task(self._stay_connected(on_hint)),
            asyncio.create_task(self._pass_hints_on()),
            asyncio.create_task(self._fetch_mail(answer)),
        ]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._has_tried.wait(), _OPEN_S)
        if self._is_pooled:
            await self._stand_in.open(on_hint, answer)

    def hint(self) -> None:
        """Tell the others that the log has grown. Many calls become one notification."""
        if self._is_pooled:
            self._stand_in.hint()
        self._outgoing.give()

    async def ask(self, node: str, question: bytes) -> bytes | None:
        """Return what another node answers, None where it is gone, too slow, or the database is away."""
        if self._is_pooled:
            return await self._stand_in.ask(node, question)
        answer = await self._questions.ask(node, question) if await self._is_there(node) else None
        self.counts.asked += 1
        self.counts.unanswered += answer is None
        return answer

    async def nodes(self) -> list[str]:
        """Return the names of the other nodes; none while the database is away."""
        if self._is_pooled:
            return await self._stand_in.nodes()
        if self._says is None:
            return []
        try:
            await self._look(self._says)
        except _FAILURES:
            return []
        return sorted(self._others)

    async def close(self) -> None:
        """Stop to listen, and have this node forgotten."""
        self._is_open = False
        self._outgoing.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._questions.close()
        if self._is_pooled:
            await self._stand_in.close()

    async def _is_there(self, node: str) -> bool:
        return bool(NODE.fullmatch(node)) and node in await self.nodes()

    async def _stay_connected(self, on_hint: Callable[[], None]) -> None:
        pause = _FIRST_PAUSE_S
        while self._is_open and not self._is_pooled:
            try:
                async with self._connected() as hears, self._connected() as says:
                    await self._live(hears, says, on_hint)
            except Exception as error:  # noqa: BLE001 - whatever goes wrong, the next connections may be good
                if not self._is_open:
                    return
                if self._says is not None:
                    pause = _FIRST_PAUSE_S
                self._end(error)
                # Many nodes that lost one server do not come back all at once.
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - spreads, hides nothing
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        options = {**_OPTIONS, "application_name": "rowcast link", "autocommit": True, "prepare_threshold": None}
        async with asyncio.timeout(_OPEN_S):
            connection = await Connection.connect(self._conninfo, **options)  # type: ignore[arg-type]
        try:
            yield connection
        finally:
            await connection.close()

    async def _live(self, hears: Connection, says: Connection, on_hint: Callable[[], None]) -> None:
        """Listen until something goes wrong, this node leaves, or nothing can be heard at all."""
        await self._prepare(says)
        await hears.execute(_PEER)
        for channel in (self._space, self._inbox(self.name)):
            await hears.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        try:
            await self._listen(hears, says, on_hint)
        finally:
            if self._says is not None:
                with contextlib.suppress(*_FAILURES):
                    async with asyncio.timeout(_BEAT_S):
                        # What the end of the connection would do a moment later.
                        await hears.execute("SET application_name TO 'rowcast link'")
                        await self._notify(says, self._space, "")
            if not self._is_open:
                self._says = None

    async def _listen(self, hears: Connection, says: Connection, on_hint: Callable[[], None]) -> None:
        now = asyncio.get_running_loop().time
        began = beat_at = now()
        heard_at: float | None = None
        beats = 0
        while self._is_open:
            if now() >= beat_at:
                await self._beat(says, sweeps=beats % _SWEEP_BEATS == 0)
                beats, beat_at = beats + 1, now() + _BEAT_S
            # Not left before its end: it may hold more than it has given.
            async for note in hears.notifies(
                timeout=max(beat_at - now(), 0.01), stop_after=1 if self._says is None else None
            ):
                heard_at = now()
                await self._hear(note, says, on_hint)
            if self._says is None and heard_at is not None:
                await self._begin(hears, says)
                if self.counts.connects > 1:
                    on_hint()
            elif self._says is None and not self._is_down and beats > _POOLER_BEATS:
                self._do_without()
                return
            if now() - (heard_at or began) > _SILENT_S:
                raise TimeoutError(f"nothing heard for {_SILENT_S:g} s")

    async def _hear(self, note: psycopg.Notify, says: Connection, on_hint: Callable[[], None]) -> None:
        if note.channel != self._space:
            self._mailed.set()
        elif note.payload != self.name:
            self.counts.hints_heard += 1
            if note.payload not in self._others:
                await self._look(says)
            on_hint()

    async def _beat(self, says: Connection, *, sweeps: bool) -> None:
        async with asyncio.timeout(_SILENT_S):
            await self._notify(says, self._inbox(self.name), "")
            await self._look(says)
            if sweeps:
                old = sql.SQL("DELETE FROM {} WHERE at < clock_timestamp() - make_interval(secs => %s)")
                await says.execute(old.format(self._table), [_KEPT_S])

    async def _begin(self, hears: Connection, says: Connection) -> None:
        """Use connections that hear everything from now on."""
        if self._is_down:
            _log.info("listening at %s again", self._where)
        await hears.execute("SELECT set_config('application_name', %s, false)", [self._shown(self.name)])
        await self._look(says)
        self._says, self._is_down = says, False
        self.counts.is_connected = True
        self.counts.connects += 1
        self._has_tried.set()
        # What was committed while nobody could be told; and it tells of this node.
        self._outgoing.wake()

    def _end(self, error: Exception) -> None:
        """Do without a connection; those who wait for an answer wait no longer."""
        if not self._is_down:
            text = str(error).strip() or type(error).__name__
            _log.warning("can't listen at %s, nodes are followed without hints: %s", self._where, text)
        self._says, self._is_down = None, True
        self.counts.is_connected = False
        self._has_tried.set()
        self._questions.give_up()

    def _do_without(self) -> None:
        """Use the sockets of this machine for good: what is notified does not arrive, so a pooler is in between."""
        _log.warning(
            "notifications from %s do not arrive, a pooler may be in between: name a direct address with --bus,"
            " or add listen=off to that of the database; nodes of other machines are followed without hints",
            self._where,
        )
        # Who reads the counts has those of this link.
        self.counts.kind, self._stand_in.counts = self._stand_in.counts.kind, self.counts
        self._is_pooled = True
        self._has_tried.set()

    async def _prepare(self, says: Connection) -> None:
        """Make the table for messages if it is not there."""
        found = await says.execute("SELECT to_regclass(%s)", [self._table.as_string(says)])
        if await found.fetchone() != (None,):
            return
        create = sql.SQL(
            "CREATE UNLOGGED TABLE IF NOT EXISTS {}"
            " (node text, kind text, number text, sender text, body bytea, at timestamptz)"
        )
        async with says.transaction():
            await says.execute("SELECT pg_advisory_xact_lock(%s)", [_CREATE_LOCK])
            await says.execute(create.format(self._table))

    async def _look(self, says: Connection) -> None:
        """See who is there."""
        found = await says.execute(
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
            " AND starts_with(application_name, %s)",
            [self._shown("")],
        )
        names = {row[0].removeprefix(self._shown("")) for row in await found.fetchall()}
        self._others = frozenset(name for name in names if name != self.name and NODE.fullmatch(name))
        if self._others:
            self._seen_until = time.monotonic() + _REMEMBER_S

    async def _pass_hints_on(self) -> None:
        while self._is_open:
            await self._outgoing.wait()
            if self._says is not None:
                with contextlib.suppress(*_FAILURES):
                    await self._notify(self._says, self._space, self.name)
                    self.counts.hints_sent += 1
            await asyncio.sleep(_HINT_PAUSE_S)

    async def _mail(self, node: str, kind: str, number: str, body: bytes) -> bool:
        """Put a message down for a node and tell it; False while the database is away."""
        says = self._says
        if says is None:
            return False
        put = sql.SQL(
            "WITH mail AS (INSERT INTO {} VALUES (%s, %s, %s, %s, %b, clock_timestamp()) RETURNING node)"
            " SELECT pg_notify(%s, '') FROM mail"
        )
        try:
            await says.execute(put.format(self._table), [node, kind, number, self.name, body, self._inbox(node)])
        except _FAILURES:
            return False
        return True

    async def _fetch_mail(self, answer: Answer) -> None:
        fetch = sql.SQL(
            "DELETE FROM {} WHERE node = %s"
            " RETURNING kind, number, sender, body, at > clock_timestamp() - make_interval(secs => %s)"
        )
        while self._is_open:
            await self._mailed.wait()
            self._mailed.clear()
            if self._says is None:
                continue
            try:
                cursor = self._says.cursor(binary=True)
                await cursor.execute(fetch.format(self._table), [self.name, ANSWER_S])
                for kind, number, sender, body, is_fresh in await cursor.fetchall():
                    if is_fresh:
                        self._questions.take(sender, kind, number, body, answer)
            except _FAILURES:
                continue

    @staticmethod
    async def _notify(says: Connection, channel: str, payload: str) -> None:
        await says.execute("SELECT pg_notify(%s, %s)", [channel, payload])

    def _inbox(self, node: str) -> str:
        return f"{self._space}_{node}"

    def _shown(self, node: str) -> str:
        return f"{self._space}/{node}"
