"""The realtime engine on a real data directory, without the edge: streams end in sinks that keep what they get."""

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
from rowcast.bus import Event
from rowcast.bus.memory import MemoryBus
from rowcast.config import SettingsRef
from rowcast.realtime.changelog import ChangeLog, Retention
from rowcast.realtime.hub import Hub
from rowcast.realtime.stream import Budget, Limits, Stream
from rowcast.records import Records
from rowcast.records.output import Output
from rowcast.rules import Rules
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Logged, Position, Record
from rowcast.storage.directory import open_directory

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
        self.is_idle = asyncio.Event()

    def publish(self, events: Sequence[Event]) -> None:
        self.is_idle.clear()
        super().publish(events)

    async def receive(self) -> list[Event]:
        if not self._queue:
            self.is_idle.set()
        return await super().receive()


@cache
def _template() -> Path:
    path = Path(tempfile.mkdtemp(prefix="rowcast-engine-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    open_directory(path).close()
    return path


class Engine:
    """Everything behind the edge, tied together as `app` ties it. An async context manager."""

    def __init__(self, *, budget_s: float = 10.0, retention: Retention | None = None, database: str = "") -> None:
        self._path = Path(tempfile.mkdtemp(prefix="rowcast-engine-"))
        shutil.copytree(_template(), self._path, dirs_exist_ok=True)
        self.directory = open_directory(self._path, budget_s=budget_s, database=database)
        self.storage = storage = self.directory.data
        self.catalog = CatalogRef(self.directory.catalog, storage.dialect)
        self.bus = FollowedBus()
        self.log = ChangeLog(storage, self.catalog, retention or Retention())
        self.committed: list[Change] = []
        storage.before_commit = self.log.record
        storage.publish = self._publish
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
            SettingsRef(self.directory.settings),
            blobs=blobs,
            delete_record=self.records.delete_record,
            on_change=lambda change: self.bus.publish((change,)),
        )
        self.streams: dict[str, tuple[Stream, Sink]] = {}

    async def __aenter__(self) -> Self:
        self._task = asyncio.ensure_future(self.hub.run())
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.directory.close()
        shutil.rmtree(self._path, ignore_errors=True)

    def _publish(self, changes: list[Logged]) -> None:
        self.log.publish(changes)
        self.committed.extend(change for change in changes if isinstance(change, Change))
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
            return [str(row[0]) for row in reader.rows(f'SELECT "id" FROM "{self.of(name).name}" ORDER BY rowid')]

    def connect(self, name: str, start: Position | None = None) -> None:
        sink = Sink()
        self.streams[name] = (self.hub.connect(sink, address="127.0.0.1", start=start), sink)

    def subscribe(self, name: str, topics: Sequence[str], account: Record | None) -> None:
        """Raises ForbiddenError where the stream is another account's."""
        stream, _ = self.streams[name]
        self.hub.subscribe(stream.id, topics, auth=account, address="127.0.0.1")

    async def settle(self) -> None:
        """Wait until the hub has delivered everything that is committed, and each stream has it."""
        await asyncio.wait_for(self.bus.is_idle.wait(), _WITHIN_S)
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
