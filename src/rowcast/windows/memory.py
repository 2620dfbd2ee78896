"""Windows in the memory of this process."""

from __future__ import annotations

import threading
from collections import OrderedDict

from rowcast.windows import Key

_MAX_WINDOWS = 50_000
"""How many windows are kept, each for a key of its own."""

_SHARED = 1 << 14
"""How many windows the keys share that find no room, for each pair of most requests and duration."""

_SWEPT = 2
"""How many old windows are looked at for each new one: more than one, so that they get fewer than come."""


class _Window:
    __slots__ = ("available", "end")

    def __init__(self) -> None:
        self.end = 0.0
        self.available = 0

    def consume(self, most: int, duration: float, now: float) -> bool:
        if now >= self.end:
            self.available, self.end = most, now + duration
        if self.available <= 0:
            return False
        self.available -= 1
        return True


class MemoryWindows:
    """Windows of this process alone."""

    is_shared = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._own: OrderedDict[Key, _Window] = OrderedDict()
        self._shared: dict[tuple[int, float, int], _Window] = {}

    def __len__(self) -> int:
        return len(self._own) + len(self._shared)

    def consume(self, key: Key, most: int, duration: float, now: float) -> bool:
        """Count one for a key; whether it is among the `most` of its window."""
        with self._lock:
            window = self._own.get(key)
            if window is None:
                window = self._new(key, most, duration, now)
            return window.consume(most, duration, now)

    def forget(self, key: Key) -> None:
        """End the window of a key; one that it shares with others stays."""
        with self._lock:
            self._own.pop(key, None)

    def clear(self) -> None:
        """End all windows."""
        with self._lock:
            self._own.clear()
            self._shared.clear()

    def close(self) -> None:
        """Do nothing: the memory goes with the object."""

    def _new(self, key: Key, most: int, duration: float, now: float) -> _Window:
        windows = self._own
        for _ in range(min(_SWEPT, len(windows))):
            oldest, window = windows.popitem(last=False)
            if window.end > now:
                windows[oldest] = window
        # Python salts the hashes of texts, so that nobody can choose whom to share with.
        place = (most, duration, hash(key) % _SHARED)
        shared = self._shared.get(place)
        if len(windows) < _MAX_WINDOWS and (shared is None or now >= shared.end):
            made = windows[key] = _Window()
            return made
        return shared or self._shared.setdefault(place, _Window())
