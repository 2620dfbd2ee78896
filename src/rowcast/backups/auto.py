"""Backups by a schedule, with the reference's name for the job and for the files (core/base_backup.go).

The latest few are kept. Superusers get a mail where one could not be made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from rowcast.backups.alert import system_alert
from rowcast.backups.desk import Backups, describe
from rowcast.blobs import BlobError
from rowcast.config import Settings, SettingsRef
from rowcast.errors import BadRequestError, RowcastError
from rowcast.mail import Message
from rowcast.storage import Storage

_log = logging.getLogger("rowcast.backups")

JOB = "__pbAutoBackup__"
PREFIX = "@auto_pb_backup_"


class Jobs(Protocol):
    """What runs calls at certain minutes."""

    def add(self, id: str, expression: str, call: Callable[[], object]) -> None:
        """Have `call` run at the minutes of a cron expression; a job with this id is replaced."""
        ...

    def remove(self, id: str) -> None:
        """Forget a job."""
        ...


class AutoBackup:
    """Makes a backup whenever the settings say so."""

    def __init__(
        self, backups: Backups, storage: Storage, settings: SettingsRef, send: Callable[[Message], None], jobs: Jobs
    ) -> None:
        self._backups = backups
        self._storage = storage
        self._settings = settings
        self._send = send
        self._jobs = jobs
        self._schedule: str | None = None
        settings.watch(self._follow)

    def _follow(self, settings: Settings) -> None:
        """Have the job that the settings ask for."""
        schedule = settings.backups.cron
        if schedule == self._schedule:
            return
        self._schedule = schedule
        if not schedule:
            self._jobs.remove(JOB)
            return
        try:
            self._jobs.add(JOB, schedule, self.run)
        except RowcastError as error:
            # Settings of another program are not checked by ours.
            self._jobs.remove(JOB)
            _log.error("no backups are made by a schedule: %s", error)

    def run(self) -> None:
        """Make a backup, and delete the oldest ones beyond those that are kept. Says by mail what went wrong."""
        name = self._backups.new_name(PREFIX)
        try:
            self._backups.create(name)
        except RowcastError as error:
            _log.error("the scheduled backup %s failed: %s", name, describe(error))
            self._alert(f"Failed to create/upload automated backup. Raw error:\n{describe(error)}")
        self._thin_out(self._settings.current.backups.cron_max_keep)

    def _thin_out(self, kept: int) -> None:
        if kept == 0:
            return
        try:
            latest = sorted(self._backups.list(PREFIX), key=lambda info: (info.modified, info.key), reverse=True)
        except BadRequestError as error:
            _log.error("old backups could not be deleted: %s", error)
            return
        for info in latest[kept:]:
            try:
                self._backups.place.delete(info.key)
            except BlobError as error:
                _log.error("the old backup %s could not be deleted: %s", info.key, error)

    def _alert(self, details: str) -> None:
        meta = self._settings.current.meta
        with self._storage.read() as reader:
            addresses = [str(row[0]) for row in reader.rows('SELECT "email" FROM "_superusers"')]
        for address in addresses:
            self._send(system_alert(meta, address, "Autobackup failure", details))
