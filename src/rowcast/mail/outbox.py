"""Mails on their way: sent in the background, by threads of their own.

A mail that can't be sent is logged and lost. What must happen once a mail has left,
or where it has not, is handed in with it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from rowcast.errors import RowcastError
from rowcast.mail import Mailer, Message

_log = logging.getLogger("rowcast.mail")

_MOST_WAITING = 1_000
_THREADS = 2


@dataclass(frozen=True, slots=True)
class _Job:
    message: Message
    then: Callable[[], None] | None
    otherwise: Callable[[], None] | None


class Outbox:
    """Sends mails in the background. Safe to use from several threads."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    def send(
        self,
        message: Message,
        *,
        then: Callable[[], None] | None = None,
        otherwise: Callable[[], None] | None = None,
    ) -> None:
        """Have a mail sent, and `then` called once it has left, or `otherwise` where it can't. Returns at once."""
        job = _Job(message, then, otherwise)
        with self._lock:
            is_taken = not self._is_closed and self._jobs.qsize() < _MOST_WAITING
            if is_taken:
                self._start()
                self._jobs.put(job)
        if not is_taken:
            _log.warning("too many mails are waiting, or the server stops; one is dropped")
            _call(job.otherwise)

    def close(self, timeout_s: float = 5) -> None:
        """Take no more mails and give those that wait some time to leave. May be called again without effect."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        for _ in self._threads:
            self._jobs.put(None)
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0, end - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            _log.warning("mails are lost because the server stops")

    def _start(self) -> None:
        # Most servers never send a mail, so the threads start with the first one. They may
        # be waiting for a dead mail server, and must not keep the process.
        while len(self._threads) < _THREADS:
            thread = threading.Thread(target=self._run, name="rowcast-mail", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._mailer.send(job.message)
            except RowcastError as error:
                _log.warning("a mail failed: %s", error)
                _call(job.otherwise)
            except Exception as error:  # noqa: BLE001 -- the thread must live on for the next mail
                _log.error("a mail failed", exc_info=error)
                _call(job.otherwise)
            else:
                _call(job.then)


def _call(follow_up: Callable[[], None] | None) -> None:
    if follow_up is None:
        return
    try:
        follow_up()
    except RowcastError as error:
        _log.warning("what follows a mail failed: %s", error)
    except Exception as error:  # noqa: BLE001 -- the thread must live on for the next mail
        _log.error("what follows a mail failed", exc_info=error)
