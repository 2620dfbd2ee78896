"""`/api/files`: stored files of records, and the tokens that open protected ones."""

from __future__ import annotations

import asyncio
import io
import logging
from pathlib import PurePosixPath

from rowcast import encoding
from rowcast.api import wire
from rowcast.api.request import Authenticate, Request
from rowcast.api.responses import Answer, Headers, header_text, picked
from rowcast.api.sending import FileAnswer, Run, at_once
from rowcast.api.work import Work
from rowcast.auth import Accounts
from rowcast.blobs import BlobError, BlobNotFoundError, Blobs
from rowcast.config import SettingsRef
from rowcast.errors import NotFoundError, UnauthorizedError
from rowcast.records.files import Files, StoredFile
from rowcast.records.thumbs import Thumbs
from rowcast.schema.networks import is_listed
from rowcast.schema.record import Record

_log = logging.getLogger("rowcast.api")

_THUMB_WAIT_S = 60
"""How long a request waits for a thumb; the reference's PB_THUMBS_MAX_WAIT."""

_SMALL = 256 * 1024
"""Bytes of a file that is read as a whole."""

_INLINE = frozenset(
    {
        "image/png", "image/jpg", "image/jpeg", "image/gif", "image/webp", "image/x-icon", "image/bmp",
        "video/webm", "video/mp4", "video/3gpp", "video/quicktime", "video/x-ms-wmv",
        "audio/basic", "audio/aiff", "audio/mpeg", "audio/midi", "audio/mp3", "audio/wave",
        "audio/wav", "audio/x-wav", "audio/x-mpeg", "audio/x-m4a", "audio/aac",
        "application/pdf", "application/x-pdf",
    }
)  # fmt: skip
_OFFICE = "application/vnd.openxmlformats-officedocument."
_BY_ENDING = {
    ".svg": "image/svg+xml",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".xlsx": _OFFICE + "spreadsheetml.sheet",
    ".docx": _OFFICE + "wordprocessingml.document",
    ".pptx": _OFFICE + "presentationml.presentation",
}
"""Types that can't be told by the content."""

_SHIELD: Headers = [
    (b"content-security-policy", b"default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; sandbox"),
    (b"cache-control", b"max-age=2592000, stale-while-revalidate=86400"),
]
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})


class FilesApi:
    """Answers requests for files (apis/file.go; tools/filesystem/filesystem.go, Serve)."""

    def __init__(
        self,
        work: Work,
        files: Files,
        thumbs: Thumbs,
        blobs: Blobs,
        accounts: Accounts,
        file_account: Authenticate,
        settings: SettingsRef,
    ) -> None:
        self._work = work
        self._files = files
        self._thumbs = thumbs
        self._blobs = blobs
        self._accounts = accounts
        self._file_account = file_account
        self._settings = settings

    async def token(self, request: Request) -> Answer:
        """Return a token for the protected files that the account may see."""
        if request.auth is None:
            raise UnauthorizedError("The request requires valid record authorization token.")
        return picked(request, encoding.encode({"token": self._accounts.tokens.mint(request.auth, "file")}))

    async def download(self, request: Request) -> Answer:
        """Send a file."""
        info = request.info((await wire.read(request)).values(), "protectedFile")
        info.auth = await self._account(request)
        _, record_id, name = request.values
        thumb = request.query.get("thumb", "")
        found = await self._work.quick(
            lambda: self._files.find(info, request.collection, record_id, name, thumb=thumb), asker=request.asker
        )
        is_download = request.query.get("download", "") in _TRUE
        answer = await self._work.transfer(lambda: self._ready(found, is_download=is_download))
        if answer is not None:
            return answer
        made = await self._thumb(found)
        return await self._work.transfer(lambda: self._open(made, is_download=is_download))

    async def _thumb(self, original: StoredFile) -> StoredFile:
        """Have the wanted thumb made and return it, or the original where there is none in time."""
        try:
            async with asyncio.timeout(_THUMB_WAIT_S):
                # Others may wait for it as well.
                return await asyncio.shield(asyncio.wrap_future(self._thumbs.make(original)))
        except TimeoutError:
            return original

    async def _account(self, request: Request) -> Record | None:
        """Return the account of the file token; a superuser only from the addresses that superusers may have."""
        token, addresses = request.query.get("token", ""), self._settings.current.superuser_ips
        account = await self._file_account(token) if token else None
        is_superuser = account is not None and account.collection.name == "_superusers"
        return None if is_superuser and addresses and not is_listed(addresses, request.address) else account

    def _ready(self, wanted: StoredFile, *, is_download: bool) -> FileAnswer | None:
        """Open a file; None where it is a thumb that must be made."""
        try:
            found = self._thumbs.ready(wanted) if wanted.thumb else wanted
        except BlobError as error:
            raise _missing(error) from error
        return None if found is None else self._open(found, is_download=is_download)

    def _open(self, found: StoredFile, *, is_download: bool) -> FileAnswer:
        run: Run = self._work.transfer
        try:
            info, file = self._blobs.open_with_info(found.key)
            if info.size <= _SMALL:
                # In this thread already, so that no other one is asked for it.
                with file:
                    file, run = io.BytesIO(file.read()), at_once
        except (BlobError, OSError) as error:
            raise _missing(error) from error
        kind = "inline" if info.content_type in _INLINE and not is_download else "attachment"
        content_type = _BY_ENDING.get(PurePosixPath(found.key).suffix, info.content_type)
        headers: Headers = [
            (b"content-disposition", f"{kind}; filename=".encode() + header_text(found.name)),
            (b"content-type", header_text(content_type)),
            *_SHIELD,
        ]
        return FileAnswer(
            file,
            size=info.size,
            modified=info.modified,
            headers=headers,
            may_be_framed=True,
            run=run,
        )


def _missing(error: Exception) -> NotFoundError:
    """Return what a client is told of a file that can't be read; as there, whatever the reason is."""
    if not isinstance(error, BlobNotFoundError):
        _log.warning("a file could not be sent: %s", error)
    return NotFoundError()
