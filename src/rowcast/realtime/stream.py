"""One realtime stream: its topics, its account, and the frames that wait for its socket.

Owned by the event loop: nothing here is called from a thread, and nothing here
awaits. `push` only queues; `flush` hands everything that is queued to the sink in
one piece. A stream whose queue passes its budget is closed with a reason, never
skipped silently.
"""

from __future__ import annotations

import logging
import math
import random
import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from rowcast.realtime import frames
from rowcast.realtime.accounts import Account
from rowcast.realtime.topics import Subscription
from rowcast.schema.record import Position

_log = logging.getLogger(__name__)

CloseReason = Literal["gone", "slow", "stop", "failed", "kicked", "aged"]
"""Why a stream ended: the peer left, it read too slowly, the server stops, a change
could not be judged, an operator ended it, it was too old."""

RETRY_S = 0.02
"""How soon a stream whose socket was full is tried again."""

_ENDS_GENTLY = frozenset({"stop", "aged"})

_ID_ALPHABET = string.ascii_letters + string.digits


_ID_LENGTH = 40

NODE_LENGTH = 8
"""How many letters and digits name a node, at the end of the client ids that it gives."""


def new_node() -> str:
    """Return a name for this process among those that serve one database."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(NODE_LENGTH))


def new_client_id(node: str = "") -> str:
    """Return a client id: 40 random letters and digits, the last of which name the node that holds the stream."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH - len(node))) + node


def node_of(client_id: str) -> str:
    """Return the name of the node that gave a client id; anything for what is none."""
    return client_id[_ID_LENGTH - NODE_LENGTH : _ID_LENGTH]


class Sink(Protocol):
    """Where the frames of a stream go: a transport, or a task that awaits ASGI's `send`."""

    def has_room(self) -> bool:
        """Whether the socket has room; if not the stream tries again later."""
        ...

    def write(self, data: bytes) -> bool:
        """Take `data` if the socket has room, else return False."""
        ...

    def pending(self) -> int:
        """Return how many bytes were taken but have not left."""
        ...

    def close(self, *, abort: bool) -> None:
        """End the response; `abort` drops what is still pending."""
        ...


@dataclass(slots=True)
class Written:
    """How many frames, and how many bytes of them, sinks have taken."""

    frames: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may wait for one stream before it is closed as slow, and how long it may last (0: for ever)."""

    max_bytes: int = 1 << 20
    max_frames: int = 5_000
    max_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How many streams there may be, in all and from one address."""

    total: int = 100_000
    per_address: int = 20_000


class Stream:
    """A connected client. Attributes are changed by the hub only.

    A stream with a cursor has a `start`: it gets everything behind that position.
    `resume_from` is that position until its first topics are known, and `catches_up`
    is True from then until it has reached the present.
    """

    __slots__ = (
        "account", "address", "behind_since", "budget", "catches_up", "closed", "ends_at", "id", "id_line",
        "on_close", "opened_at", "queue", "queued_bytes", "resume_from", "sent_frames", "sink", "start",
        "subscriptions", "written",
    )  # fmt: skip

    def __init__(
        self,
        sink: Sink,
        client_id: str,
        *,
        address: str,
        account: Account,
        budget: Budget,
        start: Position | None = None,
    ) -> None:
        # In cursor mode the id carries the position, so that a browser that reconnects before any event resumes too.
        self.id = client_id if start is None else f"{client_id}_{start}"
        # Frames of a stream with a cursor have ids of their own, equal for all streams.
        self.id_line = frames.id_line(self.id) if start is None else b""
        self.start = start
        self.resume_from = start
        self.catches_up = False
        self.address = address
        self.account = account
        self.budget = budget
        self.sink = sink
        self.subscriptions: dict[str, Subscription] = {}
        self.queue: list[bytes] = []
        self.queued_bytes = 0
        self.sent_frames = 0
        self.opened_at = time.monotonic()
        self.behind_since = 0.0
        # A tenth of difference, so that streams that came together do not go together.
        age_s = budget.max_age_s * (0.9 + 0.1 * random.random())  # noqa: S311 - no secret
        self.ends_at = self.opened_at + age_s if age_s else math.inf
        self.closed: CloseReason | None = None
        self.on_close: Callable[[Stream], None] | None = None
        # Counts for all streams together, where somebody wants to know.
        self.written: Written | None = None

    @property
    def has_cursor(self) -> bool:
        """Whether its frames carry positions."""
        return self.start is not None

    def push(self, body: bytes) -> None:
        """Queue one frame (without its id line, unless it has a cursor); closes the stream when its budget is spent."""
        if self.closed:
            return
        self.queue.append(body)
        self.queued_bytes += len(body) + len(self.id_line)
        if len(self.queue) > self.budget.max_frames or self.queued_bytes > self.budget.max_bytes:
            self.close("slow")

    def flush(self) -> bool:
        """Hand the queue to the sink in one piece; return False if it has to wait."""
        if not self.queue:
            return True
        # Asked first: putting the pieces together costs more than all else here.
        if not self.sink.has_room() or not self._write(self.id_line + self.id_line.join(self.queue)):
            if self.closed:
                return True
            self.behind_since = self.behind_since or time.monotonic()
            if self.queued_bytes + self.sink.pending() > self.budget.max_bytes:
                self.close("slow")
            return self.closed is not None
        self.behind_since = 0.0
        self.sent_frames += len(self.queue)
        written = self.written
        if written is not None:
            written.frames += len(self.queue)
            written.size += self.queued_bytes
        self.queue = []
        self.queued_bytes = 0
        return True

    def beat(self, position: Position) -> None:
        """Send a heartbeat if nothing waits: what waits will wake the peer as well.

        `position` is that of the last change that was delivered to all streams; one with
        a cursor that is not catching up is told it.
        """
        if self.queue or self.closed:
            return
        if self.start is None or self.resume_from is not None or self.catches_up:
            self._write(frames.HEARTBEAT)
        else:
            self._write(frames.progress(position))

    def close(self, reason: CloseReason) -> None:
        """End the stream once; what is queued is dropped unless the server stops."""
        if self.closed:
            return
        if reason in _ENDS_GENTLY:
            self.flush()
            if self.closed:
                return
        self.closed = reason
        self.queue = []
        self.queued_bytes = 0
        try:
            self.sink.close(abort=reason not in _ENDS_GENTLY)
        except Exception:  # noqa: BLE001 - a broken connection must not stop the others
            _log.exception("the connection of a stream could not be closed")
        if self.on_close is not None:
            self.on_close(self)

    def _write(self, data: bytes) -> bool:
        """Write; a sink that fails ends this stream and nothing else."""
        try:
            return self.sink.write(data)
        except Exception:  # noqa: BLE001 - a broken connection must not stop the others
            _log.exception("the connection of a stream failed")
            self.close("failed")
            return False
