"""Files below one directory, each with the `.attrs` file that the reference writes beside it.

Copies tools/filesystem/internal/fileblob. A key never leaves the directory: it is a
list of plain names.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from rowcast import encoding
from rowcast.blobs.driver import (
    DEFAULT_TYPE,
    ORIGINAL_NAME,
    BlobError,
    BlobInfo,
    BlobNotFoundError,
    check_prefix,
    names_of,
    shortened,
)

_ATTRS = ".attrs"
_TEMPORARY = ".tmp"
_CHUNK = 1 << 20
_ROUNDS = 3


class _Attributes(msgspec.Struct):
    """The JSON of a `.attrs` file."""

    cache_control: str = msgspec.field(default="", name="user.cache_control")
    content_disposition: str = msgspec.field(default="", name="user.content_disposition")
    content_encoding: str = msgspec.field(default="", name="user.content_encoding")
    content_language: str = msgspec.field(default="", name="user.content_language")
    content_type: str = msgspec.field(default=DEFAULT_TYPE, name="user.content_type")
    metadata: dict[str, str] | None = msgspec.field(default=None, name="user.metadata")
    md5: str | None = None


class LocalBlobs:
    """Files below one directory, which is made with the first file.

    Where there is a directory `held`, files move there instead of being deleted: a
    backup under way may still need them.
    """

    is_remote = False

    def __init__(self, root: str | Path, held: Path | None = None) -> None:
        self.root = Path(root)
        self._held = held

    @property
    def current(self) -> LocalBlobs:
        """The same."""
        return self

    def save(
        self,
        key: str,
        source: bytes | BinaryIO | Path,
        *,
        content_type: str = DEFAULT_TYPE,
        original_name: str = "",
        md5: bytes = b"",
    ) -> int:
        """Store a file, replacing one of the same key, and return its size.

        A path on the same file system becomes the stored file without being copied.
        """
        path = self._path(key)
        temporary = path.with_name(f".{secrets.token_hex(8)}{_TEMPORARY}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                size, md5 = _link(source, temporary, md5) if isinstance(source, Path) else _copy(source, temporary)
                # The reference reads a file without .attrs as binary data, so they come first.
                _write_attributes(path, content_type, original_name, md5)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                if not path.exists():
                    _attributes_path(path).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise BlobError(f"the file {key} can't be stored: {_reason(error)}") from error
        return size

    def open(self, key: str) -> BinaryIO:
        """Open a file for reading."""
        path = self.path(key)
        try:
            return path.open("rb")
        except OSError as error:
            raise _read_error(key, error) from error

    def open_with_info(self, key: str) -> tuple[BlobInfo, BinaryIO]:
        """Open a file for reading, and return what is known of it."""
        file = self.open(key)
        try:
            return self._described(key, self.root / key, os.fstat(file.fileno())), file
        except BaseException:
            file.close()
            raise

    def info(self, key: str) -> BlobInfo:
        """Return what is known of a file."""
        path = self.path(key)
        try:
            return self._described(key, path, path.stat())
        except OSError as error:
            raise _read_error(key, error) from error

    def exists(self, key: str) -> bool:
        """Whether there is a file with this key."""
        try:
            return self._path(key).is_file()
        except (BlobError, OSError):
            return False

    def path(self, key: str) -> Path:
        """Return where a file lies, for who can send it from the disk. Raises BlobNotFoundError."""
        try:
            path = self._path(key)
        except BlobError as error:
            raise BlobNotFoundError(str(error)) from error
        if not path.is_file():
            raise BlobNotFoundError(f"there is no file {key}")
        return path

    def delete(self, key: str) -> None:
        """Delete a file."""
        path = self.path(key)
        try:
            self._hold(path)
            path.unlink(missing_ok=True)
            _attributes_path(path).unlink(missing_ok=True)
        except OSError as error:
            raise _read_error(key, error) from error

    def delete_prefix(self, prefix: str) -> None:
        """Delete all files whose keys begin with `prefix`; with a trailing slash the directories too."""
        check_prefix(prefix)
        try:
            if prefix.endswith("/"):
                path = self._path(prefix[:-1])
                for _ in range(_ROUNDS):
                    if not path.is_dir():
                        return
                    for file in self._paths(prefix) if self._is_holding else ():
                        self._hold(file)
                    # A thumb may be stored meanwhile.
                    shutil.rmtree(path, ignore_errors=True)
                shutil.rmtree(path)
                return
            for path in self._paths(prefix):
                self._hold(path)
                path.unlink(missing_ok=True)
                _attributes_path(path).unlink(missing_ok=True)
        except OSError as error:
            raise BlobError(f"the files {prefix} can't be deleted: {_reason(error)}") from error

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Give all files whose keys begin with `prefix`."""
        for path in self._paths(prefix):
            with contextlib.suppress(FileNotFoundError):  # deleted since
                yield self._described(path.relative_to(self.root).as_posix(), path, path.stat())

    @property
    def _is_holding(self) -> bool:
        return self._held is not None and self._held.is_dir()

    def _hold(self, path: Path) -> None:
        """Give a file that is about to be deleted a second life with the backup that is under way, if one is."""
        if self._held is None or not self._is_holding:
            return
        folder = self._held
        # The backup may end meanwhile and take the directory away: it must not come back.
        with contextlib.suppress(OSError):
            for name in path.parent.relative_to(self.root).parts:
                folder /= name
                with contextlib.suppress(FileExistsError):
                    folder.mkdir()
            for file in (path, _attributes_path(path)):
                file.replace(folder / file.name)

    def _path(self, key: str) -> Path:
        return self.root.joinpath(*names_of(key))

    def _paths(self, prefix: str) -> Iterator[Path]:
        """Give the paths of the files whose keys begin with `prefix`."""
        directory, _, beginning = prefix.rpartition("/")
        start = self._path(directory) if directory else self.root
        for folder, folders, files in os.walk(start):
            here = Path(folder)
            if here == start:
                folders[:] = [name for name in folders if name.startswith(beginning)]
            folders.sort()
            for name in sorted(files):
                if not name.endswith((_ATTRS, _TEMPORARY)) and (here != start or name.startswith(beginning)):
                    yield here / name

    def _described(self, key: str, path: Path, status: os.stat_result) -> BlobInfo:
        attributes = _read_attributes(path)
        return BlobInfo(
            key=key,
            size=status.st_size,
            modified=status.st_mtime,
            content_type=attributes.content_type,
            original_name=(attributes.metadata or {}).get(ORIGINAL_NAME, ""),
        )


