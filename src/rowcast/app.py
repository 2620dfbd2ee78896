"""The composition root: opens a data directory and ties every part to every other.

The only module that knows all parts; none of them knows it. What `App` opens in
`start` it closes in `stop`, in the opposite order.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from rowcast import credentials
from rowcast.admin.activity import ActivityLog
from rowcast.admin.collections import Collections
from rowcast.api.batch import BatchApi
from rowcast.api.collections import CollectionsApi
from rowcast.api.cors import Cors
from rowcast.api.health import Health
from rowcast.api.limits import RateLimits
from rowcast.api.matcher import Matcher
from rowcast.api.pipeline import Pipeline
from rowcast.api.public import PublicFiles
from rowcast.api.realtime import Realtime
from rowcast.api.records import RecordsApi
from rowcast.api.request import Receive, Scope, Send
from rowcast.api.routes import table
from rowcast.api.work import Work
from rowcast.blobs import LocalBlobs
from rowcast.bus.memory import MemoryBus
from rowcast.config import Config, SettingsRef
from rowcast.errors import RowcastError
from rowcast.realtime.hub import Hub
from rowcast.realtime.stream import Budget
from rowcast.records import Records
from rowcast.records.batch import Batch
from rowcast.records.output import Output
from rowcast.rules import Rules
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.record import Record
from rowcast.storage.directory import DataDir, open_directory


class App:
    """An ASGI application that serves one data directory.

    Serve it on its own, or mount it under a path of a Starlette or FastAPI
    application. A server that speaks the lifespan protocol starts and stops it;
    mounted applications get no lifespan events, so there the first request starts
    it, and the host may call `start` and `stop` in a lifespan of its own.

    `config` holds the settings of the process; `data_dir` replaces the one in it.
    """

    def __init__(self, data_dir: str | Path | None = None, *, config: Config | None = None) -> None:
        config = config or Config()
        if data_dir is not None:
            config = msgspec.structs.replace(config, data_dir=str(data_dir))
        self.config = config
        self._running: _Running | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind == "http":
            running = self._running or self._start()
            await running.pipeline(scope, receive, send)
        elif kind == "lifespan":
            await self._live(receive, send)
        else:
            # Only WebSocket is left, which PocketBase clients do not use.
            await send({"type": "websocket.close", "code": 1000})

    async def start(self) -> None:
        """Open the data directory. Raises DataDirError."""
        if self._running is None:
            self._start()

    async def stop(self) -> None:
        """End the streams, finish what is under way and close the data directory."""
        running, self._running = self._running, None
        if running is not None:
            await running.stop()

    def has_superuser(self) -> bool:
        """Whether somebody can manage the started application; the reference's installer does not count."""
        if self._running is None:
            return False
        with self._running.directory.data.read() as reader:
            found = reader.row('SELECT 1 FROM "_superusers" WHERE "email" != ? LIMIT 1', ["__pbinstaller@example.com"])
        return found is not None

    def end_streams(self) -> None:
        """End all realtime streams, so that a server that waits for its connections can stop."""
        if self._running is not None:
            self._running.hub.close()

    def _start(self) -> _Running:
        self._running = _compose(self.config)
        return self._running

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except RowcastError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})


@dataclass(frozen=True, slots=True)
class _Running:
    """What lives between start and stop."""

    directory: DataDir
    settings: SettingsRef
    pipeline: Pipeline
    hub: Hub
    work: Work
    tasks: tuple[asyncio.Task[None], ...]

    async def stop(self) -> None:
        self.hub.close()
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await asyncio.to_thread(self.work.close)
        await asyncio.to_thread(self.directory.close)


def _compose(config: Config) -> _Running:
    directory = open_directory(
        config.data_dir,
        budget_s=config.loop_budget_s,
        allow_unknown_migrations=config.allow_unknown_migrations,
    )
    storage = directory.data
    catalog, settings = CatalogRef(directory.catalog), SettingsRef(directory.settings)
    bus = MemoryBus()
    storage.publish = bus.publish
    rules = Rules(catalog)
    output = Output(catalog, rules)
    hub = Hub(
        catalog=catalog,
        storage=storage,
        rules=rules,
        output=output,
        bus=bus,
        budget=Budget(config.stream_max_bytes, config.stream_max_frames),
        heartbeat_s=config.heartbeat_s,
    )
    activity = ActivityLog(directory.auxiliary, settings)
    work = Work(storage)

    blobs = LocalBlobs(directory.files)
    records = Records(
        storage=storage, catalog=catalog, blobs=blobs, rules=rules, output=output, wants_before=hub.wants_before
    )
    collections = Collections(
        storage,
        catalog,
        settings,
        blobs=blobs,
        delete_record=records.delete_record,
        on_change=lambda change: bus.publish((change,)),
    )

    def by_token(token: str) -> Record | None:
        claims = credentials.read_claims(token)
        collection = catalog.current.find(claims.collection_id) if claims else None
        if claims is None or collection is None or collection.auth is None or claims.type != "auth":
            return None
        with storage.read() as reader:
            record = records.find(reader, collection, claims.id)
        if record is None or not claims.is_current(time.time()):
            return None
        key = record.text("tokenKey") + collection.auth.auth_token.secret
        return record if credentials.is_signed(token, key) else None

    async def authenticate(token: str) -> Record | None:
        return await work.quick(lambda: by_token(token))

    routes = table(
        health=Health(settings),
        collections=CollectionsApi(work, collections),
        records=RecordsApi(work, records),
        batch=BatchApi(
            work,
            Batch(storage, catalog, records),
            settings,
            lambda *checked: pipeline.check_limit(*checked),  # noqa: PLW0108 - made below
        ),
        realtime=Realtime(hub, authenticate),
    )

    pipeline = Pipeline(
        routes=Matcher(routes),
        fallback=PublicFiles(config.public_dir, index_fallback=config.index_fallback).serve,
        authenticate=authenticate,
        catalog=catalog,
        settings=settings,
        limits=RateLimits(settings),
        cors=Cors(config.origins),
        activity=activity,
    )
    tasks = tuple(asyncio.ensure_future(task) for task in (hub.run(), hub.beat(), activity.run()))
    return _Running(directory, settings, pipeline, hub, work, tasks)
