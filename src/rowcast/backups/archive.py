"""Zip files as the reference writes and reads them (tools/archive).

Written in one go, with flat memory but for some hundred bytes for each file.
Nothing that an archive says is believed: names stay below the target, sizes fit
the disk, checksums hold, and only plain files come out of it.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rowcast.errors import RowcastError
from rowcast.storage.swap import NOT_CONTENT

Progress = Callable[[str, int, int], None]
"""Gets what is being done, how many bytes of it are done, and of how many (0: not known). What it raises ends it."""

_CHUNK = 1 << 20
_FASTEST = 1
_ENCRYPTED = 1
_MADE_ANEW = frozenset({"data.db-shm", "auxiliary.db-shm"})
_SPARE = 16 << 20
"""The bytes that stay free on the disk when an archive is unpacked."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ArchiveError(RowcastError):
    """An archive can't be written, or is not one that can be restored; the text says why."""


def reason_of(error: OSError) -> str:
    """Return what the system says of a failure."""
    return "the disk is full" if error.errno in _FULL else error.strerror or str(error)


class _Output:
    """A file that is written from its beginning to its end, with its checksum. It can't seek, so no size comes late."""

    def __init__(self, file: BinaryIO, wrote: Callable[[int], None]) -> None:
        self._file = file
        self._wrote = wrote
        self.size = 0
        self.is_wanted = True
        self.md5 = hashlib.md5(usedforsecurity=False)

    def write(self, data: bytes) -> int:
        if not self.is_wanted:
            return len(data)
        self._file.write(data)
        self.md5.update(data)
        self.size += len(data)
        self._wrote(self.size)
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Writer:
    """Writes a new archive. Used as a block, behind which it is on the disk; one that failed has to be deleted."""

    def __init__(self, target: Path, progress: Progress) -> None:
        """`progress` gets the bytes that were written."""
        self._output = _Output(target.open("xb"), lambda size: progress("archive", size, 0))
        self._zip = zipfile.ZipFile(self._output, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # An archive that was given up is ended all the same, but into nothing.
        self._output.is_wanted = kind is None
        try:
            self._zip.close()
        finally:
            self._output.close()

    @property
    def md5(self) -> bytes:
        """The checksum of what was written."""
        return self._output.md5.digest()

    def holds(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return name in self._zip.NameToInfo

    def add(self, file: Path, name: str) -> None:
        """Add a file. Raises FileNotFoundError, and nothing was written, where there is none any more."""
        self._zip.write(file, name, compresslevel=_FASTEST)


def unpack(archive: Path, target: Path, progress: Progress) -> None:
    """Write the content of an archive below `target`, an empty directory. Raises ArchiveError.

    What belongs to no data directory is left out, and so is what is no plain file.
    """
    with _reading(), zipfile.ZipFile(archive) as opened:
        chosen = list(_content(opened.infolist()))
        total, free = sum(info.file_size for info, _ in chosen), shutil.disk_usage(target).free
        if total + _SPARE > free:
            raise ArchiveError(f"the archive holds {total:,} bytes, and only {free:,} are free on the disk")
        done = 0
        for info, name in chosen:
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(info) as source, path.open("xb") as file:
                while piece := source.read(_CHUNK):
                    file.write(piece)
                    done += len(piece)
                    progress("unpack", done, total)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise ArchiveError("the archive holds two files of one name") from error
    except (IsADirectoryError, NotADirectoryError) as error:
        raise ArchiveError("the archive holds a file and a directory of one name") from error
    except OSError as error:
        raise ArchiveError(f"the archive can't be unpacked: {reason_of(error)}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ArchiveError(f"the archive is damaged, or is no zip archive: {error}") from error


def _content(found: list[zipfile.ZipInfo]) -> Iterator[tuple[zipfile.ZipInfo, str]]:
    for info in found:
        names = _names(info.filename)
        if info.flag_bits & _ENCRYPTED:
            raise ArchiveError("the archive is encrypted")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.is_dir() or kind not in {0, stat.S_IFREG} or not names:
            continue
        if names[0] not in NOT_CONTENT and "/".join(names) not in _MADE_ANEW:
            yield info, "/".join(names)


def _names(text: str) -> list[str]:
    """Return the names in a path. Raises ArchiveError where it may leave the directory."""
    names = text.split("/")
    if text.startswith("/") or "\\" in text or ".." in names:
        raise ArchiveError(f"the archive holds {text[:200]!r}, which lies outside of a data directory")
    return [name for name in names if name not in {"", "."}]
