"""What each part of the way of a change costs, without HTTP: log, bus, following, judging, sockets."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.wire import LoadError
from rowcast.bus import Link
from rowcast.bus.memory import MemoryBus
from rowcast.bus.redis import RedisLink
from rowcast.bus.redis_address import parse
from rowcast.bus.sockets import SocketLink
from rowcast.config import SettingsRef
from rowcast.realtime.changelog import ChangeLog, Retention
from rowcast.realtime.delivery import deliver
from rowcast.realtime.follower import Follower
from rowcast.realtime.numbers import numbers_of
from rowcast.realtime.stream import Stream
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.record import Change, Position, Record
from rowcast.schema.rows import new_record
from rowcast.storage import Transaction
from rowcast.storage.directory import open_directory
from rowcast.storage.freshness import Freshness
from tests import postgres
from tests.property.engine import Engine
from tests.redis_server import running_redis

_CHANGES = 50
_ROUNDS = 20
_HINTS = 500
_STREAMS = 1_000
_ACCOUNTS = 200
_MEMBERS = 100
_JUDGED = 100
_RULES = {
    "judge, an empty rule": "",
    "judge, owner = @request.auth.id": "owner = @request.auth.id",
    "judge, team = @request.auth.team": "team = @request.auth.team",
    f"judge, room.members.id ?= @request.auth.id, {_MEMBERS} members": "room.members.id ?= @request.auth.id",
}


def measured() -> Iterator[tuple[str, float]]:
    """Yield each part with its CPU in us."""
    yield from _log_and_following("SQLite", "")
    database = postgres.new_database()
    yield from _log_and_following("PostgreSQL", database)
    postgres.drop_database(database)
    yield from asyncio.run(_hints())
    for name, rule in _RULES.items():
        yield f"{name}, per change ({_ACCOUNTS} accounts)", asyncio.run(_judging(rule))
    yield "deliver, an event to a stream (queue, no socket)", asyncio.run(_delivery(is_real=False))
    yield "deliver, an event to a stream (socket, one write for each)", asyncio.run(_delivery(is_real=True))


class _Hearing:
    """A node without streams: what it follows goes to a bus that nobody judges."""

    def __init__(self, folder: Path, database: str) -> None:
        self.directory = open_directory(folder, database=database)
        self.storage = storage = self.directory.data
        self.catalog = CatalogRef(self.directory.catalog, storage.dialect)
        numbers = numbers_of(storage)
        self.log = ChangeLog(storage, self.catalog, Retention(), numbers)
        self.log.store()
        if not numbers.is_dense:
            self.log.settle()
        self.bus = MemoryBus()
        fresh = Freshness(
            storage,
            self.catalog,
            SettingsRef(self.directory.settings, self.directory.key),
            load_settings=lambda _: None,
            on_change=lambda _before, _after: None,
        )
        self.follower = Follower(
            storage=storage,
            log=self.log,
            bus=self.bus,
            link=_Silent(folder),
            fresh=fresh,
            wants_state=lambda _: False,
        )


class _Silent(SocketLink):
    """A link to others that are always there."""

    has_others = True

    def __init__(self, folder: Path) -> None:
        super().__init__("silent", folder)

    def hint(self) -> None:
        """Tell nobody."""


def _log_and_following(engine: str, database: str) -> Iterator[tuple[str, float]]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        writer = _Hearing(Path(folder) / "pb_data", database)
        stack.callback(writer.directory.close)
        hearer = _Hearing(Path(folder) / "pb_data", database)
        stack.callback(hearer.directory.close)
        hearer.follower.catch_up()
        users = writer.catalog.current.find("users")
        if users is None:
            raise LoadError("a new directory has no users")
        record = new_record(users)
        record.values |= {"id": "abcdefghijklmno", "name": "x" * 100, "email": "a@example.com"}
        for size in (1, _CHANGES):
            spent = _Spent(writer.log.record)
            writer.storage.before_commit = spent
            looks_s = 0.0
            for _ in range(_ROUNDS):
                with writer.storage.write() as tx:
                    tx.changes.extend([Change("create", record)] * size)
                began = time.process_time()
                hearer.follower.catch_up()
                looks_s += time.process_time() - began
            alone = "a change alone" if size == 1 else f"a change of {size} in a transaction"
            yield f"log on {engine}, {alone}", spent.cpu_s / _ROUNDS / size * 1e6
            yield f"follow on {engine}, {alone}", looks_s / _ROUNDS / size * 1e6


class _Spent:
    """What runs before a commit, with the CPU that it takes."""

    def __init__(self, call: Callable[[Transaction], None]) -> None:
        self._call, self.cpu_s = call, 0.0

    def __call__(self, tx: Transaction) -> None:
        began = time.process_time()
        self._call(tx)
        self.cpu_s += time.process_time() - began


async def _hints() -> list[tuple[str, float]]:
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder)) as server:
        address = parse(server.url("bench"))
        return [
            ("bus, a hint by sockets, told and heard", await _told([SocketLink(name, Path(folder)) for name in "ab"])),
            ("bus, a hint by Redis, told and heard", await _told([RedisLink(name, address) for name in "ab"])),
        ]


async def _told(links: list[Link]) -> float:
    heard = asyncio.Event()

    async def refuse(_: bytes) -> bytes:
        return b""

    for link in links:
        await link.open(heard.set, refuse)
    began = time.process_time()
    for _ in range(_HINTS):
        heard.clear()
        links[0].hint()
        await heard.wait()
    cpu_s = time.process_time() - began
    for link in links:
        await link.close()
    return cpu_s / _HINTS * 1e6


async def _judging(rule: str) -> float:
    async with Engine() as engine:
        accounts = people(engine, _ACCOUNTS)
        change = posts(engine, rule, accounts[:_MEMBERS])
        for number, account in enumerate(accounts):
            engine.connect(str(number))
            engine.subscribe(str(number), ["posts/*"], account)
        collection = change.record.collection
        began = time.process_time()
        for _ in range(_JUDGED):
            await engine.hub.judge.judge(change, engine.hub.index.addressees(collection, change.record.id))
        return (time.process_time() - began) / _JUDGED * 1e6


async def _delivery(*, is_real: bool) -> float:
    async with Engine() as engine:
        change = posts(engine, "", people(engine, 1))
        with ExitStack() as stack:
            for number in range(_STREAMS if not is_real else _STREAMS // 4):
                engine.connect(str(number))
                stream, _ = engine.streams[str(number)]
                if is_real:
                    stream.sink = stack.enter_context(Pair())
                engine.subscribe(str(number), ["posts/*"], None)
            collection = change.record.collection
            addressees = engine.hub.index.addressees(collection, change.record.id)
            deliveries = await engine.hub.judge.judge(change, addressees)
            pushed: list[Stream] = []

            def push(stream: Stream, frame: bytes) -> None:
                stream.push(frame)
                pushed.append(stream)

            began = time.process_time()
            for _ in range(_ROUNDS):
                deliver(change, deliveries, push, behind=Position(0, "x"))
                for stream in pushed:
                    stream.flush()
                pushed.clear()
            return (time.process_time() - began) / _ROUNDS / len(engine.streams) * 1e6


class Pair:
    """A sink over a pair of sockets, whose other end is emptied when it is full. A context manager."""

    def __enter__(self) -> Pair:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        return self

    def __exit__(self, *raised: object) -> None:
        self._near.close()
        self._far.close()

    def has_room(self) -> bool:
        """Whether there is room: always, since it is emptied."""
        return True

    def write(self, data: bytes) -> bool:
        """Send."""
        try:
            self._near.send(data)
        except BlockingIOError:
            self._far.recv(1 << 20)
            self._near.send(data)
        return True

    def pending(self) -> int:
        """Return 0: nothing waits here."""
        return 0

    def close(self, *, abort: bool) -> None:
        """Leave it to the block."""


def people(engine: Engine, count: int) -> list[Record]:
    """Make accounts, which are not stored: rules are asked about connected ones."""
    team = {"name": "team", "type": "text"}
    engine.collections.create({"name": "people", "type": "auth", "fields": [team]})
    accounts = []
    for number in range(count):
        record = new_record(engine.of("people"))
        record.values |= {"id": f"p{number:014d}", "team": f"t{number % 10}", "tokenKey": f"k{number}"}
        accounts.append(record)
    return accounts


def posts(engine: Engine, rule: str, members: list[Record]) -> Change:
    """Make posts that a rule guards and a room of these members; return a change of a post in it."""
    relation = {"type": "relation", "collectionId": engine.of("people").id}
    engine.collections.create(
        {"name": "rooms", "type": "base", "fields": [{**relation, "name": "members", "maxSelect": 100_000}]}
    )
    fields = [
        {"name": "title", "type": "text"},
        {"name": "team", "type": "text"},
        {**relation, "name": "owner", "maxSelect": 1},
        {"name": "room", "type": "relation", "collectionId": engine.of("rooms").id, "maxSelect": 1},
    ]
    engine.collections.create({"name": "posts", "type": "base", "listRule": rule, "viewRule": rule, "fields": fields})
    room = new_record(engine.of("rooms"))
    room.values |= {"id": "r00000000000000", "members": [member.id for member in members]}
    with engine.storage.write() as tx:
        if members:
            tx.run_many(
                "INSERT INTO people (id, email, tokenKey, team) VALUES (?, ?, ?, ?)",
                [(each.id, f"{each.id}@example.com", each.text("tokenKey"), each.text("team")) for each in members],
            )
        engine.records.save(tx, room, validate=False)
    post = new_record(engine.of("posts"))
    owner = members[0].id if members else ""
    post.values |= {"id": "a00000000000000", "title": "x" * 100, "team": "t1", "owner": owner, "room": room.id}
    return Change("create", post, position=Position(1, "x"))
