"""Deleting the files of records that do not hold them any more.

That follows a commit, before the next writer begins. On a disk it is done at once; a
bucket may take long, so there it is done by a thread of its own, and tried again
where it fails. By then there may be a new record of the same id, so in a bucket only
files that are named are deleted: no name is ever used twice.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Sequence

from rowcast.blobs.driver import BlobError, BlobNotFoundError, Blobs

_log = logging.getLogger("rowcast.blobs")

_PAUSES_S = (1.0, 5.0, 30.0)
"""How long to wait before each further attempt."""

_CLOSE_S = 20.0


class Removals:
    """Deletes files. Safe to use from several threads; never raises for what can't be deleted."""

    def __init__(self, blobs: Blobs, *, pauses_s: Sequence[float] = _PAUSES_S) -> None:
        self._blobs = blobs
        self._pauses_s = pauses_s
        self._queue: queue.SimpleQueue[tuple[Blobs, str, Sequence[str]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._folder = ""

    def remove(self, folder: str, names: Sequence[str]) -> None:
        """Delete files of a folder ("collection/record/"), with their thumbs."""
        blobs = self._place(folder)
        if blobs is None or not names:
            return
        if blobs.is_remote:
            self._later(blobs, folder, names)
            return
        try:
            _remove(blobs, folder, names)
        except BlobError as error:
            _note(folder, error)

    def remove_folder(self, folder: str, names: Sequence[str] = ()) -> None:
        """Delete a folder with all that is in it, of which `names` are known."""
        blobs = self._place(folder)
        if blobs is None:
            return
        if blobs.is_remote:
            if names:
                self._later(blobs, folder, names)
            return
        try:
            blobs.delete_prefix(folder)
        except BlobError as error:
            _note(folder, error)

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Delete what waits, as far as time allows; what is left over is logged."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is None:
            return
        self._closing.set()
        self._queue.put(None)
        thread.join(timeout_s)
        if thread.is_alive():
            _note(self._folder, BlobError("the server stopped"))
        while not self._queue.empty():
            order = self._queue.get()
            if order is not None:
                _note(order[1], BlobError("the server stopped"))

    def _place(self, folder: str) -> Blobs | None:
        """Return the place that is in force now, whatever the settings say when it is worked on."""
        try:
            return self._blobs.current
        except BlobError as error:
            _note(folder, error)
            return None

    def _later(self, blobs: Blobs, folder: str, names: Sequence[str]) -> None:
        self._queue.put((blobs, folder, names))
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rowcast-removals", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (order := self._queue.get()) is not None:
            self._folder = order[1]
            for pause_s in (*self._pauses_s, None):
                try:
                    _remove(*order)
                    break
                except BlobError as error:
                    if pause_s is None or self._closing.wait(pause_s):
                        _note(order[1], error)
                        break


def _remove(blobs: Blobs, folder: str, names: Sequence[str]) -> None:
    for name in names:
        if name and "/" not in name and "\\" not in name:
            with contextlib.suppress(BlobNotFoundError):
                blobs.delete(folder + name)
            blobs.delete_prefix(f"{folder}thumbs_{name}/")


def _note(folder: str, error: BlobError) -> None:
    _log.warning("files of %s are left over: %s", folder, error)
