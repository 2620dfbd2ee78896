"""How many streams there may be, in all and from one address, and none once the server stops."""

from __future__ import annotations

from collections import Counter

from rowcast.errors import ApiError, TooManyRequestsError
from rowcast.realtime.stream import Limits


class Admission:
    """Counts the streams of one process. Owned by the event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._addresses: Counter[str] = Counter()
        self._total = 0
        self.is_stopping = False

    def check(self, address: str) -> None:
        """Raise where a new stream is refused: 503 while the server stops or is full, 429 past the address's share."""
        if self.is_stopping:
            raise ApiError("The server is stopping.", status=503)
        if self._total >= self._limits.total:
            raise ApiError("Too many realtime connections.", status=503)
        if self._addresses[address] >= self._limits.per_address:
            raise TooManyRequestsError("Too many realtime connections from this address.")

    def enter(self, address: str) -> None:
        """Count a stream. Raises as `check` does."""
        self.check(address)
        self._addresses[address] += 1
        self._total += 1

    def leave(self, address: str) -> None:
        """Count one less."""
        self._total -= 1
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]

    def stop(self) -> None:
        """Refuse every stream from now on."""
        self.is_stopping = True
