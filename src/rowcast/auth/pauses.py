"""Limits that protect accounts from being asked for too often. Kept in memory, by this process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rowcast.errors import TooManyRequestsError
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record

_RESEND_S = 120
_MOST_ATTEMPTS = 5
_ATTEMPTS_S = 180
_MOST_KEPT = 10_000

_Key = tuple[str, str, str]


class Resends:
    """One mail of a kind to one account in two minutes."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._until: dict[_Key, float] = {}

    def begin(self, kind: str, account: Record) -> bool:
        """Whether a mail may be sent now; then the next one must wait."""
        now, key = self._now(), _key(kind, account)
        with self._lock:
            if self._until.get(key, 0) > now:
                return False
            if len(self._until) >= _MOST_KEPT:
                self._until = {kept: until for kept, until in self._until.items() if until > now}
            self._until[key] = now + _RESEND_S
            return True

    def release(self, kind: str, account: Record) -> None:
        """Let the next mail go at once."""
        with self._lock:
            self._until.pop(_key(kind, account), None)


class Attempts:
    """Five guesses from one address at the one-time passwords of one account in three minutes.

    Copies apis/record_auth_with_otp.go: all one-time passwords of an account count together.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._made: dict[_Key, tuple[float, int]] = {}

    def count(self, collection: Collection, account_id: str, address: str) -> None:
        """Count a guess. Raises TooManyRequestsError."""
        now, key = self._now(), (address, collection.id, account_id)
        with self._lock:
            begin, made = self._made.get(key, (now, 0))
            if now - begin >= _ATTEMPTS_S:
                begin, made = now, 0
            if made >= _MOST_ATTEMPTS:
                raise TooManyRequestsError("Too many attempts, please try again later with a new OTP.")
            if len(self._made) >= _MOST_KEPT:
                self._made = {kept: found for kept, found in self._made.items() if now - found[0] < _ATTEMPTS_S}
            self._made[key] = (begin, made + 1)


def _key(kind: str, account: Record) -> _Key:
    return kind, account.collection.id, account.id
