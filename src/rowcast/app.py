"""The composition root: opens a data directory and ties every part to every other.

The only module that knows all parts; none of them knows it. What `App` opens in
`start` it closes in `stop`, in the opposite order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from rowcast.admin.activity import ActivityLog
from rowcast.admin.collections import Collections
from rowcast.admin.crons import CronRunner, Crons
from rowcast.admin.logs import Logs
from rowcast.admin.settings import SettingsDesk
from rowcast.admin.sql_desk import SqlDesk
from rowcast.admin.system_jobs import add_system_jobs
from rowcast.api.auth import AuthApi
from rowcast.api.backups import BackupsApi
from rowcast.api.batch import BatchApi
from rowcast.api.calls import Calls
from rowcast.api.collections import CollectionsApi
from rowcast.api.cors import Cors
from rowcast.api.crons import CronsApi
from rowcast.api.files import FilesApi
from rowcast.api.health import Health
from rowcast.api.limits import RateLimits
from rowcast.api.logs import LogsApi
from rowcast.api.matcher import Matcher
from rowcast.api.oauth2 import OAuth2Api
from rowcast.api.operators import Operators
from rowcast.api.pipeline import Pipeline
from rowcast.api.public import PublicFiles
from rowcast.api.realtime import Realtime
from rowcast.api.records import RecordsApi
from rowcast.api.request import Receive, Scope, Send
from rowcast.api.route import Route
from rowcast.api.routes import table
from rowcast.api.settings import SettingsApi
from rowcast.api.sql import SqlApi
from rowcast.api.work import Work
from rowcast.auth import Accounts
from rowcast.auth.sample_mails import SampleMails
from rowcast.backups import ArchiveError, Backups
from rowcast.backups.auto import AutoBackup
from rowcast.backups.reopening import begin_restore, exchange
from rowcast.blobs import LocalBlobs
from rowcast.blobs.configured import ConfiguredBlobs
from rowcast.blobs.spool import Spool
from rowcast.bus import CollectionChange
from rowcast.bus.memory import MemoryBus
from rowcast.bus.sockets import link_of
from rowcast.config import Config, SettingsRef
from rowcast.credentials import TokenKind
from rowcast.errors import RowcastError
from rowcast.mail.configured import ConfiguredMailer
from rowcast.mail.outbox import Outbox
from rowcast.measuring import Measuring
from rowcast.pictures.workshop import Workshop
from rowcast.realtime.changelog import ChangeLog, Retention
from rowcast.realtime.follower import Follower
from rowcast.realtime.hub import Hub
from rowcast.realtime.membership import Membership
from rowcast.realtime.nodes import Nodes
from rowcast.realtime.stream import Budget, Limits, new_node
from rowcast.records import Records
from rowcast.records.batch import Batch
from rowcast.records.files import Files
from rowcast.records.output import Output
from rowcast.records.thumbs import Thumbs
from rowcast.rules import Rules
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.record import Record
from rowcast.storage.directory import DataDir, Opening, open_inside, open_with
from rowcast.storage.freshness import Freshness
from rowcast.storage.settings_rows import load_settings
from rowcast.storage.swap import Swap

_CALLS_S = 10.0
"""How long a restore waits for the requests that are under way."""


class App:
    """An ASGI application that serves one data directory.

    Serve it on its own, or mount it under a path of a Starlette or FastAPI
    application. A server that speaks the lifespan protocol starts and stops it;
    mounted applications get no lifespan events, so there the first request starts
    it, and the host may call `start` and `stop` in a lifespan of its own.

    `config` holds the settings of the process; `data_dir` replaces the one in it.
    `crons` takes jobs at any time; they run while the application is started.
    """

    def __init__(self, data_dir: str | Path | None = None, *, config: Config | None = None) -> None:
        config = config or Config()
        if data_dir is not None:
            config = msgspec.structs.replace(config, data_dir=str(data_dir))
        self.config = config
        self.crons = Crons()
        self._opening = Opening(
            config.loop_budget_s, config.query_timeout_s, config.allow_unknown_migrations, config.encryption_env
        )
        self._running: _Running | None = None
        self._is_stopped = False
        self._reopened: asyncio.Event | None = None
        self._restore: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind == "http":
            running = self._running or await self._next_running()
            with running.calls:
                await running.pipeline(scope, receive, send)
        elif kind == "lifespan":
            await self._live(receive, send)
        else:
            # Only WebSocket is left, which PocketBase clients do not use.
            await send({"type": "websocket.close", "code": 1000})

    async def start(self) -> None:
        """Open the data directory. Raises DataDirError."""
        self._is_stopped = False
        running = self._running or self._start()
        await running.joining

    async def stop(self) -> None:
        """End the streams, finish what is under way and close the data directory."""
        self._is_stopped = True
        if self._restore is not None and not self._restore.done():
            if self._running is not None:
                self._running.backups.cancel()
            await self._restore
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

    @property
    def realtime(self) -> Hub:
        """The realtime hub of a started application, for `publish`; to be used on its event loop."""
        return (self._running or self._start()).hub

    async def drain(self) -> None:
        """End all realtime streams, many ones spread over some seconds, and refuse new ones.

        Sign-ins that wait for another service end at once.
        """
        if self._running is not None:
            self._running.accounts.stop()
            await self._running.hub.drain(self.config.drain_s)

    def end_streams(self) -> None:
        """End all realtime streams, so that a server that waits for its connections can stop."""
        if self._running is not None:
            self._running.accounts.stop()
            self._running.hub.close()

    def _start(self) -> _Running:
        if self._reopened is not None:
            raise RuntimeError("the application is being restored")
        directory = open_with(Path(self.config.data_dir), self._opening)
        return self._run(directory)

    def _run(self, directory: DataDir) -> _Running:
        try:
            self._running = _Running(self.config, directory, self.crons, self._begin_restore)
        except BaseException:
            (directory.close if self._reopened is None else directory.close_databases)()
            raise
        return self._running

    async def _next_running(self) -> _Running:
        """Wait for a restore under way, or start."""
        if self._reopened is not None:
            await self._reopened.wait()
        if self._running is None and self._is_stopped:
            # A late request must not open what was just closed.
            raise RuntimeError("the application is stopped")
        running = self._running or self._start()
        await running.joining
        return running

    def _begin_restore(self, key: str) -> None:
        """Begin to go back to the state of a backup. Raises BadRequestError."""
        running = self._running or self._start()
        self._restore = begin_restore(running.backups, running.directory, key, self._exchange, self._opening)

    async def _exchange(self, swap: Swap) -> None:
        """Stop, have the states exchanged and start again; requests wait meanwhile. Raises ArchiveError."""
        running, self._running = self._running, None
        if running is None:
            raise ArchiveError("the application is stopped")
        self._reopened = asyncio.Event()
        occupancy = running.directory.occupancy
        try:
            await running.stop(leaves=False, patience_s=_CALLS_S)
            await exchange(swap, lambda: self._run(open_inside(occupancy, self._opening)))
        finally:
            if self._running is None:
                occupancy.leave()
            self._reopened.set()
            self._reopened = None

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


class _Running:
    """Everything that lives between start and stop. Made on the event loop."""

    def __init__(self, config: Config, directory: DataDir, crons: Crons, begin_restore: Callable[[str], None]) -> None:
        storage = directory.data
        self.calls = Calls()
        self.begin_restore = begin_restore
        self.directory, self.crons = directory, crons
        self.measuring = Measuring(config)
        self.catalog, self.settings = CatalogRef(directory.catalog), SettingsRef(directory.settings, directory.key)
        self.bus = bus = MemoryBus()
        link = link_of(directory.path, new_node())
        log = ChangeLog(storage, self.catalog, Retention(config.log_max_changes, config.log_max_age_s))
        storage.before_commit = log.record
        self.blobs = blobs = ConfiguredBlobs(self.settings, LocalBlobs(directory.files, directory.held))
        self.spool = Spool(directory.path)
        self.spool.sweep()
        self.thumbs = Thumbs(blobs, self.spool, Workshop())
        self.rules = rules = Rules(self.catalog)
        output = Output(self.catalog, rules)
        self.hub = Hub(
            catalog=self.catalog,
            storage=storage,
            rules=rules,
            output=output,
            bus=bus,
            log=log,
            budget=Budget(config.stream_max_bytes, config.stream_max_frames, config.stream_max_age_s),
            limits=Limits(config.stream_max_total, config.stream_max_per_address),
            node=link.name,
            is_shared=lambda: link.has_others,
            heartbeat_s=config.heartbeat_s,
            tally=self.measuring.tally,
        )
        fresh = Freshness(
            storage,
            self.catalog,
            self.settings,
            load_settings=lambda reader: load_settings(reader, directory.key),
            on_change=lambda before, after: bus.publish((CollectionChange(before, after),)),
        )
        follower = Follower(
            storage=storage,
            log=log,
            bus=bus,
            link=link,
            refresh=fresh.refresh,
            wants_state=lambda collection: self.hub.wants_before(collection) or self.hub.wants_earlier(collection),
        )
        storage.publish = self.measuring.publishing(follower.publish)
        self.nodes = Nodes(self.hub, link, self._authenticate)
        self.membership = Membership(link, follower, self.nodes, fresh)
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
            self.settings,
            blobs=blobs,
            delete_record=self.records.delete_record,
            on_change=self._announce,
        )
        self.mailer = ConfiguredMailer(self.settings)
        self.outbox = Outbox(self.mailer)
        self.accounts = Accounts(
            storage=storage,
            catalog=self.catalog,
            settings=self.settings,
            records=self.records,
            rules=rules,
            outbox=self.outbox,
            avatar_hosts=config.avatar_hosts,
        )
        self.activity = ActivityLog(directory.auxiliary, self.settings, max_rows=config.activity_max_rows)
        self.work, self.log_work = Work(storage), Work(directory.auxiliary)
        add_system_jobs(
            crons,
            optimize=directory.optimize,
            activity=self.activity,
            delete_expired_mfas=self.accounts.delete_expired_mfas,
            delete_expired_otps=self.accounts.delete_expired_otps,
        )
        self.measuring.watch(directory, self.hub, self.work, self.log_work, self.activity)
        self.backups = Backups(directory, self.settings)
        AutoBackup(self.backups, storage, self.settings, self.outbox.send, crons)
        self.pipeline = self.measuring.serving(self._pipeline(config))
        self.joining = asyncio.ensure_future(self.membership.join())
        followed = self.membership.run(self.joining)
        runs = (self.hub.run(), self.hub.beat(), self.activity.run(), CronRunner(crons, storage).run(), followed)
        self._tasks = [asyncio.ensure_future(task) for task in (*runs, *self.measuring.runs())]

    def _pipeline(self, config: Config) -> Pipeline:
        limits = RateLimits(self.settings)
        public = PublicFiles(config.public_dir, index_fallback=config.index_fallback)
        storage = self.directory.data
        batch = Batch(storage, self.catalog, self.records)
        files = Files(storage, self.catalog, self.rules)
        routes = table(
            health=Health(self.settings, lambda: self.hub.is_stopping),
            collections=CollectionsApi(self.work, self.collections),
            records=RecordsApi(self.work, self.records, self.hub.log, limits),
            batch=BatchApi(self.work, batch, self.settings, limits),
            auth=AuthApi(self.work, self.accounts),
            oauth2=OAuth2Api(self.work, self.accounts, self.nodes),
            files=FilesApi(self.work, files, self.thumbs, self.blobs, self.accounts, self._file_account, self.settings),
            realtime=Realtime(self.hub, self.nodes, self.work),
            operators=self._operators(config),
        )
        return Pipeline(
            routes=Matcher(routes, Route("", "", public.serve, is_success_logged=False)),
            authenticate=self._authenticate,
            freshen=lambda: self.membership.freshen(self.work.quick),
            catalog=self.catalog,
            settings=self.settings,
            limits=limits,
            cors=Cors(config.origins),
            activity=self.activity,
            timings=self.measuring.timings,
        )

    def _announce(self, change: CollectionChange) -> None:
        self.bus.publish((change,))

    def _operators(self, config: Config) -> Operators:
        desk = SettingsDesk(self.directory.data, self.settings, self.activity)
        sql = SqlDesk(self.directory.data, self.catalog, self.settings, self._announce, config.query_timeout_s)
        mails = SampleMails(self.catalog, self.settings, self.accounts.tokens, self.mailer)
        return Operators(
            settings=SettingsApi(self.work, desk, mails),
            logs=LogsApi(self.log_work, Logs(self.directory.auxiliary)),
            crons=CronsApi(self.crons),
            sql=SqlApi(sql),
            metrics=self.measuring.api(),
            backups=BackupsApi(self.backups, self._file_account, self.settings, self.begin_restore),
        )

    async def _authenticate(self, token: str) -> Record | None:
        return await self.work.quick(lambda: self._account(token, "auth"))

    async def _file_account(self, token: str) -> Record | None:
        return await self.work.quick(lambda: self._account(token, "file"))

    def _account(self, token: str, kind: TokenKind) -> Record | None:
        with self.directory.data.read() as reader:
            return self.accounts.tokens.find(reader, token, kind)

    async def stop(self, *, leaves: bool = True, patience_s: float = 0) -> None:
        """Close everything, in the opposite order; leave the directory too, if asked to.

        Requests under way get some time.
        """
        self.hub.close()
        await self.calls.wait(patience_s)
        self.backups.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._close)
        if leaves:
            self.directory.close()

    def _close(self) -> None:
        self.backups.close()
        self.crons.wait()
        self.accounts.stop()
        self.work.close()
        self.thumbs.close()
        self.records.removals.close()
        self.log_work.close()
        self.outbox.close()
        self.activity.close()
        self.measuring.close()
        self.directory.close_databases()
