"""Rate limits: which rule a request falls under, and how much of it is left.

Copies apis/middlewares_rate_limit.go and core/settings_model.go (FindRateLimitRule):
labels are tried in order, each first as an exact label, then under the rules that
end with "/" as prefixes, in the order of the settings. Fixed windows of whole
seconds. Saving the settings starts all counters anew.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rowcast.api.request import Request
from rowcast.config import RateLimitRule, RateLimitsSettings, Settings, SettingsRef
from rowcast.errors import TooManyRequestsError
from rowcast.schema.collection import Collection
from rowcast.schema.networks import is_listed
from rowcast.windows import Windows

_GUEST, _AUTH = ("", "@guest"), ("", "@auth")


class RateLimits:
    """Counts by rule and address, in windows that are its alone."""

    def __init__(self, settings: SettingsRef, windows: Windows) -> None:
        self._settings = settings
        self._windows = windows
        self._compile(settings.current.rate_limits)
        settings.watch_saves(self._begin_anew)

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
        if not self._windows.consume((key, address), max_requests, duration, now):
            raise TooManyRequestsError

    def _is_limited(self, request: Request) -> bool:
        limits = self._settings.current.rate_limits
        if not limits.enabled or request.is_superuser:
            return False
        if limits is not self._current:
            self._compile(limits)
            if not self._windows.is_shared:
                # Those that are shared were cleared by the process that saved, once for all.
                self._windows.clear()
        return not (limits.excluded_ips and is_listed(limits.excluded_ips, request.address))

    def _count(self, request: Request, labels: Sequence[str], counter: str) -> None:
        rule = self._find(labels, _AUTH if request.auth is not None else _GUEST)
        if rule is not None:
            key = (counter or rule.label) + rule.audience
            self.consume(key, request.address, max_requests=rule.max_requests, duration=rule.duration)

    def _begin_anew(self, before: Settings, after: Settings) -> None:
        if before.rate_limits is not after.rate_limits:
            self._windows.clear()

    def _compile(self, limits: RateLimitsSettings) -> None:
        self._current = limits
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


def _path_labels(request: Request) -> list[str]:
    return [f"{request.method} {request.path}", request.path]
