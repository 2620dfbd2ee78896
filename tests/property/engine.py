"""The realtime engine on a real data directory, without the edge: streams end in sinks that keep what they get.

On SQLite the bus gets changes from their writers, as in a process that is alone. On PostgreSQL it gets them from
the log, read by the follower, and they are told some time after their commit.
"""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Self

from rowcast.admin.collections import Collections
from rowcast.blobs import LocalBlobs
from rowcast.bus import CollectionChange, Event
from rowcast.bus.alone import Alone
from rowcast.bus.memory import MemoryBus
from rowcast.config import SettingsRef
from rowcast.realtime.changelog import ChangeLog, Retention
from rowcast.realtime.follower import Follower
from rowcast.realtime.hub import Hub
from rowcast.realtime.numbers import numbers_of
from rowcast.realtime.stream import Budget, Limits, Stream
from rowcast.records import Records
from rowcast.records.output import Output
from rowcast.rules import Rules
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Logged, Position, Record
from rowcast.sql import Reader, quote
from rowcast.storage.directory import open_directory
from rowcast.storage.freshness import Freshness
from rowcast.storage.settings_rows import load_settings

_WITHIN_S = 20.0


class Sink:
    """Takes everything at once."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> bool:
        self.data += data
        return True

    def has_room(self) -> bool:
        return True

    def pending(self) -> int:
        return 0

    def close(self, *, abort: bool) -> None:
        """Nothing to let go of: `Stream.closed` tells."""


class FollowedBus(MemoryBus):
    """Knows when its reader has done everything that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self._asked_for_more = asyncio.Event()

    async def receive(self) -> list[Event]:
        self._asked_for_more.set()
        return await super().receive()

    async def idle(self) -> None:
        """Wait until the reader has done everything. Called on the event loop."""
        while self.backlog:
            self._asked_for_more.clear()
            await self._asked_for_more.wait()


@cache
def _template() -> Path:
    path = Path(tempfile.mkdtemp(prefix="rowcast-engine-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    open_directory(path).close()
    return path


def record_ids(reader: Reader, name: str) -> list[str]:
    """Return the ids of the records of a collection, the oldest first."""
    table = quote(name)
    order = reader.dialect.row_number.format(table)
    return [str(row[0]) for row in reader.rows(f'SELECT "id" FROM {table} ORDER BY {order}')]


class Engine:
    """Everything behind the edge, tied together as `app` ties it. An async context manager."""

    def __init__(self, *, budget_s: float = 10.0, retention: Retention | None = None, database: str = "") -> None:
        self._path = Path(tempfile.mkdtemp(prefix="rowcast-engine-"))
        if not database:
            shutil.copytree(_template(), self._path, dirs_exist_ok=True)
        self.directory = open_directory(self._path, budget_s=budget_s, database=database)
        self.storage = storage = self.directory.data
        self.catalog = CatalogRef(self.directory.catalog, storage.dialect)
        self.bus = FollowedBus()
        numbers = numbers_of(storage)
        self.log = ChangeLog(storage, self.catalog, retention or Retention(), numbers)
        if not numbers.is_dense:
            self.log.settle()
        self.committed: list[Change] = []
        rules = Rules(self.catalog)
        output = Output(self.catalog, rules)
        self.hub = Hub(
            catalog=self.catalog,
            storage=storage,
            rules=rules,
            output=output,
            bus=self.bus,
            log=self.log,
            budget=Budget(),
            limits=Limits(),
        )
        settings = SettingsRef(self.directory.settings, self.directory.key)
        fresh = Freshness(
            storage,
            self.catalog,
            settings,
            load_settings=lambda reader: load_settings(reader, self.directory.key),
            on_change=lambda before, after: self.bus.publish((CollectionChange(before, after),)),
        )
        self.follower = None if numbers.is_dense else self._follower(fresh)
        storage.before_commit = (self.follower or self.log).record
        storage.publish = self._publish
        blobs = LocalBlobs(self.directory.files)
        self.records = Records(
            storage=storage,
            catalog=self.catalog,
            blobs=blobs,
            rules=rules,
            output=output,
            wants_before=self.hub.wants_before,
            wants_earlier=self.hub.wants_earlier,
        )
        self.collections = Collections(
            storage,
            self.catalog,
            settings,
            blobs=blobs,
            delete_record=self.records.delete_record,
            on_change=lambda change: self.bus.publish((change,)),
            refresh=fresh.refresh,
        )
        self.streams: dict[str, tuple[Stream, Sink]] = {}

    def _follower(self, fresh: Freshness) -> Follower:
        return Follower(
            storage=self.storage,
            log=self.log,
            bus=self.bus,
            link=Alone("alone"),
            fresh=fresh,
            wants_state=lambda collection: self.hub.wants_before(collection) or self.hub.wants_earlier(collection),
        )

    async def __aenter__(self) -> Self:
        runs = [self.hub.run(), *([self.follower.run()] if self.follower is not None else [])]
        self._tasks = [asyncio.ensure_future(run) for run in runs]
        # The follower can be asked for the present from its first step on.
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *raised: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.directory.close()
        shutil.rmtree(self._path, ignore_errors=True)

    def _publish(self, changes: list[Logged]) -> None:
        self.committed.extend(change for change in changes if isinstance(change, Change))
        if self.follower is not None:
            self.follower.publish(changes)
            return
        self.log.publish(changes)
        self.bus.publish(changes)

    def of(self, name: str) -> Collection:
        found = self.catalog.current.find(name)
        assert found is not None, name
        return found

    def find(self, collection: Collection, record_id: str) -> Record | None:
        with self.storage.read() as reader:
            return self.records.find(reader, collection, record_id)

    def ids(self, name: str) -> list[str]:
        with self.storage.read() as reader:
            return record_ids(reader, name)

    def connect(self, name: str, start: Position | None = None) -> None:
        sink = Sink()
        self.streams[name] = (self.hub.connect(sink, address="127.0.0.1", start=start), sink)

    def subscribe(self, name: str, topics: Sequence[str], account: Record | None) -> None:
        """Raises ForbiddenError where the stream is another account's."""
        stream, _ = self.streams[name]
        self.hub.subscribe(stream.id, topics, auth=account, address="127.0.0.1")

    async def settle(self) -> None:
        """Wait until the hub has delivered everything that is committed, and each stream has it."""
        async with asyncio.timeout(_WITHIN_S):
            if self.follower is not None:
                await self.follower.reach()
            await self.bus.idle()
        gives_up_at = time.monotonic() + _WITHIN_S
        while any(stream.catches_up or stream.queue for stream, _ in self.streams.values()):
            assert time.monotonic() < gives_up_at, "a stream does not catch up"
            await asyncio.sleep(0.0005)

    def received(self, name: str) -> list[Mapping[str, str]]:
        """Return the frames that a stream got since it was last asked, as their fields."""
        stream, sink = self.streams[name]
        assert stream.closed is None, f"{name} was closed as {stream.closed}"
        *frames, rest = bytes(sink.data).decode().split("\n\n")
        assert not rest, rest
        sink.data.clear()
        return [dict(line.split(":", 1) for line in frame.split("\n")) for frame in frames]
