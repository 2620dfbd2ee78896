"""Who uses a data directory: many processes share it, one that replaces its content has it alone.

The lock is a `flock` on the directory itself, so it needs no file and ends with its
process, however that ends. Where a file system knows no such locks (some network
ones), everybody is let in.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rowcast.errors import DataDirError

_WAIT_S = 10.0
_PAUSE_S = 0.05
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.EBADF})


class OccupiedError(DataDirError):
    """Another process uses what must be had alone, or has alone what is to be shared."""


class Occupancy:
    """The lock of one process on one directory. `is_alone` says whether nobody else may come in."""

    def __init__(self, root: Path, wait_s: float = _WAIT_S) -> None:
        """Come in: alone where nobody is there, else beside the others.

        Raises OccupiedError where another process has the directory alone and does not end that in time.
        """
        self.root = root
        self.is_alone = False
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        end = time.monotonic() + wait_s
        while not (self._take(fcntl.LOCK_EX) or self._take(fcntl.LOCK_SH)):
            if time.monotonic() > end:
                self.leave()
                raise OccupiedError(f"the data directory {root} is being replaced by another process; try again later")
            time.sleep(_PAUSE_S)

    def claim(self, patience_s: float = 0.0) -> None:
        """Have the directory alone. Raises OccupiedError where another process still uses it after this time."""
        end = time.monotonic() + patience_s
        while not self._take(fcntl.LOCK_EX):
            # A lock that can't be changed may be lost.
            fcntl.flock(self._fd, fcntl.LOCK_SH)
            if time.monotonic() >= end:
                raise OccupiedError(f"other processes use the data directory {self.root}; stop them first")
            time.sleep(_PAUSE_S)

    def share(self) -> None:
        """Let others in."""
        if self.is_alone:
            fcntl.flock(self._fd, fcntl.LOCK_SH)
            self.is_alone = False

    def leave(self) -> None:
        """Let go of the directory. May be called again without effect."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self.is_alone = -1, False

    def _take(self, kind: int) -> bool:
        if not _lock(self._fd, kind):
            return False
        self.is_alone = kind == fcntl.LOCK_EX
        return True


@contextmanager
def alone_at(folder: Path) -> Iterator[None]:
    """Have a folder alone while the block runs. Raises OccupiedError where another process, or thread, has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not _lock(descriptor, fcntl.LOCK_EX):
            raise OccupiedError(f"{folder} is in use")
        yield
    finally:
        os.close(descriptor)


def is_taken(folder: Path) -> bool:
    """Whether somebody has a folder alone; no where there is no such folder."""
    try:
        with alone_at(folder):
            return False
    except OccupiedError:
        return True
    except OSError:
        return False


def _lock(descriptor: int, kind: int) -> bool:
    """Take a lock if it is free, or if there are no locks here."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True
