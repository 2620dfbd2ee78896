"""The settings of the data directory, as superusers read and change them.

What is submitted is laid over the settings in force, group by group. Secrets are
never shown, so what comes back from a client without them leaves them as they are.
A change is in force once it is committed. Copies apis/settings.go and
core/settings_model.go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import msgspec

from rowcast.admin.activity import ActivityLog
from rowcast.admin.collections_body import BodyError, lay_over
from rowcast.admin.settings_checks import settings_errors
from rowcast.blobs import BlobError
from rowcast.blobs.configured import bucket
from rowcast.config import S3Settings, Settings, SettingsRef
from rowcast.errors import BadRequestError
from rowcast.schema import checks
from rowcast.schema.generate import random_text
from rowcast.storage import Storage, UnwritableError
from rowcast.storage.settings_rows import save_settings

logger = logging.getLogger("rowcast.settings")

UNREADABLE = "An error occurred while loading the submitted data."
_NOT_SAVED = "An error occurred while saving the new settings."
_NO_S3 = "Failed to test the S3 filesystem."


class SettingsDesk:
    """Reads and changes the settings. Synchronous; safe to use from several threads.

    `refresh` takes over what other processes have stored.
    """

    def __init__(
        self,
        storage: Storage,
        settings: SettingsRef,
        activity: ActivityLog,
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        self._storage = storage
        self._settings = settings
        self._activity = activity
        self._refresh = refresh

    def view(self) -> dict[str, object]:
        """Return the settings without their secrets."""
        return self._settings.current.public()

    def update(self, given: Mapping[str, object]) -> dict[str, object]:
        """Lay values over the settings, store them and return the new ones without their secrets.

        Raises BadRequestError for a value of a wrong type, and with `data` by group for invalid ones.
        """
        try:
            with self._storage.write() as transaction:
                transaction.serialize()
                # Others may have changed them while this one waited for its turn.
                self._refresh()
                changed = _laid_over(self._settings.current, given)
                if errors := settings_errors(changed):
                    raise BadRequestError(_NOT_SAVED, errors)
                # A new struct, even where it is equal: every save starts the counters of the rate limits anew.
                changed = msgspec.structs.replace(changed, rate_limits=msgspec.structs.replace(changed.rate_limits))
                save_settings(transaction, changed, self._settings.key)
                transaction.on_commit(lambda: self._swap(changed))
        except UnwritableError as error:
            logger.warning("the settings could not be saved: %s", error)
            raise BadRequestError(_NOT_SAVED) from error
        self._activity.trim()
        return changed.public()

    def test_s3(self, filesystem: str) -> None:
        """Store a file in a bucket on trial and delete it. Raises BadRequestError with what stands in the way.

        `filesystem` is "storage" or "backups" (forms/test_s3_filesystem.go).
        """
        error = checks.required(filesystem)
        if error is None and filesystem not in {"storage", "backups"}:
            error = checks.INVALID_CHOICE
        if errors := checks.collect(filesystem=error):
            raise BadRequestError(_NO_S3, errors)
        settings = self._settings.current
        s3 = settings.backups.s3 if filesystem == "backups" else settings.s3
        if reason := _failure_of(s3):
            raise BadRequestError(f"{_NO_S3} Raw error: \n{reason}")

    def _swap(self, changed: Settings) -> None:
        with self._settings.swapping:
            self._settings.swap(changed)


def _failure_of(s3: S3Settings) -> str:
    """Return why no file can be stored in a bucket, or not be deleted, "" where both can."""
    if not s3.enabled:
        return "S3 storage filesystem is not enabled"
    step = "failed to initialize the S3 filesystem"
    folder = f"pb_settings_test_{random_text(5)}"
    try:
        files = bucket(s3)
        step = "failed to upload a test file"
        files.save(f"{folder}/test.txt", b"test", content_type="text/plain; charset=utf-8")
        step = "failed to delete a test file"
        files.delete_prefix(f"{folder}/")
    except BlobError as error:
        return f"{step}: {error}"
    return ""


def _laid_over(current: Settings, given: Mapping[str, object]) -> Settings:
    try:
        return lay_over(current, {name.lower(): value for name, value in given.items()})
    except BodyError as error:
        raise BadRequestError(UNREADABLE) from error
