"""Several worker processes on one port: starts them, replaces those that die, stops them all.

The parent opens no database and runs no thread, so that a worker can be a fork of it:
what is imported is in memory once. Each worker has a listening socket of its own (the
kernel spreads the connections over them), which the parent holds as well: what waits
to be accepted is not lost with a worker, but accepted by the next one.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import click

_AGAIN_S = 1.0
"""How soon a worker that died at once is started again."""

_STOP_S = 30.0
"""How long the workers may take to stop, before they are killed."""

Work = Callable[[socket.socket, int], None]
"""What a worker does with its socket and its number, until it is asked to stop."""


@dataclass(slots=True)
class _Worker:
    """A place for a worker: its socket stays, the process in it may change."""

    number: int
    listening: socket.socket
    pid: int = 0
    started_at: float = 0.0


class Workers:
    """Runs as many workers as there are sockets, until a signal asks to stop."""

    def __init__(self, sockets: list[socket.socket], work: Work) -> None:
        self._places = [_Worker(number, each) for number, each in enumerate(sockets)]
        self._work = work
        self._leaving: set[int] = set()
        self._is_stopping = False

    def run(self) -> int:
        """Start the workers, and keep them running. Returns the exit status of the whole."""
        # What lives now lives in every worker; the collector need not touch its pages.
        gc.freeze()
        wanted = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
        try:
            for place in self._places:
                self._start(place, before)
            while not self._is_stopping:
                got = signal.sigwait(wanted)
                if got == signal.SIGCHLD:
                    self._replace(before)
                elif got == signal.SIGHUP:
                    self._renew(before)
                else:
                    self._is_stopping = True
            return self._stop()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _start(self, place: _Worker, mask: set[int | signal.Signals]) -> None:
        sys.stdout.flush()
        place.started_at = time.monotonic()
        place.pid = os.fork()
        if place.pid:
            return
        self._be(place, mask)

    def _be(self, place: _Worker, mask: set[int | signal.Signals]) -> NoReturn:
        """Be a worker, and end with it."""
        status = 1
        try:
            for other in self._places:
                if other is not place:
                    other.listening.close()
            _end_with(os.getppid())
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._work(place.listening, place.number)
            status = 0
        except click.ClickException as error:
            error.show()
        except BaseException:  # noqa: BLE001 - the process ends here, whatever it was
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _replace(self, mask: set[int | signal.Signals]) -> None:
        for pid, status in _ended():
            self._leaving.discard(pid)
            for place in self._places:
                if place.pid != pid:
                    continue
                _say(f"worker {place.number} ended ({_reason(status)}); a new one takes its place")
                # One that can't even start must not keep the machine busy.
                wait = place.started_at + _AGAIN_S - time.monotonic()
                if wait > 0:
                    time.sleep(min(wait, _AGAIN_S))
                self._start(place, mask)

    def _renew(self, mask: set[int | signal.Signals]) -> None:
        """Replace each worker by a new one, which accepts before the old one drains."""
        for place in self._places:
            old = place.pid
            self._leaving.add(old)
            self._start(place, mask)
            _send(old, signal.SIGTERM)

    def _stop(self) -> int:
        pids = {place.pid for place in self._places} | self._leaving
        for pid in pids:
            _send(pid, signal.SIGTERM)
        failed = False
        deadline = time.monotonic() + _STOP_S
        while pids and time.monotonic() < deadline:
            for pid, status in _ended():
                pids.discard(pid)
                # One that was still starting has no other way to stop.
                failed = failed or status not in {0, -signal.SIGTERM}
            if pids:
                signal.sigtimedwait({signal.SIGCHLD}, 0.1)
        for pid in pids:
            _send(pid, signal.SIGKILL)
        return int(failed or bool(pids))


def listen(address: tuple[str, int], family: int, count: int) -> list[socket.socket]:
    """Open `count` sockets on one address, among which the kernel spreads the connections. Raises OSError."""
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            opened = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(opened)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            # The first may choose the port; the others share it.
            opened.bind(address if len(sockets) == 1 else sockets[0].getsockname()[:2])
            opened.listen(2048)
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets


def _ended() -> list[tuple[int, int]]:
    """Return the processes that have ended, with their exit statuses."""
    found = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            found.append((pid, os.waitstatus_to_exitcode(status)))
    return found


def _reason(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _end_with(parent: int) -> None:
    """Have this process asked to stop when its parent dies, where the system can do that."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, int(signal.SIGTERM))
    if os.getppid() != parent:
        os._exit(1)


def _say(text: str) -> None:
    click.secho(text, fg="yellow", err=True)
