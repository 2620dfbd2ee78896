"""Mails on their way: sent in the background, by threads of their own.

A mail that can't be sent is logged and lost. What must happen only once a mail has
left is handed in with it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from rowcast.errors import RowcastError
from rowcast.mail import Mailer, Message

_log = logging.getLogger("rowcast.mail")

_MOST_WAITING = 1_000
_THREADS = 2

Job = tuple[Message, "Callable[[], None] | None"]


class Outbox:
    """Sends mails in the background. Safe to use from several threads."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    def send(self, message: Message, *, then: Callable[[], None] | None = None) -> None:
        """Have a mail sent, and `then` called once it has left. Returns at once."""
        with self._lock:
            if self._is_closed:
                return
            if self._jobs.qsize() >= _MOST_WAITING:
                _log.warning("too many mails are waiting; one is dropped")
                return
            self._start()
            self._jobs.put((message, then))

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
            message, then = job
            try:
                self._mailer.send(message)
                if then is not None:
                    then()
            except RowcastError as error:
                _log.warning("a mail, or what follows it, failed: %s", error)
            except Exception as error:  # noqa: BLE001 -- the thread must live on for the next mail
                _log.error("a mail, or what follows it, failed", exc_info=error)
