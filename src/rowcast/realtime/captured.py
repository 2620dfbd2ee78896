"""Whether SQL of other programs is captured: then there is something to follow, also for a process that is alone.

Commands turn it on and off while servers run, so it is looked at every now and then; a look is one
small query, and comes with a look at the log.
"""

from __future__ import annotations

import time

from rowcast.storage import Storage, sources

_EVERY_S = 1.0


class Captured:
    """What is known of it. Used by whoever reads the log."""

    def __init__(self, storage: Storage) -> None:
        self.is_on = False
        self._storage = storage
        self._next = 0.0

    def look(self) -> bool:
        """Return whether something is captured, looking again where the last look is old."""
        if time.monotonic() >= self._next:
            with self._storage.read() as reader:
                self.is_on = sources.has_captured(reader)
            self._next = time.monotonic() + _EVERY_S
        return self.is_on
