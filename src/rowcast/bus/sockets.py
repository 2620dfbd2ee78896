"""The link between the processes of one machine that serve one data directory: Unix sockets.

Each process has two in a folder that belongs to the directory and to its user alone:
a datagram socket for hints, and a stream socket for questions. A process that died
leaves its sockets behind; whoever finds them dead removes them. Where two processes
do not see one folder (containers with a temporary directory each), they do not know of
each other; they follow the log of changes where it is stored, up to a second later.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rowcast.bus import Answer, Link, LinkCounts, LinkError
from rowcast.bus.alone import Alone

_log = logging.getLogger("rowcast.bus")

_HINT = ".hint"
_ASK = ".ask"
_LOOK_S = 1.0
"""How often the folder is looked at for newcomers; they announce themselves by a hint as well."""

_ANSWER_S = 5.0
_MAX_BYTES = 8 << 20
_LENGTH_BYTES = 4
_BACKLOG = 2048


def folder_of(data_dir: str | Path) -> Path:
    """Return the folder for the sockets of a data directory, which is made if need be. Raises LinkError."""
    where = Path(data_dir).resolve()
    name = hashlib.sha256(str(where).encode()).hexdigest()[:16]
    root = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = root / f"rowcast-{os.geteuid()}-{name}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise LinkError(f"the folder {folder} can't be made: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        # Somebody else may have made it, to hear or to ask.
        raise LinkError(f"the folder {folder} must belong to this user and be closed to others")
    return folder


def link_of(data_dir: str | Path, name: str) -> Link:
    """Return the link of a process to the others on its data directory; one to nobody where that can't be had."""
    try:
        return SocketLink(name, folder_of(data_dir))
    except LinkError as error:
        _log.warning("other processes on this data directory are followed without hints: %s", error)
        return Alone(name)


class SocketLink:
    """Connects the processes that share a folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.counts = LinkCounts("sockets")
        self._folder = folder
        self._hints: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._others: tuple[str, ...] = ()
        self._looked_at = float("-inf")
        self._lock = threading.Lock()
        # Until `open` nobody is known: what lies in the folder may be left behind by the dead.
        self._is_open = False

    @property
    def has_others(self) -> bool:
        """Whether other processes were there when the folder was looked at."""
        if self._is_open and time.monotonic() - self._looked_at > _LOOK_S:
            self._look()
        return bool(self._others)

    async def open(self, on_hint: Callable[[], None], answer: Answer) -> None:
        """Begin to listen, and tell the others of this one."""

        hints = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        hints.setblocking(False)

        def heard() -> None:
            with contextlib.suppress(BlockingIOError):
                while True:
                    said = hints.recv(16)
                    self.counts.hints_heard += 1
                    if said == b"new":
                        self._looked_at = float("-inf")
            on_hint()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.counts.answered += 1
            # Cancelled when the loop ends. Before Python 3.12 asyncio asks a cancelled handler for its exception, and
            # logs that it has none.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(_ANSWER_S):
                    await _write(writer, await answer(await _read(reader)))
            writer.close()

        hints.bind(str(self._folder / (self.name + _HINT)))
        self._hints = hints
        asyncio.get_running_loop().add_reader(hints.fileno(), heard)
        where = self._folder / (self.name + _ASK)
        # A connection past the backlog is refused at once.
        self._server = await asyncio.start_unix_server(serve, where, backlog=_BACKLOG)
        self._look()
        self._send(b"new")
        self._is_open = self.counts.is_connected = True
        self.counts.connects += 1

    def hint(self) -> None:
        """Tell the others that the log has grown."""
        if self.has_others:
            self.counts.hints_sent += 1
            self._send(b"log")

    async def ask(self, node: str, question: bytes) -> bytes | None:
        """Return what another process answers, None where it is gone or too slow."""
        if not node.isalnum():
            return None
        self.counts.asked += 1
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._folder / (node + _ASK))
                try:
                    await _write(writer, question)
                    return await _read(reader)
                finally:
                    writer.close()
        except (OSError, asyncio.IncompleteReadError):  # TimeoutError is an OSError
            self.counts.unanswered += 1
            return None

    async def nodes(self) -> list[str]:
        """Return the names of the other processes."""
        self._look()
        return list(self._others)

    async def close(self) -> None:
        """Stop to listen; take the sockets away."""
        self._is_open = self.counts.is_connected = False
        if self._hints is not None:
            asyncio.get_running_loop().remove_reader(self._hints.fileno())
            with self._lock:
                self._hints.close()
                self._hints = None
        if self._server is not None:
            self._server.close()
        self._remove(self.name)

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        with contextlib.suppress(OSError):
            names = [each.name for each in os.scandir(self._folder)]
            others = [name.removesuffix(_HINT) for name in names if name.endswith(_HINT)]
            self._others = tuple(name for name in others if name != self.name)

    def _send(self, hint: bytes) -> None:
        for other in self._others:
            try:
                with self._lock:
                    if self._hints is None:
                        return
                    self._hints.sendto(hint, str(self._folder / (other + _HINT)))
            except BlockingIOError:
                pass  # It has hints enough to wake up.
            except (ConnectionRefusedError, FileNotFoundError):
                self._remove(other)
                self._looked_at = float("-inf")
            except OSError:
                pass  # A hint may be lost.

    def _remove(self, name: str) -> None:
        for suffix in (_HINT, _ASK):
            with contextlib.suppress(OSError):
                (self._folder / (name + suffix)).unlink()


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(len(data).to_bytes(_LENGTH_BYTES) + data)
    await writer.drain()


async def _read(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES))
    if length > _MAX_BYTES:
        raise OSError("a message between processes is too long")
    return await reader.readexactly(length)
