"""Windows that all processes of a data directory on one machine share.

A table of fixed size in a mapped file. A key is known by a hash with a key of the
file's own, so that nobody can choose where it goes. Its hash says which bucket it is in;
a bucket is a few windows under one lock. Where all of them go on, the key
shares a window in a second, smaller table with the keys of the same hash there; where
there is no room either, it is refused.

Every write keeps the table in order for a process that dies behind it: a window begins
with its label and its count, and is none before its end is written.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from pathlib import Path

from rowcast.windows import Key
from rowcast.windows.file import HEADER, MappedFile

_LABEL = 16
_IN_BUCKET = 32
_ENDS = struct.Struct(f"{_IN_BUCKET}d")
_END, _USED = struct.Struct("d"), struct.Struct("I")
_ENDS_AT = _LABEL * _IN_BUCKET
_USED_AT = _ENDS_AT + _ENDS.size
_BUCKET = _USED_AT + _USED.size * _IN_BUCKET
"""A bucket: the labels of its windows, when they end, what is used up of them."""

_NONE = bytes(_ENDS.size)
"""The ends of windows that never began."""

_BUCKETS = 2_048
_SHARED = 2_048
"""How many windows the keys share that find no room, for each pair of most requests and duration."""


class SharedWindows:
    """Windows in a file. Raises OSError where it can't be had.

    `buckets` of 32 windows each are for keys of their own, half as many for those that share.
    """

    is_shared = True

    def __init__(self, path: Path, *, buckets: int = _BUCKETS, shared: int = _SHARED) -> None:
        self._buckets, self._shared_buckets, self._shared = buckets, max(1, buckets // 2), shared
        self._size = (self._buckets + self._shared_buckets) * _BUCKET
        self._file = MappedFile(path, self._size)

    def consume(self, key: Key, most: int, duration: float, now: float) -> bool:
        """Count one for a key; whether it is among the `most` of its window. False also where the table is stuck."""
        label = self._label(repr(key))
        at = self._own_at(label)
        if not self._file.acquire(at, _BUCKET):
            return False
        try:
            window = self._find(at, label)
            if window < 0:
                # Where keys share is looked up under the lock of this one's bucket: it can't get at both.
                share = self._label(repr((most, duration, int.from_bytes(label[8:12]) % self._shared)))
                shared_at = self._shared_at(share)
                window = -1 if self._is_live(shared_at, share, now) else self._room(at, label, now)
                if window < 0:
                    return self._consume_shared(shared_at, share, most, duration, now)
            return self._count(at, window, most, duration, now)
        finally:
            self._file.release(at, _BUCKET)

    def forget(self, key: Key) -> None:
        """End the window of a key; one that it shares with others stays."""
        label = self._label(repr(key))
        at = self._own_at(label)
        if not self._file.acquire(at, _BUCKET):
            return
        try:
            window = self._find(at, label)
            if window >= 0:
                self._end(at, window, 0)
        finally:
            self._file.release(at, _BUCKET)

    def clear(self) -> None:
        """End all windows, in all processes."""
        for at in range(HEADER, HEADER + self._size, _BUCKET):
            ends = slice(at + _ENDS_AT, at + _USED_AT)
            if self._file.bytes[ends] != _NONE and self._file.acquire(at, _BUCKET):
                try:
                    self._file.bytes[ends] = _NONE
                finally:
                    self._file.release(at, _BUCKET)

    def close(self) -> None:
        """Leave the file; the last process removes it."""
        self._file.close()

    def _consume_shared(self, at: int, share: bytes, most: int, duration: float, now: float) -> bool:
        if not self._file.acquire(at, _BUCKET):
            return False
        try:
            window = self._find(at, share)
            if window < 0:
                window = self._room(at, share, now)
            return window >= 0 and self._count(at, window, most, duration, now)
        finally:
            self._file.release(at, _BUCKET)

    def _count(self, at: int, window: int, most: int, duration: float, now: float) -> bool:
        table, used_at = self._file.bytes, at + _USED_AT + window * _USED.size
        if now >= _END.unpack_from(table, at + _ENDS_AT + window * _END.size)[0]:
            _USED.pack_into(table, used_at, min(1, most))
            self._end(at, window, now + duration)
            return most > 0
        used: int = _USED.unpack_from(table, used_at)[0]
        if used >= most:
            return False
        _USED.pack_into(table, used_at, used + 1)
        return True

    def _find(self, at: int, label: bytes) -> int:
        """Return which window of a bucket has a label, -1 where none has."""
        found = self._file.bytes.find(label, at, at + _ENDS_AT)
        while found >= 0 and (found - at) % _LABEL:
            found = self._file.bytes.find(label, found + 1, at + _ENDS_AT)
        return found if found < 0 else (found - at) // _LABEL

    def _room(self, at: int, label: bytes, now: float) -> int:
        """Give a window that is over to a label and return which, -1 where all go on."""
        for window, end in enumerate(_ENDS.unpack_from(self._file.bytes, at + _ENDS_AT)):
            if now >= end:
                begin = at + window * _LABEL
                self._file.bytes[begin : begin + _LABEL] = label
                return window
        return -1

    def _is_live(self, at: int, label: bytes, now: float) -> bool:
        window = self._find(at, label)
        return window >= 0 and bool(now < _END.unpack_from(self._file.bytes, at + _ENDS_AT + window * _END.size)[0])

    def _end(self, at: int, window: int, end: float) -> None:
        _END.pack_into(self._file.bytes, at + _ENDS_AT + window * _END.size, end)

    def _label(self, text: str) -> bytes:
        return blake2b(text.encode(), key=self._file.key, digest_size=_LABEL).digest()

    def _own_at(self, label: bytes) -> int:
        return HEADER + int.from_bytes(label[:8]) % self._buckets * _BUCKET

    def _shared_at(self, label: bytes) -> int:
        return HEADER + (self._buckets + int.from_bytes(label[:8]) % self._shared_buckets) * _BUCKET
