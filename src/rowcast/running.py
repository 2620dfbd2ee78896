"""Everything that lives while a data directory is open, tied together.

Knows all parts; none of them knows it. What is opened here is closed in `stop`, in
the opposite order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

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
from rowcast.api.counters import counters_of
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
from rowcast.api.route import Route
from rowcast.api.routes import table
from rowcast.api.settings import SettingsApi
from rowcast.api.sql import SqlApi
from rowcast.api.work import Work
from rowcast.auth import Accounts
from rowcast.auth.sample_mails import SampleMails
from rowcast.backups import Backups
from rowcast.backups.auto import AutoBackup
from rowcast.blobs import LocalBlobs
from rowcast.blobs.configured import ConfiguredBlobs
from rowcast.blobs.spool import Spool
from rowcast.bus import CollectionChange
from rowcast.bus.choice import link_of
from rowcast.bus.memory import MemoryBus
from rowcast.config import Config, SettingsRef
from rowcast.credentials import TokenKind
from rowcast.mail.configured import ConfiguredMailer
from rowcast.mail.outbox import Outbox
from rowcast.measuring import Measuring
from rowcast.pictures.workshop import Workshop
from rowcast.realtime.changelog import ChangeLog, Retention
from rowcast.realtime.follower import Follower
from rowcast.realtime.hub import Hub
from rowcast.realtime.membership import Membership
from rowcast.realtime.nodes import Nodes
from rowcast.realtime.numbers import numbers_of
from rowcast.realtime.stream import Budget, Limits, new_node
from rowcast.records import Records
from rowcast.records.batch import Batch
from rowcast.records.files import Files
from rowcast.records.output import Output
from rowcast.records.thumbs import Thumbs
from rowcast.rules import Rules
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.record import Record
from rowcast.storage import QueryTimeoutError, Storage, StorageError, UnavailableError
from rowcast.storage.directory import DataDir
from rowcast.storage.freshness import Freshness
from rowcast.storage.settings_rows import load_settings


class Running:
    """Everything that lives between start and stop. Made on the event loop."""

    def __init__(
        self,
        config: Config,
        directory: DataDir,
        crons: Crons,
        *,
        begin_restore: Callable[[str], None],
        step_aside: Callable[[], None],
    ) -> None:
        storage = directory.data
        self.calls = Calls()
        self.begin_restore = begin_restore
        self.directory, self.crons = directory, crons
        self.measuring = Measuring(config)
        self.catalog = CatalogRef(directory.catalog, storage.dialect)
        self.settings = SettingsRef(directory.settings, directory.key)
        self.bus = bus = MemoryBus()
        # Those who share a database find each other by it, whatever folder their files are in.
        link = link_of(config.bus, config.database or directory.path, new_node())
        log = _log_of(storage, self.catalog, config)
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
        self.fresh = fresh = Freshness(
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
            fresh=fresh,
            wants_state=lambda collection: self.hub.wants_before(collection) or self.hub.wants_earlier(collection),
            behind=self.hub.tally.behind,
        )
        self.hub.present.follow = follower.reach
        storage.before_commit, storage.publish = follower.record, self.measuring.publishing(follower.publish)
        self.nodes = Nodes(self.hub, link, self._authenticate, step_aside)
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
            refresh=fresh.refresh,
        )
        self.mailer = ConfiguredMailer(self.settings)
        self.outbox = Outbox(self.mailer)
        self.counters = counters = counters_of(directory.path, config.workers)
        self.accounts = Accounts(
            storage=storage,
            catalog=self.catalog,
            settings=self.settings,
            records=self.records,
            rules=rules,
            outbox=self.outbox,
            windows=counters.accounts,
            decoys=counters.decoys,
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
        self.measuring.watch(directory, self.hub, self.work, self.log_work, self.activity, link)
        self.backups = Backups(directory, self.settings)
        AutoBackup(self.backups, storage, self.settings, self.outbox.send, crons)
        self.pipeline = self.measuring.serving(self._pipeline(config))
        self.joining = asyncio.ensure_future(self.membership.join())
        followed = self.membership.run(self.joining)
        runs = (self.hub.run(), self.hub.beat(), self.activity.run(), CronRunner(crons, storage).run(), followed)
        self._tasks = [asyncio.ensure_future(task) for task in (*runs, *self.measuring.runs())]

    def _pipeline(self, config: Config) -> Pipeline:
        limits = RateLimits(self.settings, self.counters.limits)
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
            spool=self.spool,
            timings=self.measuring.timings,
        )

    def _announce(self, change: CollectionChange) -> None:
        self.bus.publish((change,))

    def _operators(self, config: Config) -> Operators:
        desk = SettingsDesk(self.directory.data, self.settings, self.activity, self.fresh.refresh)
        sql = SqlDesk(self.directory.data, self.catalog, self.settings, self._announce, config.query_timeout_s)
        mails = SampleMails(self.catalog, self.settings, self.accounts.tokens, self.mailer)
        return Operators(
            settings=SettingsApi(self.work, desk, mails),
            logs=LogsApi(self.log_work, Logs(self.directory.auxiliary), self.activity.settle),
            crons=CronsApi(self.crons),
            sql=SqlApi(sql),
            metrics=self.measuring.api(),
            backups=BackupsApi(self.backups, self._file_account, self.settings, self.begin_restore),
        )

    async def _authenticate(self, token: str) -> Record | None:
        return await self._look_up(token, "auth")

    async def _file_account(self, token: str) -> Record | None:
        return await self._look_up(token, "file")

    async def _look_up(self, token: str, kind: TokenKind) -> Record | None:
        """Return whose token it is; look again where the collection of the account changed meanwhile."""
        catalog = self.catalog.current
        try:
            return await self.work.quick(lambda: self._account(token, kind))
        except StorageError:
            await self.work.quick(self.fresh.refresh)
            if self.catalog.current is catalog:
                raise
            return await self.work.quick(lambda: self._account(token, kind))

    def _account(self, token: str, kind: TokenKind) -> Record | None:
        try:
            with self.directory.data.read() as reader:
                return self.accounts.tokens.find(reader, token, kind)
        except QueryTimeoutError as error:
            # A look-up by a key takes that long only where the database stood still.
            raise UnavailableError(f"an account could not be looked up: {error}") from error

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
        self.counters.close()
        self.directory.close_databases()


def _log_of(storage: Storage, catalog: CatalogRef, config: Config) -> ChangeLog:
    """Return the log of changes; where many write side by side it is always stored."""
    numbers = numbers_of(storage)
    log = ChangeLog(storage, catalog, Retention(config.log_max_changes, config.log_max_age_s), numbers)
    if not numbers.is_dense:
        log.settle()
    return log
