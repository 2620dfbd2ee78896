"""The backups of a server: making, keeping, taking in and fetching them.

One backup or restore runs at a time, over all processes on the data directory.
Copies apis/backup.go, backup_create.go, backup_upload.go and core/base_backup.go.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rowcast.backups.archive import ArchiveError, Progress, reason_of
from rowcast.backups.creating import write_archive
from rowcast.blobs import BlobError, BlobInfo, Blobs, LocalBlobs
from rowcast.blobs.configured import bucket
from rowcast.config import SettingsRef
from rowcast.errors import ApiError, BadRequestError, ErrorData, FieldError, RowcastError
from rowcast.schema import checks
from rowcast.schema.jsontext import go_quote
from rowcast.schema.names import snake_case
from rowcast.schema.uploads import Upload
from rowcast.storage.directory import DataDir
from rowcast.storage.occupancy import OccupiedError, alone_at

_log = logging.getLogger("rowcast.backups")

BUSY = "Try again later - another backup/restore process has already been started"
_NOT_VALID = "An error occurred while validating the submitted data."
_NAME = re.compile(r"[a-z0-9_-]+\.zip", re.ASCII)
_ZIP = "application/zip"
_LONGEST_APP_NAME = 50


class BusyError(BadRequestError):
    """Another backup or restore is under way."""

    default_message = BUSY


class Backups:
    """Makes and keeps the backups of an open data directory. Synchronous; safe to use from several threads."""

    def __init__(self, directory: DataDir, settings: SettingsRef) -> None:
        self._directory = directory
        self._settings = settings
        self._mutex = threading.Lock()
        self._working = threading.Lock()
        self._is_closed = False
        self.active: str | None = None
        """The backup that is being made or restored."""

    @property
    def place(self) -> Blobs:
        """Where the backups lie. Raises BlobError where the settings of a bucket are not complete."""
        s3 = self._settings.current.backups.s3
        return bucket(s3) if s3.enabled else LocalBlobs(self._directory.path / "backups")

    # -- what there is -----------------------------------------------------------

    def list(self, prefix: str = "") -> list[BlobInfo]:
        """Return the backups by name. Raises BadRequestError."""
        try:
            return sorted(self.place.list(prefix), key=lambda info: info.key.encode())
        except (BlobError, OSError) as error:
            raise BadRequestError(f"Failed to retrieve backup items. Raw error: \n{error}") from error

    def open(self, key: str) -> tuple[BlobInfo, BinaryIO]:
        """Open a backup for reading. Raises BlobNotFoundError and BlobError."""
        return self.place.open_with_info(key)

    def delete(self, key: str) -> None:
        """Delete a backup. Raises BadRequestError."""
        if key and key == self.active:
            raise BadRequestError("The backup is currently being used and cannot be deleted.")
        try:
            self.place.delete(key)
        except BlobError as error:
            raise BadRequestError(f"Invalid or already deleted backup file. Raw error: \n{error}") from error

    # -- new ones ----------------------------------------------------------------

    def check_name(self, name: str) -> None:
        """Refuse what can't be the name of a new backup; "" has one made. Raises BadRequestError."""
        error = checks.first(checks.length(name, 1, 150), checks.matches(name, _NAME))
        if error is None and name and self._has(name):
            text = "The backup file name is invalid or already exists."
            error = FieldError("validation_backup_name_exists", text)
        if error is not None:
            raise BadRequestError(_NOT_VALID, ErrorData(name=error))

    def create(self, name: str = "", progress: Progress | None = None) -> str:
        """Make a backup and return its name. Takes long. Raises BadRequestError: the text is for clients."""
        name = name or self.new_name("pb_backup_")
        try:
            with self.turn(name), self._work() as work:
                archive = work / "archive.zip"
                md5 = write_archive(self._directory, archive, work, self.watched(progress))
                self.place.save(name, archive, content_type=_ZIP, original_name=name, md5=md5)
        except (ArchiveError, BlobError, OSError) as error:
            _log.error("a backup could not be made: %s", error)
            raise BadRequestError("Failed to create backup.") from error
        return name

    def write(self, target: Path, progress: Progress | None = None) -> None:
        """Make a backup as a new file outside of the backups. Raises ArchiveError and BusyError."""
        try:
            with self.turn(target.name), self._work() as work:
                partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
                try:
                    write_archive(self._directory, partial, work, self.watched(progress))
                    partial.replace(target)
                finally:
                    partial.unlink(missing_ok=True)
        except OSError as error:
            raise ArchiveError(f"the backup can't be made: {reason_of(error)}") from error

    def new_name(self, prefix: str) -> str:
        """Return the name of a backup that is made now (core/base_backup.go, generateBackupName)."""
        app_name = snake_case(self._settings.current.meta.app_name)[:_LONGEST_APP_NAME]
        return f"{prefix}{app_name}_{time.strftime('%Y%m%d%H%M%S', time.gmtime())}.zip"

    def upload(self, file: Upload | None) -> None:
        """Take in a backup under its own name. Raises BadRequestError."""
        error = checks.required(file)
        if file is not None and not file.is_of_type((_ZIP,)):
            text = f"{go_quote(file.name)} mime type must be one of: {_ZIP}."
            error = FieldError("validation_invalid_mime_type", text)
        elif file is not None and self._has(file.original_name):
            text = "Backup file with the specified name already exists."
            error = FieldError("validation_backup_name_exists", text)
        if file is None or error is not None:
            raise BadRequestError(_NOT_VALID, ErrorData(file=error or checks.REQUIRED))
        name = file.original_name
        try:
            self.place.save(name, file.content, content_type=_ZIP, original_name=name, md5=file.md5)
        except BlobError as failure:
            _log.error("a backup could not be taken in: %s", failure)
            raise BadRequestError("Failed to upload backup.") from failure

    def _has(self, name: str) -> bool:
        """Whether a backup of this name is there, or can't be: a place that does not answer takes none."""
        try:
            return self.place.exists(name)
        except BlobError:
            return True

    # -- bringing one back -------------------------------------------------------

    @contextmanager
    def fetched(self, key: str, progress: Progress) -> Iterator[Path]:
        """Have a backup as a file on this machine while the block runs. Raises ArchiveError."""
        place = self.place
        if isinstance(place, LocalBlobs):
            try:
                yield place.path(key)
            except BlobError as error:
                raise ArchiveError(f"the backup can't be read: {error}") from error
            return
        with self._work() as work:
            archive = work / "archive.zip"
            try:
                info, source = place.open_with_info(key)
                with source, archive.open("xb") as file:
                    while piece := source.read(1 << 20):
                        file.write(piece)
                        progress("fetch", file.tell(), info.size)
            except (BlobError, OSError) as error:
                said = reason_of(error) if isinstance(error, OSError) else str(error)
                raise ArchiveError(f"the backup can't be fetched: {said}") from error
            yield archive

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Be the one backup or restore that runs, for a block. Raises BusyError."""
        with self._mutex:
            if self.active is not None or self._is_closed:
                raise BusyError
            self.active = name
        try:
            self._directory.temporary.mkdir(exist_ok=True)
            with alone_at(self._directory.temporary):
                yield
        except OccupiedError as error:
            raise BusyError from error
        finally:
            self.active = None

    @contextmanager
    def _work(self) -> Iterator[Path]:
        """Have an empty directory beside the data while the block runs."""
        work = self._directory.temporary / f"backup_{secrets.token_hex(6)}"
        with self._working:
            work.mkdir()
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)

    def watched(self, progress: Progress | None = None) -> Progress:
        """Return a progress that ends the work once this is closed."""

        def watch(what: str, done: int, total: int) -> None:
            if self._is_closed:
                raise ArchiveError("the server stops")
            if progress is not None:
                progress(what, done, total)

        return watch

    def cancel(self) -> None:
        """End what runs, soon; nothing begins any more."""
        self._is_closed = True

    def close(self) -> None:
        """End what runs, and wait for that."""
        self.cancel()
        with self._working:
            return


def describe(error: RowcastError) -> str:
    """Return what went wrong, for a person: an answer for clients may say less than what lies below it."""
    if not isinstance(error, ApiError):
        return str(error)
    for found in error.data.values():
        if isinstance(found, FieldError):
            return found.message
    return str(error.__cause__ or error)
