"""Names that Apple tells once, with its redirect, kept until the client comes with the code.

Copies parseAndStoreAppleRedirectName of apis/record_auth_with_oauth2_redirect.go. Kept
in memory, by this process; few, short, and for a minute.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

_KEPT_S = 60
_MOST_KEPT = 1_000
_LONGEST_CODE = 985
_LONGEST_NAME = 150


class _Name(msgspec.Struct, rename="camel"):
    first_name: str = ""
    last_name: str = ""


class _Person(msgspec.Struct):
    name: _Name = msgspec.field(default_factory=_Name)


class AppleNames:
    """The names of users who are on their way back. Safe to use from several threads."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._names: dict[str, tuple[str, float]] = {}

    def keep(self, code: str, user: str) -> None:
        """Keep the name in Apple's JSON of a user; what is too long or no such JSON is not kept."""
        try:
            name = msgspec.json.decode(user, type=_Person).name
        except (ValueError, RecursionError):
            return
        cut = f"{name.first_name} {name.last_name}".encode("utf-8", "replace")[:_LONGEST_NAME]
        full = cut.decode("utf-8", "ignore").strip()
        if not full or len(code.encode("utf-8", "replace")) > _LONGEST_CODE:
            return
        now = self._now()
        with self._lock:
            self._names = {key: kept for key, kept in self._names.items() if kept[1] > now}
            if len(self._names) < _MOST_KEPT:
                self._names[code] = (full, now + _KEPT_S)

    def take(self, code: str) -> str:
        """Return the name for a code once, "" where there is none."""
        with self._lock:
            name, until = self._names.pop(code, ("", 0.0))
        return name if until > self._now() else ""
