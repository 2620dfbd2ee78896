"""Files by key: `<collection id>/<record id>/<file name>`.

`Blobs` is what a driver offers; `LocalBlobs` keeps files below one directory, each
with the `.attrs` file that the reference writes beside it (tools/filesystem,
internal/fileblob). A file appears whole or not at all. A key never leaves the
directory: it is a list of plain names. Calls block; run them in a thread.
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
from typing import BinaryIO, Protocol

import msgspec

from rowcast import encoding
from rowcast.errors import RowcastError

_ATTRS = ".attrs"
_TEMPORARY = ".tmp"
_CHUNK = 1 << 20
_MAX_NAME_BYTES = 255
_DEFAULT_TYPE = "application/octet-stream"


class BlobError(RowcastError):
    """A file can't be read or written (disk full, no permission, a key that is no path)."""


class BlobNotFoundError(BlobError):
    """There is no file with this key."""


class BlobInfo(msgspec.Struct, frozen=True):
    """What is known of a file. `modified` in seconds since 1970; `original_name` is "" where unknown."""

    key: str
    size: int
    modified: float
    content_type: str = _DEFAULT_TYPE
    original_name: str = ""


class Blobs(Protocol):
    """A place for files. Every method raises BlobError where the place fails."""

    def save(
        self, key: str, source: bytes | BinaryIO, *, content_type: str = _DEFAULT_TYPE, original_name: str = ""
    ) -> int:
        """Store a file, replacing one of the same key, and return its size. A stream is read from where it stands."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Open a file for reading; it can seek. Raises BlobNotFoundError."""
        ...

    def info(self, key: str) -> BlobInfo:
        """Return what is known of a file. Raises BlobNotFoundError."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is a file with this key."""
        ...

    def delete(self, key: str) -> None:
        """Delete a file. Raises BlobNotFoundError."""
        ...

    def delete_prefix(self, prefix: str) -> None:
        """Delete all files whose keys begin with `prefix` ("a/b/" or "a/b/file_"); none is no error."""
        ...

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Give all files whose keys begin with `prefix`, ordered by key within each directory."""
        ...


class _Attributes(msgspec.Struct):
    """The JSON of a `.attrs` file."""

    cache_control: str = msgspec.field(default="", name="user.cache_control")
    content_disposition: str = msgspec.field(default="", name="user.content_disposition")
    content_encoding: str = msgspec.field(default="", name="user.content_encoding")
    content_language: str = msgspec.field(default="", name="user.content_language")
    content_type: str = msgspec.field(default=_DEFAULT_TYPE, name="user.content_type")
    metadata: dict[str, str] | None = msgspec.field(default=None, name="user.metadata")
    md5: str | None = None


class LocalBlobs:
    """Files below one directory, which is made with the first file."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def save(
        self, key: str, source: bytes | BinaryIO, *, content_type: str = _DEFAULT_TYPE, original_name: str = ""
    ) -> int:
        """Store a file, replacing one of the same key, and return its size."""
        path = self._path(key)
        temporary = path.with_name(f".{secrets.token_hex(8)}{_TEMPORARY}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                size, md5 = _copy(source, temporary)
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

    def info(self, key: str) -> BlobInfo:
        """Return what is known of a file."""
        path = self.path(key)
        try:
            return self._info(key, path)
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
            path.unlink()
            _attributes_path(path).unlink(missing_ok=True)
        except OSError as error:
            raise _read_error(key, error) from error

    def delete_prefix(self, prefix: str) -> None:
        """Delete all files whose keys begin with `prefix`; with a trailing slash the directories too."""
        if not prefix.strip("/"):
            raise BlobError("a prefix must name something")
        try:
            if prefix.endswith("/"):
                path = self._path(prefix[:-1])
                if path.is_dir():
                    shutil.rmtree(path)
                return
            for path in self._paths(prefix):
                path.unlink(missing_ok=True)
                _attributes_path(path).unlink(missing_ok=True)
        except OSError as error:
            raise BlobError(f"the files {prefix} can't be deleted: {_reason(error)}") from error

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Give all files whose keys begin with `prefix`."""
        for path in self._paths(prefix):
            with contextlib.suppress(FileNotFoundError):  # deleted since
                yield self._info(path.relative_to(self.root).as_posix(), path)

    def _path(self, key: str) -> Path:
        names = key.split("/")
        for name in names:
            if (
                name in {"", ".", ".."}
                or not name.isprintable()
                or "\\" in name
                or name.endswith(_ATTRS)
                or len(name.encode(errors="replace")) > _MAX_NAME_BYTES
            ):
                raise BlobError(f"{key!r} is not the key of a file")
        return self.root.joinpath(*names)

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

    def _info(self, key: str, path: Path) -> BlobInfo:
        status = path.stat()
        attributes = _read_attributes(path)
        return BlobInfo(
            key=key,
            size=status.st_size,
            modified=status.st_mtime,
            content_type=attributes.content_type,
            original_name=(attributes.metadata or {}).get("original-filename", ""),
        )


def _copy(source: bytes | BinaryIO, target: Path) -> tuple[int, bytes]:
    """Write `source` to a new file; return its size and MD5."""
    md5, size = hashlib.md5(usedforsecurity=False), 0
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
        metadata={"original-filename": original_name[:255]} if original_name else None,
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
