"""A file that the processes of one machine map into their memory, and its locks.

Named in a folder that is closed to other users; the last process that leaves takes it
away. Locks are those of the system for ranges of bytes (fcntl): a process that dies
gives back what it held. They bind processes only, so a lock of Python's binds the threads.
A process opens a file once: closing it a second time would give back the locks of the first.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import time
from pathlib import Path

KEY_BYTES = 32
_MAGIC = b"rowcast1"
"""Marks a file that is prepared. Should what stands in it change its form, it needs another name, not another mark."""

_PRESENT, _FIRST = 0, 1
"""Bytes to lock: the one that all hold who are there, and that of those who come."""

HEADER = 4096
"""Where the tables begin: behind the page with the mark and the key."""

_TRIES, _POLL_S = 400, 0.0002
"""How long a lock is waited for: a tenth of a second. It is held for microseconds, unless its process is stopped
meanwhile. Tries are counted, not time, of which a busy machine may take much from both sides."""


class MappedFile:
    """`size` bytes behind a header, all zero at first, and a random `key` that the processes share. Raises OSError."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._size = HEADER + size
        self._file = self._open()
        self.bytes = mmap.mmap(self._file, self._size)
        at = len(_MAGIC)
        self.key = self.bytes[at : at + KEY_BYTES]

    def acquire(self, at: int, length: int) -> bool:
        """Lock a range for this thread; False where it stays with a process that does not go on.

        A thread may hold several. Whoever takes them in another order than others may be told False.
        """
        self._lock.acquire()
        try:
            for _ in range(_TRIES):
                if self._try(at, length):
                    return True
                time.sleep(_POLL_S)
        except BaseException:
            self._lock.release()
            raise
        self._lock.release()
        return False

    def release(self, at: int, length: int) -> None:
        """Give back a range."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_UN, length, at)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Leave the file; the last one removes it."""
        with self._lock:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _PRESENT)
            except OSError:
                pass  # Others are there.
            else:
                self._path.unlink(missing_ok=True)
            self.bytes.close()
            os.close(self._file)

    def _try(self, at: int, length: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, at)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _open(self) -> int:
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.lockf(file, fcntl.LOCK_SH, 1, _PRESENT)
                if self._is_in_place(file):
                    self._prepare(file)
                    return file
            except BaseException:
                os.close(file)
                raise
            # The last one left, and took it away, just as this one came.
            os.close(file)

    def _is_in_place(self, file: int) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(file))

    def _prepare(self, file: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, _FIRST)
        try:
            if os.fstat(file).st_size < self._size:
                # Taken now: a full disk met later, through the map, would end the process.
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file, 0, self._size)
                else:
                    os.ftruncate(file, self._size)
            if os.pread(file, len(_MAGIC), 0) != _MAGIC:
                os.pwrite(file, os.urandom(KEY_BYTES), len(_MAGIC))
                # Last, so that one that dies before it leaves a file that is not prepared.
                os.pwrite(file, _MAGIC, 0)
        finally:
            fcntl.lockf(file, fcntl.LOCK_UN, 1, _FIRST)
