"""Hands pictures to worker processes, as many at once as it has callers."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import threading
from pathlib import Path

from rowcast.errors import RowcastError

_TIMEOUT_S = 30.0


class PictureError(RowcastError):
    """A picture that can't be made smaller: broken, too large, or none."""


class Workshop:
    """Makes thumbs. Synchronous; each call has a process to itself, which is kept for the next one."""

    def __init__(self, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._idle: list[subprocess.Popen[bytes]] = []

    def thumb(self, source: Path, target: Path, size: str, content_type: str) -> None:
        """Write the thumb of the picture in `source` to `target`. Raises PictureError, in bounded time."""
        order = {"source": str(source), "target": str(target), "size": size, "content_type": content_type}
        worker = self._take()
        try:
            answer = _ask(worker, json.dumps(order).encode() + b"\n", self._timeout_s)
        except BaseException:
            _end(worker)
            raise
        with self._lock:
            self._idle.append(worker)
        if "error" in answer:
            raise PictureError(answer["error"])

    def close(self) -> None:
        """End the idle processes."""
        with self._lock:
            workers, self._idle = self._idle, []
        for worker in workers:
            _end(worker)

    def _take(self) -> subprocess.Popen[bytes]:
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return _start()
            # It leaves by itself when it had nothing to do for a while.
            if worker.poll() is None:
                return worker
            _end(worker)


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "rowcast.pictures.worker"]
    try:
        return subprocess.Popen(  # noqa: S603 - of this package
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except (OSError, TypeError) as error:
        # Inside of another program there may be no Python to start.
        raise PictureError(f"no process can be started: {error}") from error


def _ask(worker: subprocess.Popen[bytes], order: bytes, timeout_s: float) -> dict[str, str]:
    if worker.stdin is None or worker.stdout is None:
        raise PictureError("the process has no pipes")
    try:
        worker.stdin.write(order)
        worker.stdin.flush()
        if not select.select([worker.stdout], [], [], timeout_s)[0]:
            raise PictureError(f"it took more than {timeout_s:g} s")
        line = worker.stdout.readline()
    except OSError as error:
        raise PictureError(f"the process ended: {error.strerror}") from error
    if not line:
        raise PictureError("the process ended")
    answer: dict[str, str] = json.loads(line)
    return answer


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was not flushed
                pipe.close()
    worker.wait()
