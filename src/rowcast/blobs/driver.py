"""What a place for files offers, whatever it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from rowcast.errors import RowcastError

DEFAULT_TYPE = "application/octet-stream"

ORIGINAL_NAME = "original-filename"
"""The name of the metadata that holds the name under which a file was uploaded (tools/filesystem/filesystem.go)."""

_ATTRS = ".attrs"
_MAX_NAME_BYTES = 255


class BlobError(RowcastError):
    """A file can't be read or written (disk full, no permission, a bucket that does not answer, a key that is none)."""


class BlobNotFoundError(BlobError):
    """There is no file with this key."""


class BlobInfo(msgspec.Struct, frozen=True):
    """What is known of a file. `modified` in seconds since 1970; `original_name` is "" where unknown."""

    key: str
    size: int
    modified: float
    content_type: str = DEFAULT_TYPE
    original_name: str = ""


class Blobs(Protocol):
    """A place for files. Every method blocks, and raises BlobError where the place fails."""

    @property
    def is_remote(self) -> bool:
        """Whether calls go over a network, where they may take long."""
        ...

    @property
    def current(self) -> Blobs:
        """The place that is in force now, for calls that belong together. Raises BlobError."""
        ...

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

        A stream is read from where it stands. A path names a finished file that nobody
        changes any more: it may become the stored one itself. `md5` is that of a path,
        where it is known already.
        """
        ...

    def open(self, key: str) -> BinaryIO:
        """Open a file for reading; it can seek. Raises BlobNotFoundError."""
        ...

    def open_with_info(self, key: str) -> tuple[BlobInfo, BinaryIO]:
        """Open a file as `open` does, and return what is known of it as well."""
        ...

    def info(self, key: str) -> BlobInfo:
        """Return what is known of a file. Raises BlobNotFoundError."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is a file with this key."""
        ...

    def delete(self, key: str) -> None:
        """Delete a file. Raises BlobNotFoundError where the place can tell that there is none."""
        ...

    def delete_prefix(self, prefix: str) -> None:
        """Delete all files whose keys begin with `prefix` ("a/b/" or "a/b/file_"); none is no error."""
        ...

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Give all files whose keys begin with `prefix`, ordered by key within each directory.

        Type and original name are left out where a place does not tell them of many files at once.
        """
        ...


def names_of(key: str) -> list[str]:
    """Return the plain names that a key is made of. Raises BlobError where one of them is none."""
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
    return names


def check_prefix(prefix: str) -> None:
    """Raise BlobError for a prefix that would mean everything."""
    if not prefix.strip("/"):
        raise BlobError("a prefix must name something")


def shortened(original_name: str) -> bytes:
    """Return the part of an original name that is stored: its first 255 bytes."""
    return original_name.encode("utf-8", "replace")[:255]
