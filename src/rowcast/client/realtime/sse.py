"""Server-sent events out of bytes, however these are cut. Pure.

Follows the HTML standard, "Interpreting an event stream", except that `retry` is not
kept: how long to wait is the client's own decision.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"

MAX_EVENT_BYTES = 64 << 20
"""No record is that large; a peer that never ends an event must not fill the memory."""


class StreamError(ValueError):
    """Bytes that are no stream of events."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One event: its id, the name that it is sent by, and its data."""

    id: str
    event: str
    data: bytes


class EventParser:
    """Puts the events of one stream together."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._is_start = True
        self._id = ""
        self._event = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Return the events that end in this chunk. Raises StreamError for one without an end."""
        # Only what is new can hold the end of a line, besides the last byte before: half of a CRLF.
        start = max(0, len(self._rest) - 1)
        self._rest += chunk
        self._skip_mark()
        line_start = 0
        while (found := _LINE_END.search(self._rest, max(start, line_start))) is not None:
            if found.end() == len(self._rest) and found.group() == b"\r":
                # The LF may be on its way.
                break
            line = bytes(self._rest[line_start : found.start()])
            line_start = found.end()
            if (frame := self._line(line)) is not None:
                yield frame
        del self._rest[:line_start]
        if self._size + len(self._rest) > MAX_EVENT_BYTES:
            raise StreamError("an event of the stream has no end")

    def _skip_mark(self) -> None:
        if self._is_start and len(self._rest) >= len(_BOM):
            self._is_start = False
            if self._rest.startswith(_BOM):
                del self._rest[: len(_BOM)]

    def _line(self, line: bytes) -> Frame | None:
        if not line:
            return self._end()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        return None

    def _end(self) -> Frame | None:
        event, data = self._event, self._data
        self._event, self._data, self._size = "", [], 0
        return Frame(self._id, event or "message", b"\n".join(data)) if data else None
