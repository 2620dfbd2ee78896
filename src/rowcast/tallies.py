"""Plain numbers that hot paths add to and a scrape reads: no locks, no names, no I/O.

Whoever measures owns a tally; `metrics` gives it a name when somebody asks. Adding is
a few bytecodes, so that what is counted costs the same whether or not it is looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

FAST_S = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Bounds in seconds for what takes microseconds when all is well: statements, waiting for a turn, delivery."""

REQUEST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Bounds in seconds for whole requests."""


class Histogram:
    """How many values were at most each bound, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        # One more than there are bounds: what is above the last.
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value. Threads that do so at once may, at worst, lose one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[float, int]]:
        """Return each bound with how many values were at most it; the last bound is infinite."""
        out: list[tuple[float, int]] = []
        count = 0
        for bound, here in zip((*self.bounds, float("inf")), tuple(self.counts), strict=True):
            count += here
            out.append((bound, count))
        return out
