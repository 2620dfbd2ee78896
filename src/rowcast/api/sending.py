"""Sending files: conditional requests, one range, and compression of texts.

Copies what Go's http.ServeContent does, but for several ranges at once, which get
the whole file. Files are read in threads, piece by piece.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from functools import partial
from typing import BinaryIO

from rowcast.api.ranges import Part, RangeError, parts_of
from rowcast.api.request import Request, Send
from rowcast.api.responses import Headers
from rowcast.blobs import BlobError

_log = logging.getLogger("rowcast.api")

Run = Callable[[Callable[[], bytes]], Awaitable[bytes]]


async def at_once(call: Callable[[], bytes]) -> bytes:
    """Run what does not block, since it is in memory."""
    return call()


_CHUNK = 256 * 1024
_COMPRESSED_FROM, _COMPRESSED_TO = 1024, 8 << 20
_COMPRESSIBLE = re.compile(r"text/|application/(?:json|javascript|xml|wasm|manifest\+json)|image/svg")


class FileAnswer:
    """A file, or the part of it that was asked for; it is closed when the answer is sent.

    `modified` in seconds since 1970. `headers` come besides those of the edge, of
    which X-Frame-Options is left out where `may_be_framed`. `run` runs what blocks in a
    thread.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        size: int,
        modified: float,
        headers: Headers,
        may_be_framed: bool = False,
        may_be_compressed: bool = False,
        run: Run = asyncio.to_thread,
    ) -> None:
        self.status = 200
        self._run = run
        self._file = file
        self._size = size
        self._modified = int(modified)
        self._headers = headers
        self._may_be_framed = may_be_framed
        self._may_be_compressed = may_be_compressed

    async def send(self, request: Request, send: Send, headers: Headers) -> None:
        """Send head and content."""
        try:
            out = [pair for pair in headers if not (self._may_be_framed and pair[0] == b"x-frame-options")]
            out += [*self._headers, (b"last-modified", formatdate(self._modified, usegmt=True).encode())]
            if self._is_refused(request):
                self.status = 412
                await _send(send, 412, [*out, (b"content-length", b"0")], b"")
            elif self._is_unchanged(request):
                self.status = 304
                await _send(send, 304, [pair for pair in out if pair[0] != b"content-type"], b"")
            elif self._is_compressed(request, out):
                body = await self._run(self._compressed)
                out += [(b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(body))]
                await _send(send, 200, out, b"" if request.method == "HEAD" else body)
            else:
                await self._send_part(request, send, out)
        except (BlobError, OSError) as error:
            # It has begun, so all that is left is to end the connection: the client sees that it is not whole.
            _log.warning("a file could not be sent to its end: %s", error)
        finally:
            self._file.close()

    async def _send_part(self, request: Request, send: Send, out: Headers) -> None:
        try:
            start, end = self._part(request)
        except RangeError as error:
            await self._refuse(request, send, out, error)
            return
        out += [(b"accept-ranges", b"bytes"), (b"content-length", b"%d" % (end - start))]
        if self.status == 206:
            out.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, self._size)))
        await send({"type": "http.response.start", "status": self.status, "headers": out})
        position = end if request.method == "HEAD" else start
        while position < end:
            chunk = await self._run(partial(self._read, position, min(end - position, _CHUNK)))
            if not chunk:
                raise OSError("the file became shorter while it was sent")
            position += len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": position < end})
        if request.method == "HEAD" or start == end:
            await send({"type": "http.response.body", "body": b""})

    def _read(self, position: int, size: int) -> bytes:
        if self._file.tell() != position:
            self._file.seek(position)
        return self._file.read(size)

    async def _refuse(self, request: Request, send: Send, out: Headers, error: RangeError) -> None:
        """Send what Go sends for a range that means nothing."""
        self.status = 416
        text = f"{error}\n".encode()
        dropped = (b"content-type", b"cache-control", b"last-modified")
        headers = [pair for pair in out if pair[0] not in dropped]
        headers += [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
        if error.is_outside:
            headers.append((b"content-range", b"bytes */%d" % self._size))
        await _send(send, 416, headers, b"" if request.method == "HEAD" else text)

    def _part(self, request: Request) -> Part:
        """Return where the wanted part starts and ends, and set the status. Raises RangeError."""
        parts = []
        if self._is_same(request.header(b"if-range")):
            parts = parts_of(request.header(b"range"), self._size)
        if len(parts) != 1 or not self._size:
            return 0, self._size
        self.status = 206
        return parts[0]

    def _is_same(self, date: str) -> bool:
        """Whether there is no date, or it is that of the file (If-Range)."""
        return not date or _timestamp(date) == self._modified

    def _is_refused(self, request: Request) -> bool:
        """Whether the client wants another state of the file; tags match none, since files have none."""
        tags = request.header(b"if-match")
        if tags:
            return not tags.lstrip(" \t,").startswith("*")
        until = _timestamp(request.header(b"if-unmodified-since"))
        return until is not None and self._modified > until

    def _is_unchanged(self, request: Request) -> bool:
        tags = request.header(b"if-none-match")
        if tags:
            return tags.lstrip(" \t,").startswith("*")
        since = _timestamp(request.header(b"if-modified-since"))
        return since is not None and self._modified <= since

    def _is_compressed(self, request: Request, out: Headers) -> bool:
        """Whether the answer is compressed; tells caches that it depends on the request."""
        content_type = next((value for name, value in out if name == b"content-type"), b"").decode("latin-1")
        if not self._may_be_compressed or not _COMPRESSIBLE.match(content_type):
            return False
        out.append((b"vary", b"Accept-Encoding"))
        is_wanted = "gzip" in request.header(b"accept-encoding") and b"range" not in request.headers
        return is_wanted and _COMPRESSED_FROM <= self._size <= _COMPRESSED_TO

    def _compressed(self) -> bytes:
        return gzip.compress(self._file.read(), 6, mtime=0)


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _timestamp(date: str) -> int | None:
    """Return an HTTP date in seconds since 1970, None where it is none."""
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
