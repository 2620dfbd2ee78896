"""Checks of the machine: limits, disk, permissions, versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from rowcast import __version__
from rowcast.doctor.findings import Finding, ok, problem, some, warning

_SPARE_FILES = 200
"""Files that a server has open besides streams: databases, sockets of requests, uploads."""

_FEW_BYTES, _HARDLY_BYTES = 1_000_000_000, 100_000_000
_BACKLOG = 1024
_LIBRARIES = ("apsw", "bcrypt", "click", "httptools", "msgspec", "uvicorn", "uvloop")


def open_files(streams: int) -> Iterator[Finding]:
    """Check that as many streams as are wanted may be open at once."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = streams + _SPARE_FILES
    if hard != resource.RLIM_INFINITY and hard < wanted:
        mend = f"raise it to {wanted} or more: LimitNOFILE= of systemd, ulimits of Docker, `ulimit -Hn` of a shell"
        yield problem("open files", f"A process may open {hard} files, so {streams} streams do not fit.", mend)
    else:
        yield ok("open files", f"A process may open enough files for {streams} streams.")
    system = _number("/proc/sys/fs/file-max")
    if system is not None and system < wanted:
        mend = f"sysctl -w fs.file-max={2 * wanted}"
        yield problem("open files", f"All processes together may open {system} files only.", mend)
    backlog = _number("/proc/sys/net/core/somaxconn")
    if backlog is not None and backlog < _BACKLOG:
        mend = "sysctl -w net.core.somaxconn=4096"
        yield warning(
            "backlog", f"Only {backlog} connections may wait, too few for clients that come back at once.", mend
        )
    elif backlog is not None:
        yield ok("backlog", f"{backlog} connections may wait to be accepted.")


def disk(directory: Path) -> Finding:
    """Check that there is room."""
    free = shutil.disk_usage(directory).free
    said = f"The disk of {directory} has {free // 1_000_000} MB left"
    mend = "make room; writes fail when the disk is full"
    if free < _HARDLY_BYTES:
        return problem("disk", f"{said}.", mend)
    return warning("disk", f"{said}.", mend) if free < _FEW_BYTES else ok("disk", f"{said}.")


def permissions(directory: Path) -> Iterator[Finding]:
    """Check that whoever runs this, as the server should be, may write what it must, and not everybody."""
    paths = [directory, *(path for path in sorted(directory.iterdir()) if path.name.partition("-")[0].endswith(".db"))]
    if (directory / "storage").is_dir():
        paths.append(directory / "storage")
    locked = [path.name for path in paths if not os.access(path, os.R_OK | os.W_OK)]
    owners = {path.stat().st_uid for path in paths}
    open_to_all = [path.name for path in paths if path.stat().st_mode & stat.S_IWOTH]
    if locked:
        mend = "run this, and the server, as the owner of the directory, or give it to them with chown"
        yield problem("permissions", f"This user may not write {some(locked)}.", mend)
    if len(owners) > 1:
        mend = "give all of them to the user of the server: chown -R"
        yield warning("permissions", "The files of the directory belong to several users.", mend)
    if open_to_all:
        yield warning("permissions", f"Everybody may write {some(open_to_all)}.", "take that right away: chmod -R o-w")
    if not (locked or len(owners) > 1 or open_to_all):
        yield ok("permissions", "The files of the directory may be written, and not by everybody.")


def versions(sqlite: str) -> Finding:
    """Say which versions are at work."""
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    return ok("versions", f"rowcast {__version__}, Python {platform.python_version()}, SQLite {sqlite}, {libraries}.")


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None
