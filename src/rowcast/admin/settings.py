"""The settings of the data directory, as superusers read and change them.

What is submitted is laid over the settings in force, group by group. Secrets are
never shown, so what comes back from a client without them leaves them as they are.
A change is in force once it is committed. Copies apis/settings.go and
core/settings_model.go.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from rowcast.admin.activity import ActivityLog
from rowcast.admin.collections_body import BodyError, lay_over
from rowcast.admin.settings_checks import settings_errors
from rowcast.config import Settings, SettingsRef
from rowcast.errors import BadRequestError
from rowcast.schema import checks
from rowcast.storage import Storage
from rowcast.storage.settings_rows import save_settings

UNREADABLE = "An error occurred while loading the submitted data."
_NOT_SAVED = "An error occurred while saving the new settings."
_NO_S3 = "Failed to test the S3 filesystem."


class SettingsDesk:
    """Reads and changes the settings. Synchronous; safe to use from several threads."""

    def __init__(self, storage: Storage, settings: SettingsRef, activity: ActivityLog) -> None:
        self._storage = storage
        self._settings = settings
        self._activity = activity

    def view(self) -> dict[str, object]:
        """Return the settings without their secrets."""
        return self._settings.current.public()

    def update(self, given: Mapping[str, object]) -> dict[str, object]:
        """Lay values over the settings, store them and return the new ones without their secrets.

        Raises BadRequestError for a value of a wrong type, and with `data` by group for invalid ones.
        """
        with self._storage.write() as transaction:
            changed = _laid_over(self._settings.current, given)
            if errors := settings_errors(changed):
                raise BadRequestError(_NOT_SAVED, errors)
            # A new struct, even where it is equal: every save starts the counters of the rate limits anew.
            changed = msgspec.structs.replace(changed, rate_limits=msgspec.structs.replace(changed.rate_limits))
            save_settings(transaction, changed, self._settings.key)
            transaction.on_commit(lambda: self._swap(changed))
        self._activity.trim()
        return changed.public()

    def test_s3(self, filesystem: str) -> None:
        """Raise BadRequestError with what stands in the way of storing files in a bucket.

        `filesystem` is "storage" or "backups" (forms/test_s3_filesystem.go).
        """
        error = checks.required(filesystem)
        if error is None and filesystem not in {"storage", "backups"}:
            error = checks.INVALID_CHOICE
        if errors := checks.collect(filesystem=error):
            raise BadRequestError(_NO_S3, errors)
        settings = self._settings.current
        s3 = settings.backups.s3 if filesystem == "backups" else settings.s3
        reason = "S3 buckets are not supported yet" if s3.enabled else "S3 storage filesystem is not enabled"
        raise BadRequestError(f"{_NO_S3} Raw error: \n{reason}")

    def _swap(self, changed: Settings) -> None:
        self._settings.current = changed


def _laid_over(current: Settings, given: Mapping[str, object]) -> Settings:
    try:
        return lay_over(current, {name.lower(): value for name, value in given.items()})
    except BodyError as error:
        raise BadRequestError(UNREADABLE) from error
