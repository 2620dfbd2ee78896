"""What the hub counts for its operator, and how long commits take to reach the sockets."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from rowcast.bus import Event
from rowcast.realtime.stream import CloseReason, Written
from rowcast.schema.record import Position
from rowcast.tallies import FAST_S, Histogram

_MAX_UNDER_WAY = 100_000
"""How many commits may wait for their delivery before the oldest are no longer timed."""


_MAX_LOOKS = 10_000
"""How many looks at the log may wait for what they found to be told, before later ones are not timed."""


class Behind:
    """How far what is told here is behind the log of changes. `end` is the last number that is known of.

    `look` may be called from any thread, all else on the event loop. Times are in seconds.
    """

    def __init__(self) -> None:
        self.end = 0
        self.undecided = 0
        self.looks: Counter[bool] = Counter()
        self._delivered = 0
        self._looked_at = time.monotonic()
        self._known: deque[tuple[int, float]] = deque()

    def look(self, end: int, undecided: int = 0) -> None:
        """Note the last number of the log, and how many up to it are not decided yet."""
        self._looked_at = time.monotonic()
        self.undecided = undecided
        if end > self.end or not end:
            self.end = end
            if len(self._known) < _MAX_LOOKS:
                self._known.append((end, self._looked_at))

    def told(self, delivered: int) -> None:
        """Note that everything up to a number was written to the streams."""
        self._delivered = delivered
        known = self._known
        while known and known[0][0] <= delivered:
            known.popleft()

    @property
    def changes(self) -> int:
        """How many numbers there are between what was told and the end."""
        return max(0, self.end - self._delivered)

    @property
    def seconds(self) -> float:
        """How long the oldest change that was not told yet has been known of."""
        return time.monotonic() - self._known[0][1] if self._known and self.changes else 0.0

    @property
    def unseen_s(self) -> float:
        """How long ago the log was looked at."""
        return time.monotonic() - self._looked_at


class Tally:
    """Counts since the start, on the event loop. What costs something is off unless `Measured` is used.

    judged: changes that somebody listened to. rested_s: how long judging left a slow database
    alone. resumed: streams that asked for a position and got it (True) or started anew (False).
    `sockets` counts what the sockets took.
    """

    sockets: Written | None = None
    on_written: Callable[[Position], None] | None = None
    """Called with what `written` is."""
    on_taken: Callable[[Sequence[Event]], None] | None = None
    on_step: Callable[[str], None] | None = None
    """Called with what `taken` and `step` are."""

    def __init__(self) -> None:
        self.closed: Counter[CloseReason] = Counter()
        self.resumed: Counter[bool] = Counter()
        self.judged = 0
        self.rested_s = 0.0
        self.behind = Behind()

    def taken(self, events: Sequence[Event]) -> None:
        """Note that a round of changes was taken from the bus."""
        if self.on_taken is not None:
            self.on_taken(events)

    def step(self, name: str) -> None:
        """Note that a round of changes was "judged"."""
        if self.on_step is not None:
            self.on_step(name)

    def asked(self, took_s: float) -> None:
        """Note that judging a change, whose rules need the database, took so many seconds."""

    def written(self, delivered: Position) -> None:
        """Note that everything up to a position was written."""
        self.behind.told(delivered.number)
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
