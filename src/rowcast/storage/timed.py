"""How long the blocks of a database take. Nothing of this runs unless somebody asked for times."""

from __future__ import annotations

from contextlib import AbstractContextManager
from time import perf_counter
from types import TracebackType
from typing import Generic, TypeVar

from rowcast.tallies import FAST_S, Histogram

T_co = TypeVar("T_co", covariant=True)


class BlockTimes:
    """The times of one database in seconds.

    reads: whole blocks of `read`. waits: what a writer waits for its turn and for the
    lock of other processes. writes: from the turn to the end of the commit or rollback.
    A block that could not begin is in none of them.
    """

    __slots__ = ("reads", "waits", "writes")

    def __init__(self) -> None:
        self.reads, self.waits, self.writes = (Histogram(FAST_S) for _ in range(3))


class Timed(Generic[T_co]):
    """A block that says how long it took to begin (`begins`) and to end (`lasts`)."""

    __slots__ = ("_begins", "_block", "_lasts", "_started")

    def __init__(self, block: AbstractContextManager[T_co], lasts: Histogram, begins: Histogram | None = None) -> None:
        self._block, self._lasts, self._begins = block, lasts, begins
        self._started = 0.0

    def __enter__(self) -> T_co:
        asked = self._started = perf_counter()
        entered = self._block.__enter__()
        if self._begins is not None:
            self._started = perf_counter()
            self._begins.observe(self._started - asked)
        return entered

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return self._block.__exit__(kind, raised, trace)
        finally:
            self._lasts.observe(perf_counter() - self._started)
