"""Stored files: where they are, tokens for protected ones, and downloads that are never in memory as a whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Unpack

import httpx
import msgspec

from rowcast.client.errors import UsageError
from rowcast.client.query import RequestOptions, merged, path
from rowcast.client.transport import Transport


class Download:
    """A file that is being downloaded: read it once, by `read`, `save` or a loop over its pieces."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    @property
    def content_type(self) -> str:
        """Its media type, as the server tells it."""
        return str(self._response.headers.get("content-type", ""))

    @property
    def size(self) -> int | None:
        """Its bytes; None if the server does not say."""
        length = self._response.headers.get("content-length", "")
        return int(length) if length.isdigit() else None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._response.aiter_bytes()

    async def read(self) -> bytes:
        """Return the whole file."""
        return await self._response.aread()

    async def save(self, target: str | os.PathLike[str]) -> int:
        """Write it to a path and return its bytes. A file that is there stays as it is if this fails.

        Raises OSError, and ClientResponseError if the connection breaks.
        """
        target = Path(target)
        part = target.with_name(f".{target.name}.part")
        size = 0
        try:
            with await asyncio.to_thread(part.open, "wb") as file:
                async for piece in self:
                    size += await asyncio.to_thread(file.write, piece)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return size


class Files:
    """The files of records."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def url(
        self,
        record: Mapping[str, Any] | object,
        filename: str,
        *,
        thumb: str = "",
        token: str = "",
        download: bool = False,
        query: Mapping[str, object] | None = None,
    ) -> str:
        """Return the URL of a file; empty for an empty name, which is what a field without a file holds.

        thumb: a size of the field, such as `100x100`. token: from `token()`, for a protected file.
        download: have browsers save it. Raises UsageError for what has no id or no collection.
        """
        if not filename:
            return ""
        asked = {"thumb": thumb or None, "token": token or None, "download": download or None, **(query or {})}
        return self._transport.build_url(_path(record, filename), asked)

    async def token(self, **options: Unpack[RequestOptions]) -> str:
        """Return a token for the protected files that the account may see. Raises ClientResponseError."""
        answer = await self._transport.send("POST", path("files", "token"), options)
        return str(answer.json()["token"])

    @asynccontextmanager
    async def download(
        self,
        record: Mapping[str, Any] | object,
        filename: str,
        *,
        thumb: str = "",
        token: str = "",
        **options: Unpack[RequestOptions],
    ) -> AsyncIterator[Download]:
        """Open a file to be read piece by piece. Raises ClientResponseError, also from the loop."""
        asked = merged(options, thumb=thumb or None, token=token or None)
        async with self._transport.stream(_path(record, filename), asked) as response:
            yield Download(response)


def _path(record: Mapping[str, Any] | object, filename: str) -> str:
    record_id = _key(record, "id")
    collection = _key(record, "collectionId") or _key(record, "collectionName")
    if not (record_id and collection and filename):
        raise UsageError("a file is named by a record with its id and collectionId or collectionName, and a file name")
    return path("files", collection, record_id, filename)


def _key(record: Mapping[str, Any] | object, name: str) -> str:
    """Return a key of a record of any type; types of your own may call `collectionId` as they like."""
    if not isinstance(record, Mapping):
        if isinstance(record, msgspec.Struct):
            names = {item.encode_name: item.name for item in msgspec.structs.fields(record)}
            name = names.get(name, name)
        return str(getattr(record, name, "") or "")
    return str(record.get(name, "") or "")
