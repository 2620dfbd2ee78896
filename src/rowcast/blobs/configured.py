"""The files of a running server: in the place that the settings in force name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rowcast.blobs.driver import DEFAULT_TYPE, BlobInfo, Blobs
from rowcast.blobs.local import LocalBlobs
from rowcast.config import S3Settings, SettingsRef


def bucket(settings: S3Settings) -> Blobs:
    """Return the files of a bucket. Raises BlobError where its settings are not complete."""
    from rowcast.blobs.s3 import S3Blobs  # noqa: PLC0415 -- most servers keep their files on the disk

    return S3Blobs(settings)


class ConfiguredBlobs:
    """Files in the bucket of the settings where that is enabled, else below a directory; as from the next call."""

    def __init__(self, settings: SettingsRef, local: LocalBlobs) -> None:
        self._settings = settings
        self._local = local
        self._bucket: tuple[S3Settings, Blobs] | None = None

    @property
    def is_remote(self) -> bool:
        """Whether calls go over a network, where they may take long."""
        return self._settings.current.s3.enabled

    @property
    def current(self) -> Blobs:
        """The place in force, for who makes several calls that belong together. Raises BlobError."""
        settings, known = self._settings.current.s3, self._bucket
        if not settings.enabled:
            return self._local
        if known is None or known[0] != settings:
            known = self._bucket = settings, bucket(settings)
        return known[1]

    def save(
        self,
        key: str,
        source: bytes | BinaryIO | Path,
        *,
        content_type: str = DEFAULT_TYPE,
        original_name: str = "",
        md5: bytes = b"",
    ) -> int:
        """Store a file, replacing one of the same key, and return its size."""
        return self.current.save(key, source, content_type=content_type, original_name=original_name, md5=md5)

    def open(self, key: str) -> BinaryIO:
        """Open a file for reading."""
        return self.current.open(key)

    def open_with_info(self, key: str) -> tuple[BlobInfo, BinaryIO]:
        """Open a file for reading, and return what is known of it."""
        return self.current.open_with_info(key)

    def info(self, key: str) -> BlobInfo:
        """Return what is known of a file."""
        return self.current.info(key)

    def exists(self, key: str) -> bool:
        """Whether there is a file with this key."""
        return self.current.exists(key)

    def delete(self, key: str) -> None:
        """Delete a file."""
        self.current.delete(key)

    def delete_prefix(self, prefix: str) -> None:
        """Delete all files whose keys begin with `prefix`."""
        self.current.delete_prefix(prefix)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Give all files whose keys begin with `prefix`."""
        return self.current.list(prefix)
