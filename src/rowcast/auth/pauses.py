"""Limits that protect accounts from being asked for too often."""

from __future__ import annotations

from collections.abc import Callable

from rowcast.errors import TooManyRequestsError
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.windows import Key, Windows

_RESEND_S = 120
_MOST_ATTEMPTS = 5
_ATTEMPTS_S = 180


class Resends:
    """One mail of a kind to one account in two minutes."""

    def __init__(self, now: Callable[[], float], windows: Windows) -> None:
        self._now = now
        self._windows = windows

    def begin(self, kind: str, account: Record) -> bool:
        """Whether a mail may be sent now; then the next one must wait."""
        return self._windows.consume(_key(kind, account), 1, _RESEND_S, self._now())

    def release(self, kind: str, account: Record) -> None:
        """Let the next mail go at once."""
        self._windows.forget(_key(kind, account))


class Attempts:
    """Five guesses from one address at the one-time passwords of one account in three minutes.

    Copies apis/record_auth_with_otp.go: all one-time passwords of an account count together.
    """

    def __init__(self, now: Callable[[], float], windows: Windows) -> None:
        self._now = now
        self._windows = windows

    def count(self, collection: Collection, account_id: str, address: str) -> None:
        """Count a guess. Raises TooManyRequestsError."""
        key = ("otp", address, collection.id, account_id)
        if not self._windows.consume(key, _MOST_ATTEMPTS, _ATTEMPTS_S, self._now()):
            raise TooManyRequestsError("Too many attempts, please try again later with a new OTP.")


def _key(kind: str, account: Record) -> Key:
    return "mail", kind, account.collection.id, account.id
