"""Whether SQL of other programs is captured: then there is something to follow, also for a process that is alone.

Commands turn it on and off while servers run, so it is looked at every now and then; a look is one
small query, and comes with a look at the log.
"""

from __future__ import annotations

import asyncio
import logging
import time

from rowcast.realtime.changelog import ChangeLog
from rowcast.storage import Storage, StorageError, UnavailableError, sources

_log = logging.getLogger(__name__)

_EVERY_S = 1.0


class Captured:
    """What is known of it. Used by whoever reads the log."""

    def __init__(self, storage: Storage) -> None:
        self.is_on = False
        self._storage = storage
        self._next = 0.0
        # Kept here, since nobody waits for it.
        self.tidying: asyncio.Task[None] | None = None

    def look(self) -> bool:
        """Return whether something is captured, looking again where the last look is old."""
        if time.monotonic() >= self._next:
            with self._storage.read() as reader:
                self.is_on = sources.has_captured(reader)
            self._next = time.monotonic() + _EVERY_S
        return self.is_on

    def tidy(self, log: ChangeLog) -> None:
        """Have a log tidied up that other programs let grow. On the event loop.

        Nobody waits for it: it takes a turn to write, and all who have one may wait for what is told next.
        """
        if self.is_on and log.is_untidy and (self.tidying is None or self.tidying.done()):
            self.tidying = asyncio.create_task(_tidied(log))


async def _tidied(log: ChangeLog) -> None:
    try:
        await asyncio.to_thread(log.tidy)
    except UnavailableError:
        pass  # The storage says that once; it is due again after some more changes.
    except StorageError as error:
        _log.warning("the log of changes can't be tidied up: %s", error)
