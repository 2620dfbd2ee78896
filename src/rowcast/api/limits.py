"""Rate limits: which rule a request falls under, and how much of it is left.

Copies apis/middlewares_rate_limit.go and core/settings_model.go (FindRateLimitRule):
labels are tried in order, each first as an exact label, then under the rules that
end with "/" as prefixes, in the order of the settings. Fixed windows of whole
seconds. Saving the settings starts all counters anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from rowcast.api.request import Request
from rowcast.config import RateLimitRule, RateLimitsSettings, SettingsRef
from rowcast.errors import TooManyRequestsError
from rowcast.schema.collection import Collection
from rowcast.schema.networks import is_listed

_GUEST, _AUTH = ("", "@guest"), ("", "@auth")

_MAX_CLIENTS = 50_000
"""How many windows are kept; past it the expired and then the oldest ones go."""


class _Window:
    __slots__ = ("available", "start")

    def __init__(self) -> None:
        self.start = self.available = 0

    def consume(self, max_requests: int, duration: int, now: int) -> bool:
        if now - self.start >= duration:
            self.available, self.start = max_requests, now
        if self.available <= 0:
            return False
        self.available -= 1
        return True


class RateLimits:
    """The counters of this process, by rule and address."""

    def __init__(self, settings: SettingsRef) -> None:
        self._settings = settings
        # Batches count from a thread.
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, str], _Window] = {}
        self._longest = 0
        self._compile(settings.current.rate_limits)

    def check_path(self, request: Request) -> None:
        """Count a request under the rules for its path. Raises TooManyRequestsError."""
        if self._is_limited(request):
            self._count(request, _path_labels(request), "")

    def check_collection(self, request: Request, collection: Collection, tags: Sequence[str]) -> None:
        """Count a request for an action on a collection, on its own for each of them. Raises TooManyRequestsError."""
        if self._is_limited(request):
            labels = [f"{collection.name}:{tag}" for tag in tags] + [f"*:{tag}" for tag in tags]
            self._count(request, labels + _path_labels(request), "\n".join((collection.id, *tags)))

    def consume(self, key: str, address: str, *, max_requests: int, duration: int) -> None:
        """Count one request, whatever the settings say. Raises TooManyRequestsError where the window is spent."""
        now = int(time.time())
        with self._lock:
            window = self._windows.get((key, address))
            if window is None:
                if len(self._windows) >= _MAX_CLIENTS:
                    self._shrink(now)
                window = self._windows[key, address] = _Window()
                self._longest = max(self._longest, duration)
            is_allowed = window.consume(max_requests, duration, now)
        if not is_allowed:
            raise TooManyRequestsError

    def _is_limited(self, request: Request) -> bool:
        limits = self._settings.current.rate_limits
        if not limits.enabled or request.is_superuser:
            return False
        if limits is not self._current:
            self._compile(limits)
        return not (limits.excluded_ips and is_listed(limits.excluded_ips, request.address))

    def _count(self, request: Request, labels: Sequence[str], counter: str) -> None:
        rule = self._find(labels, _AUTH if request.auth is not None else _GUEST)
        if rule is not None:
            key = (counter or rule.label) + rule.audience
            self.consume(key, request.address, max_requests=rule.max_requests, duration=rule.duration)

    def _compile(self, limits: RateLimitsSettings) -> None:
        self._current = limits
        self._windows = {}
        self._longest = 0
        self._exact: dict[str, list[RateLimitRule]] = {}
        self._prefixes = [rule for rule in limits.rules if rule.label.endswith("/")]
        for rule in limits.rules:
            self._exact.setdefault(rule.label, []).append(rule)

    def _find(self, labels: Sequence[str], audiences: tuple[str, str]) -> RateLimitRule | None:
        for label in labels:
            for rule in self._exact.get(label, ()):
                if rule.audience in audiences:
                    return rule
            for rule in self._prefixes:
                if (label + "/").startswith(rule.label) and rule.audience in audiences:
                    return rule
        return None

    def _shrink(self, now: int) -> None:
        """Drop the windows that are over, and if most are not, the older half."""
        kept = {key: window for key, window in self._windows.items() if now - window.start < self._longest}
        if len(kept) > _MAX_CLIENTS // 2:
            kept = dict(list(kept.items())[len(kept) // 2 :])
        self._windows = kept


def _path_labels(request: Request) -> list[str]:
    return [f"{request.method} {request.path}", request.path]
