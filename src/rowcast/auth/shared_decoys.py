"""Ids of one-time passwords that nobody got, known to all processes of a data directory on one machine.

If only the process knew them that gave them, the answers of the others to guesses would tell them from
real ones. A ring in a mapped file; addresses and collections stand in it as hashes with a key of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path

from rowcast.auth.decoys import MOST_CURRENT
from rowcast.schema.collection import Collection
from rowcast.schema.generate import ID_LENGTH, random_id
from rowcast.windows.file import HEADER, MappedFile

_MOST_KEPT = 10_000
_HASH = 8
_OWNER = 2 * _HASH
"""Bytes of an owner: the hash of its collection, and the one of its address there."""

_ID_AT, _ENDS_AT = _OWNER, _OWNER + 16
_SLOT = _ENDS_AT + 8
_COUNT, _ENDS = struct.Struct("Q"), struct.Struct("d")
_FIRST = HEADER + _COUNT.size
"""Where the slots begin: behind the number of ids that were given."""


class SharedDecoys:
    """Ids in a file. `now` gives seconds since 1970. Raises OSError where the file can't be had."""

    def __init__(self, path: Path, now: Callable[[], float], *, most: int = _MOST_KEPT) -> None:
        self._now = now
        self._most = most
        self._size = _COUNT.size + most * _SLOT
        self._file = MappedFile(path, self._size)

    def issue(self, collection: Collection, email: str, lives_s: float) -> str:
        """Return the id that is answered for an address without an account."""
        owner, now, otp_id = self._owner(collection, email.lower()), self._now(), random_id()
        if not self._file.acquire(HEADER, self._size):
            return otp_id
        try:
            given: int = _COUNT.unpack_from(self._file.bytes, HEADER)[0]
            current = [at for at in self._slots(owner, 0) if self._ends(at) >= now]
            if len(current) >= MOST_CURRENT:
                # The last one given: the one from which it is the fewest steps to the next slot.
                newest = min(current, key=lambda at: (given - 1 - (at - _FIRST) // _SLOT) % self._most)
                return self._file.bytes[newest + _ID_AT : newest + _ID_AT + ID_LENGTH].decode()
            self._write(_FIRST + given % self._most * _SLOT, owner, otp_id, now + lives_s)
            _COUNT.pack_into(self._file.bytes, HEADER, given + 1)
            return otp_id
        finally:
            self._file.release(HEADER, self._size)

    def owner(self, collection: Collection, otp_id: str) -> str:
        """Return what stands for the address that an id was given to, "" where it was given to none or has ended."""
        if len(otp_id) != ID_LENGTH or not otp_id.isascii() or not self._file.acquire(HEADER, self._size):
            return ""
        try:
            for at in self._slots(otp_id.encode(), _ID_AT):
                owner = self._file.bytes[at : at + _OWNER]
                if owner.startswith(self._hash(collection.id)) and self._ends(at) >= self._now():
                    return owner.hex()
            return ""
        finally:
            self._file.release(HEADER, self._size)

    def close(self) -> None:
        """Leave the file; the last process removes it."""
        self._file.close()

    def _slots(self, text: bytes, offset: int) -> Iterator[int]:
        """Yield where the slots are that have a text at an offset."""
        found = self._file.bytes.find(text, _FIRST)
        while found >= 0:
            if (found - _FIRST) % _SLOT == offset:
                yield found - offset
            found = self._file.bytes.find(text, found + 1)

    def _ends(self, at: int) -> float:
        ends: float = _ENDS.unpack_from(self._file.bytes, at + _ENDS_AT)[0]
        return ends

    def _write(self, at: int, owner: bytes, otp_id: str, ends: float) -> None:
        table = self._file.bytes
        # It has ended until it is complete, for the case that this process dies in between.
        _ENDS.pack_into(table, at + _ENDS_AT, 0)
        table[at : at + _ID_AT] = owner
        table[at + _ID_AT : at + _ID_AT + ID_LENGTH] = otp_id.encode()
        _ENDS.pack_into(table, at + _ENDS_AT, ends)

    def _owner(self, collection: Collection, email: str) -> bytes:
        return self._hash(collection.id) + self._hash(f"{collection.id}\n{email}")

    def _hash(self, text: str) -> bytes:
        return blake2b(text.encode(), key=self._file.key, digest_size=_HASH).digest()
