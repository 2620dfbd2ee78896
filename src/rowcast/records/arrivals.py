"""Storing the uploads of a write before its transaction, where that takes long.

A bucket may take a minute for a large file, and nobody else could write in that
time. So the write is rehearsed first: it runs as a whole and is undone, which tells
whether it may be made at all and under which keys its files will lie. Then they are
stored, while others write, and then the write is made. Where it fails, the files go
again. On a disk none of this is needed: a finished upload is only given its name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from rowcast.blobs import BlobError, BlobNotFoundError, Blobs
from rowcast.schema.uploads import Ahead, Upload
from rowcast.storage import Storage

logger = logging.getLogger("rowcast.records")

T = TypeVar("T")


class _RehearsedError(Exception):
    """Undoes a write that went well."""


class Arrivals:
    """Makes writes that bring files."""

    def __init__(self, storage: Storage, blobs: Blobs) -> None:
        self._storage = storage
        self._blobs = blobs

    def write(self, uploads: Iterable[Upload], call: Callable[[], T]) -> T:
        """Run a write that opens a transaction, with its uploads stored before where the place is slow.

        `call` may run twice. Raises what it raises, and BlobError; then none of the files stays.
        """
        # A part of a larger write has been rehearsed with it.
        pending = [upload for upload in uploads if upload.ahead is None]
        if not pending or not self._blobs.is_remote:
            return call()
        blobs = self._blobs.current
        for upload in pending:
            upload.ahead = Ahead()
        self._rehearse(call)
        try:
            for upload in pending:
                _store(blobs, upload)
            return call()
        finally:
            for upload in pending:
                _forget(blobs, upload)

    def _rehearse(self, call: Callable[[], object]) -> None:
        try:
            with self._storage.write():
                call()
                raise _RehearsedError
        except _RehearsedError:
            pass


def store(blobs: Blobs, key: str, upload: Upload) -> None:
    """Store the content of an upload. Raises BlobError."""
    blobs.save(
        key,
        upload.content,
        content_type=upload.content_type(),
        original_name=upload.original_name,
        md5=upload.md5,
    )


def _store(blobs: Blobs, upload: Upload) -> None:
    if upload.ahead is not None and upload.ahead.key:
        # Before it is: where the answer gets lost it may be there all the same.
        upload.ahead.is_stored = True
        store(blobs, upload.ahead.key, upload)


def _forget(blobs: Blobs, upload: Upload) -> None:
    """Delete what was stored for a record that does not hold it."""
    ahead = upload.ahead
    if ahead is None or not ahead.is_stored or ahead.is_taken:
        return
    try:
        blobs.delete(ahead.key)
    except BlobNotFoundError:
        pass
    except BlobError as error:
        logger.warning("the file %s is left over: %s", ahead.key, error)
