"""Receiving one file of any size: from the wire to the disk, piece by piece, in a thread."""

from __future__ import annotations

import asyncio

from rowcast.api.multipart import MultipartReader
from rowcast.api.request import Request
from rowcast.errors import BadRequestError
from rowcast.schema.uploads import Upload

_PIECE = 1 << 20
_SILENCE_S = 300
"""How long the sender may be silent. There is no bound for the whole: a large file takes its time."""


async def read(request: Request, field: str) -> Upload | None:
    """Return the first file of a field; None where the body is no form, is cut short, or has no such file.

    What is large lies in the spool until the end of the request. Raises BadRequestError
    where it can't be stored.
    """
    content_type = request.header(b"content-type")
    if not content_type.startswith("multipart/form-data"):
        return None
    try:
        reader = MultipartReader(content_type, request.spool)
        request.cleanups.append(reader.close)
        async for piece in _Pieces(request):
            await asyncio.to_thread(_take, reader, piece)
        reader.end()
    except (ValueError, TimeoutError):
        return None
    except OSError as error:
        raise BadRequestError("Failed to upload backup.") from error
    files = await asyncio.to_thread(reader.uploads)
    return next(iter(files.get(field, [])), None)


def _take(reader: MultipartReader, piece: bytes) -> None:
    reader.feed(piece)
    reader.flush()


class _Pieces:
    """The body of a request, in pieces that are worth a thread. Raises ValueError where it is cut short."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._is_more = True

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        gathered = bytearray()
        while self._is_more and len(gathered) < _PIECE:
            async with asyncio.timeout(_SILENCE_S):
                message = await self._request.receive()
            if message["type"] == "http.disconnect":
                raise ValueError("the sender is gone")
            gathered += message.get("body", b"")
            self._is_more = message.get("more_body", False)
        if not gathered:
            raise StopAsyncIteration
        return bytes(gathered)
