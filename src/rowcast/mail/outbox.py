"""Mails on their way: written and sent in the background, by threads of their own.

Two lines, so that mails to a dead server keep nobody from having theirs written: in
the first one it is looked up whether there is something to send, which takes no
longer than a query; in the second one mails wait for the mail server. A mail that
can't be sent is logged and lost. What must happen once a mail has left, or where it
has not, is handed in with it.
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
_SENDERS = 2


class _Line:
    """Calls that wait for their turn in some threads. Bounded; the threads start with the first call."""

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._most_threads = threads
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    def put(self, call: Callable[[], None]) -> bool:
        """Let a call wait; False where too many do, or the line is closed."""
        with self._lock:
            is_taken = not self._is_closed and self._calls.qsize() < _MOST_WAITING
            if is_taken:
                self._start()
                self._calls.put(call)
        if not is_taken:
            _log.warning("too many mails are waiting, or the server stops; one is dropped")
        return is_taken

    def close(self, ends_at: float) -> bool:
        """Take no more calls and wait for those that are there; whether all are done by then."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                for _ in self._threads:
                    self._calls.put(None)
        for thread in self._threads:
            thread.join(max(0, ends_at - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _start(self) -> None:
        # Most servers never send a mail. The threads may be waiting for a dead mail
        # server, and must not keep the process.
        while len(self._threads) < self._most_threads:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            _call(call)


class Outbox:
    """Writes and sends mails in the background. Safe to use from several threads."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer
        self._desk = _Line("rowcast-mail-desk", 1)
        self._way = _Line("rowcast-mail", _SENDERS)
        self._is_closed = False

    def later(self, write: Callable[[], None]) -> None:
        """Have `write` look up whether there is a mail to send, and send it. Returns at once.

        For who must not learn by the time of an answer whether there is.
        """
        self._desk.put(write)

    def send(
        self,
        message: Message,
        *,
        then: Callable[[], None] | None = None,
        otherwise: Callable[[], None] | None = None,
    ) -> None:
        """Have a mail sent, and `then` called once it has left, or `otherwise` where it can't. Returns at once."""
        if not self._way.put(lambda: self._send(message, then, otherwise)):
            _call(otherwise)

    def close(self, timeout_s: float = 5) -> None:
        """Take no more mails and give those that wait some time to leave. May be called again without effect."""
        if self._is_closed:
            return
        self._is_closed = True
        ends_at = time.monotonic() + timeout_s
        is_written = self._desk.close(ends_at)
        if not self._way.close(ends_at) or not is_written:
            _log.warning("mails are lost because the server stops")

    def _send(self, message: Message, then: Callable[[], None] | None, otherwise: Callable[[], None] | None) -> None:
        try:
            self._mailer.send(message)
        except RowcastError as error:
            _log.warning("a mail failed: %s", error)
            _call(otherwise)
        except Exception as error:  # noqa: BLE001 -- what follows must happen whatever fails
            _log.error("a mail failed", exc_info=error)
            _call(otherwise)
        else:
            _call(then)


def _call(call: Callable[[], None] | None) -> None:
    """Make a call whose failure ends no thread."""
    if call is None:
        return
    try:
        call()
    except RowcastError as error:
        _log.warning("what goes with a mail failed: %s", error)
    except Exception as error:  # noqa: BLE001 -- the thread must live on for the next mail
        _log.error("what goes with a mail failed", exc_info=error)