def _link(source: Path, target: Path, md5: bytes) -> tuple[int, bytes]:
    """Give a finished file a second name, or copy it where that can't be; return its size and MD5."""
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without hard links.
        with source.open("rb") as file:
            return _copy(file, target)
    if not md5:
        with target.open("rb") as file:
            md5 = hashlib.file_digest(file, _md5).digest()
    return target.stat().st_size, md5


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def _copy(source: bytes | BinaryIO, target: Path) -> tuple[int, bytes]:
    """Write `source` to a new file; return its size and MD5."""
    md5, size = _md5(), 0
    with target.open("xb") as file:
        if isinstance(source, bytes):
            file.write(source)
            md5.update(source)
            size = len(source)
        else:
            while chunk := source.read(_CHUNK):
                file.write(chunk)
                md5.update(chunk)
                size += len(chunk)
    return size, md5.digest()


def _attributes_path(path: Path) -> Path:
    return path.with_name(path.name + _ATTRS)


def _write_attributes(path: Path, content_type: str, original_name: str, md5: bytes) -> None:
    attributes = _Attributes(
        content_type=content_type,
        metadata={ORIGINAL_NAME: shortened(original_name).decode("utf-8", "replace")} if original_name else None,
        md5=base64.b64encode(md5).decode(),
    )
    _attributes_path(path).write_bytes(encoding.encode(attributes) + b"\n")


def _read_attributes(path: Path) -> _Attributes:
    try:
        return msgspec.json.decode(_attributes_path(path).read_bytes(), type=_Attributes)
    except (FileNotFoundError, msgspec.MsgspecError):
        return _Attributes()


def _read_error(key: str, error: OSError) -> BlobError:
    if isinstance(error, FileNotFoundError):
        return BlobNotFoundError(f"there is no file {key}")
    return BlobError(f"the file {key} can't be used: {_reason(error)}")


def _reason(error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return "the disk is full"
    return error.strerror or str(error)
