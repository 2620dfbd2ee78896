"""What the hub counts for its operator, and how long commits take to reach the sockets."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable

from rowcast.realtime.stream import CloseReason, Written
from rowcast.schema.record import Position
from rowcast.tallies import FAST_S, Histogram

_MAX_UNDER_WAY = 100_000
"""How many commits may wait for their delivery before the oldest are no longer timed."""


class Tally:
    """Counts since the start, on the event loop. What costs something is off unless `Measured` is used.

    judged: changes that somebody listened to. rested_s: how long judging left a slow database
    alone. resumed: streams that asked for a position and got it (True) or started anew (False).
    `sockets` counts what the sockets took.
    """

    sockets: Written | None = None
    on_written: Callable[[Position], None] | None = None
    """Called with what `written` is."""

    def __init__(self) -> None:
        self.closed: Counter[CloseReason] = Counter()
        self.resumed: Counter[bool] = Counter()
        self.judged = 0
        self.rested_s = 0.0

    def asked(self, took_s: float) -> None:
        """Note that judging a change, whose rules need the database, took so many seconds."""

    def written(self, delivered: Position) -> None:
        """Note that everything up to a position was written."""
        if self.on_written is not None:
            self.on_written(delivered)


class Measured(Tally):
    """Counts frames and bytes as well, and measures the lag.

    lag: from the commit of a change to the moment when the streams that may see it were written,
    in seconds. A stream whose socket is full is not waited for. asking: what it took to judge a change
    whose rules need the database.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sockets: Written = Written()
        self.lag = Histogram(FAST_S)
        self.asking = Histogram(FAST_S)
        self._under_way: deque[tuple[int, float]] = deque(maxlen=_MAX_UNDER_WAY)

    def asked(self, took_s: float) -> None:
        """Note that judging a change, whose rules need the database, took so many seconds."""
        self.asking.observe(took_s)

    def committed(self, last: Position) -> None:
        """Note a commit by the position of its last change. May be called from any thread, under the write lock."""
        self._under_way.append((last.number, time.perf_counter()))

    def written(self, delivered: Position) -> None:
        """Note that everything up to a position was written."""
        super().written(delivered)
        under_way, number = self._under_way, delivered.number
        if not under_way or under_way[0][0] > number:
            return
        now = time.perf_counter()
        while under_way and under_way[0][0] <= number:
            self.lag.observe(now - under_way.popleft()[1])
