"""Which part of a file a `Range` header means. Copies Go's net/http, parseRange."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"\+?\d{1,18}", re.ASCII)

Part = tuple[int, int]
"""Where a part starts and where it ends, in bytes; the end does not belong to it."""


class RangeError(Exception):
    """A header that means nothing. `is_outside` where it means what lies behind the end of the file."""

    def __init__(self, text: str, *, is_outside: bool = False) -> None:
        super().__init__(text)
        self.is_outside = is_outside


def parts_of(header: str, size: int) -> list[Part]:
    """Return the parts of a file that a header names, none for no header. Raises RangeError."""
    if not header:
        return []
    if not header.startswith("bytes="):
        raise RangeError("invalid range")
    specs = [spec.strip(" \t\r\n") for spec in header.removeprefix("bytes=").split(",")]
    found = [_part(spec, size) for spec in specs if spec]
    parts = [part for part in found if part is not None]
    if found and not parts:
        if not size:
            return []
        raise RangeError("invalid range: failed to overlap", is_outside=True)
    return parts


def _part(spec: str, size: int) -> Part | None:
    """Return one part, None where it lies behind the end."""
    first, dash, last = (text.strip(" \t\r\n") for text in spec.partition("-"))
    if not dash or (not first and last.startswith(("-", "+"))):
        raise RangeError("invalid range")
    if not first:
        return max(size - _number(last), 0), size
    start = _number(first)
    if start >= size:
        return None
    end = _number(last) if last else size - 1
    if start > end:
        raise RangeError("invalid range")
    return start, min(end + 1, size)


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise RangeError("invalid range")
    return int(text)
