"""`/api/backups`: what superusers do with backups."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from rowcast import encoding
from rowcast.api import auth_forms as forms
from rowcast.api import uploading
from rowcast.api.request import Authenticate, Request
from rowcast.api.responses import NO_CONTENT, Answer, Headers, header_text, picked
from rowcast.api.sending import FileAnswer
from rowcast.backups import Backups
from rowcast.backups.desk import BusyError
from rowcast.blobs import BlobError, BlobNotFoundError
from rowcast.config import SettingsRef
from rowcast.errors import BadRequestError, ForbiddenError, InternalError, NotFoundError
from rowcast.schema.dates import from_unix
from rowcast.schema.networks import is_listed

_DENIED = "Insufficient permissions to access the resource."
_SHIELD: Headers = [
    (b"content-security-policy", b"default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; sandbox"),
    (b"cache-control", b"max-age=2592000, stale-while-revalidate=86400"),
]


class BackupsApi:
    """Answers requests about backups (apis/backup.go, backup_create.go, backup_upload.go).

    What takes long runs in threads of nobody else. `restore` begins a restore that
    goes on behind the answer; it raises BadRequestError.
    """

    def __init__(
        self, backups: Backups, file_account: Authenticate, settings: SettingsRef, restore: Callable[[str], None]
    ) -> None:
        self._backups = backups
        self._file_account = file_account
        self._settings = settings
        self._restore = restore

    async def list(self, request: Request) -> Answer:
        """Return the backups."""
        found = await asyncio.to_thread(self._backups.list)
        items = [{"modified": from_unix(info.modified), "key": info.key, "size": info.size} for info in found]
        return picked(request, encoding.encode(items))

    async def create(self, request: Request) -> Answer:
        """Make a backup, and answer when it is there."""
        if self._backups.active is not None:
            raise BusyError
        (name,) = forms.texts(await forms.read(request, hides_type=True), ("name",))
        await asyncio.to_thread(self._backups.check_name, name)
        await asyncio.to_thread(self._backups.create, name)
        return NO_CONTENT

    async def upload(self, request: Request) -> Answer:
        """Take in a backup."""
        file = await uploading.read(request, "file")
        await asyncio.to_thread(self._backups.upload, file)
        return NO_CONTENT

    async def download(self, request: Request) -> Answer:
        """Send a backup to whoever has the file token of a superuser."""
        token, addresses = request.query.get("token", ""), self._settings.current.superuser_ips
        account = await self._file_account(token) if token else None
        if account is None or account.collection.name != "_superusers":
            raise ForbiddenError(_DENIED)
        if addresses and not is_listed(addresses, request.address):
            raise ForbiddenError(_DENIED)
        return await asyncio.to_thread(self._open, request.values[0])

    def _open(self, key: str) -> FileAnswer:
        try:
            info, file = self._backups.open(key)
        except BlobNotFoundError as error:
            raise NotFoundError from error
        except BlobError as error:
            raise InternalError("Failed to load backups filesystem.") from error
        name = key.rpartition("/")[2]
        headers: Headers = [
            (b"content-disposition", b"attachment; filename=" + header_text(name)),
            (b"content-type", header_text(info.content_type)),
            *_SHIELD,
        ]
        return FileAnswer(file, size=info.size, modified=info.modified, headers=headers)

    async def delete(self, request: Request) -> Answer:
        """Delete a backup."""
        await asyncio.to_thread(self._backups.delete, request.values[0])
        return NO_CONTENT

    async def restore(self, request: Request) -> Answer:
        """Answer, and then go back to the state of a backup."""
        if self._backups.active is not None:
            raise BusyError
        key = request.values[0]
        if not await asyncio.to_thread(self._exists, key):
            raise BadRequestError("Missing or invalid backup file.")
        self._restore(key)
        return NO_CONTENT

    def _exists(self, key: str) -> bool:
        try:
            return self._backups.place.exists(key)
        except BlobError:
            return False


def unlimited(_: Request) -> int:
    """Return what the body of an uploaded backup may have: whatever fits the disk."""
    return sys.maxsize
