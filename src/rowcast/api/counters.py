"""Where limits are counted: in this process, or in files that all processes of a data directory on this machine map."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rowcast.auth.decoys import Decoys, MemoryDecoys
from rowcast.auth.shared_decoys import SharedDecoys
from rowcast.bus import LinkError
from rowcast.bus.sockets import folder_of
from rowcast.windows import Windows
from rowcast.windows.memory import MemoryWindows
from rowcast.windows.shared import SharedWindows

_log = logging.getLogger(__name__)

_ACCOUNT_BUCKETS = 512


@dataclass(frozen=True, slots=True)
class Counters:
    """The windows of rate limits, those of accounts, and the ids of one-time passwords that nobody got.

    Accounts have theirs apart: requests can't fill them, and a save of the settings does not clear them.
    """

    limits: Windows
    accounts: Windows
    decoys: Decoys

    def close(self) -> None:
        """Give back what was taken from the system."""
        for each in (self.limits, self.accounts, self.decoys):
            each.close()


def counters_of(data_dir: Path, workers: int, now: Callable[[], float] = time.time) -> Counters:
    """Return the counters of one of several processes, or of one that is alone. `now` gives seconds since 1970."""
    if workers > 1:
        try:
            return _shared(folder_of(data_dir), now)
        except (LinkError, OSError) as error:
            _log.warning("limits count in each process by itself: %s", error)
    return Counters(MemoryWindows(), MemoryWindows(), MemoryDecoys(now))


def _shared(folder: Path, now: Callable[[], float]) -> Counters:
    opened: list[Windows] = []
    try:
        opened.append(SharedWindows(folder / "limits.map"))
        opened.append(SharedWindows(folder / "accounts.map", buckets=_ACCOUNT_BUCKETS))
        return Counters(opened[0], opened[1], SharedDecoys(folder / "decoys.map", now))
    except BaseException:
        for each in opened:
            each.close()
        raise
