"""Rate limits: which rule a request falls under, and how much of it is left.

Copies apis/middlewares_rate_limit.go and core/settings_model.go (FindRateLimitRule):
labels are tried in order, each first as an exact label, then under the rules that
end with "/" as prefixes, in the order of the settings. Fixed windows of whole
seconds. Saving the settings starts all counters anew. Owned by the event loop.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from functools import lru_cache

from rowcast.config import RateLimitRule, RateLimitsSettings, SettingsRef
from rowcast.errors import TooManyRequestsError

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
        self._windows: dict[tuple[str, str], _Window] = {}
        self._longest = 0
        self._compile(settings.current.rate_limits)

    def check(self, labels: Sequence[str], *, address: str, is_auth: bool, counter: str = "") -> None:
        """Count a request under the first rule that fits its labels. Raises TooManyRequestsError.

        Without `counter` the rule's label and audience name what is counted; with it,
        the counter and the audience (a route of one collection counts on its own).
        """
        limits = self._settings.current.rate_limits
        if not limits.enabled:
            return
        if limits is not self._current:
            self._compile(limits)
        if limits.excluded_ips and is_listed(limits.excluded_ips, address):
            return
        rule = self._find(labels, _AUTH if is_auth else _GUEST)
        if rule is not None:
            key = (counter or rule.label) + rule.audience
            self.consume(key, address, max_requests=rule.max_requests, duration=rule.duration)

    def consume(self, key: str, address: str, *, max_requests: int, duration: int) -> None:
        """Count one request. Raises TooManyRequestsError where the window is spent."""
        window = self._windows.get((key, address))
        now = int(time.time())
        if window is None:
            if len(self._windows) >= _MAX_CLIENTS:
                self._shrink(now)
            window = self._windows[key, address] = _Window()
            self._longest = max(self._longest, duration)
        if not window.consume(max_requests, duration, now):
            raise TooManyRequestsError

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


@lru_cache(maxsize=4096)
def is_listed(addresses_or_networks: tuple[str, ...], address: str) -> bool:
    """Whether an address is one of these, or in one of these networks; malformed entries match nothing."""
    try:
        searched = ipaddress.ip_address(address)
    except ValueError:
        return False
    for item in addresses_or_networks:
        try:
            if searched in ipaddress.ip_network(item, strict=False):
                return True
        except ValueError:
            continue
    return False
