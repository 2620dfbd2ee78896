"""Thumbs of stored pictures: made when somebody asks for the first time, and then stored.

Copies apis/file.go, createThumb: one that many ask for at once is made once, few are
made at the same time, and where one can't be made the original stands in for it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from rowcast.blobs import BlobError, BlobNotFoundError, Blobs
from rowcast.blobs.spool import Spool
from rowcast.errors import NotFoundError
from rowcast.pictures.workshop import PictureError, Workshop
from rowcast.records.files import StoredFile

_log = logging.getLogger("rowcast.records")

_IMAGES = frozenset(("image/png", "image/jpg", "image/jpeg", "image/gif", "image/webp"))
_KEPT_TYPES = frozenset(("image/jpeg", "image/gif"))

_MAX_BYTES = 128 << 20
_CHUNK = 1 << 20
_MAX_WAITING = 256
_FAILED_FOR_S = 600.0
_MAX_FAILED = 1024


class Thumbs:
    """Finds and makes thumbs. Safe to use from several threads; every call but `make` blocks."""

    def __init__(self, blobs: Blobs, spool: Spool, workshop: Workshop) -> None:
        self._blobs = blobs
        self._spool = spool
        self._workshop = workshop
        self._threads = ThreadPoolExecutor(max(1, os.cpu_count() or 1), thread_name_prefix="rowcast-thumb")
        self._lock = threading.Lock()
        self._waiting: dict[str, Future[StoredFile]] = {}
        self._failed: OrderedDict[str, float] = OrderedDict()

    def ready(self, original: StoredFile) -> StoredFile | None:
        """Return the wanted thumb if it is there, the original where there can be none, and None where it must be made.

        Raises NotFoundError without an original, and BlobError.
        """
        thumb = _thumb_of(original)
        if self._blobs.exists(thumb.key):
            # With the original it would be gone.
            return thumb
        try:
            is_image = self._blobs.info(original.key).content_type in _IMAGES
        except BlobNotFoundError as error:
            raise NotFoundError from error
        return None if is_image and not self._has_failed(thumb.key) else original

    def make(self, original: StoredFile) -> Future[StoredFile]:
        """Begin to make the wanted thumb, or join who does; the result is the original where that fails."""
        thumb = _thumb_of(original)
        with self._lock:
            waiting = self._waiting.get(thumb.key)
            if waiting is not None:
                return waiting
            if len(self._waiting) >= _MAX_WAITING:
                refused: Future[StoredFile] = Future()
                refused.set_result(original)
                return refused
            made = self._waiting[thumb.key] = self._threads.submit(self._make, original, thumb)
        made.add_done_callback(lambda _: self._done(thumb.key))
        return made

    def close(self) -> None:
        """Wait for what runs, and end the processes."""
        self._threads.shutdown(cancel_futures=True)
        self._workshop.close()

    def _done(self, key: str) -> None:
        with self._lock:
            self._waiting.pop(key, None)

    def _make(self, original: StoredFile, thumb: StoredFile) -> StoredFile:
        try:
            # Somebody may have made it between the question and this turn.
            if not self._blobs.exists(thumb.key):
                self._store(original, thumb)
        except (BlobError, PictureError, OSError) as error:
            _log.warning("the original stands in for the thumb %s: %s", thumb.key, error)
            if isinstance(error, PictureError):
                self._note_failure(thumb.key)
            return original
        return thumb

    def _store(self, original: StoredFile, thumb: StoredFile) -> None:
        with self._spool.file() as source, self._spool.file() as target:
            content_type = self._fetch(original.key, source)
            self._workshop.thumb(source, target, original.thumb, content_type)
            content_type = content_type if content_type in _KEPT_TYPES else "image/png"
            self._blobs.save(thumb.key, target, content_type=content_type)
        if not self._blobs.exists(original.key):
            # Deleted meanwhile, with the thumbs that there were.
            self._blobs.delete(thumb.key)
            raise BlobNotFoundError(f"there is no file {original.key} any more")

    def _fetch(self, key: str, target: Path) -> str:
        """Copy a picture to a file and return its type."""
        info, file = self._blobs.open_with_info(key)
        with file, target.open("xb") as out:
            if info.size > _MAX_BYTES:
                raise PictureError(f"{info.size} bytes are too many")
            while chunk := file.read(_CHUNK):
                out.write(chunk)
        return info.content_type

    def _has_failed(self, key: str) -> bool:
        """Whether it is known that a thumb can't be made; a broken picture is not tried for every request."""
        with self._lock:
            return self._failed.get(key, 0.0) > time.monotonic()

    def _note_failure(self, key: str) -> None:
        with self._lock:
            self._failed[key] = time.monotonic() + _FAILED_FOR_S
            self._failed.move_to_end(key)
            if len(self._failed) > _MAX_FAILED:
                self._failed.popitem(last=False)


def _thumb_of(original: StoredFile) -> StoredFile:
    folder, name = original.key.rpartition("/")[0], original.name
    return StoredFile(f"{folder}/thumbs_{name}/{original.thumb}_{name}", f"{original.thumb}_{name}")
