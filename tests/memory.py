"""Where the data of tests is: in memory, where there is plenty of it.

Most of the time of a run was waiting for the disk, since databases are made, committed to and
dropped many thousand times. None of it need outlive the machine. TMPDIR takes it elsewhere.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - each run has a folder of its own in it
_ROOM_BYTES = 3 << 30
_NAME = "rowcast-tests-"

_failed: list[int] = []


def use() -> None:
    """Have temporary files in memory from now on, also those of processes that are started."""
    if "TMPDIR" in os.environ or not _is_fit(_MEMORY):
        return
    for folder in _MEMORY.glob(f"{_NAME}*"):
        if not Path("/proc", folder.name.removeprefix(_NAME)).exists():
            shutil.rmtree(folder, ignore_errors=True)
    folder = _MEMORY / f"{_NAME}{os.getpid()}"
    folder.mkdir(exist_ok=True)
    # PostgreSQL may run as another user.
    folder.chmod(0o755)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    # What is registered first runs last: databases stop before.
    atexit.register(_leave, folder)


def _is_fit(folder: Path) -> bool:
    """Whether there is room, and programs may run from there: some tests write one."""
    if not folder.is_dir() or shutil.disk_usage(folder).free < _ROOM_BYTES:
        return False
    return not os.statvfs(folder).f_flag & os.ST_NOEXEC


def keep() -> None:
    """Leave the files where they are when the process ends; the next run removes them."""
    _failed.append(os.getpid())


def _leave(folder: Path) -> None:
    if not _failed:
        shutil.rmtree(folder, ignore_errors=True)
