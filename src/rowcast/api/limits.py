"""Rate limits: which rule a request falls under, and how much of it is left.

Copies apis/middlewares_rate_limit.go and core/settings_model.go (FindRateLimitRule):
labels are tried in order, each first as an exact label, then under the rules that
end with "/" as prefixes, in the order of the settings. Fixed windows of whole
seconds. Saving the settings starts all counters anew.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

from rowcast.api.request import Request
from rowcast.config import RateLimitRule, RateLimitsSettings, SettingsRef
from rowcast.errors import TooManyRequestsError
from rowcast.schema.collection import Collection
from rowcast.schema.networks import is_listed

_GUEST, _AUTH = ("", "@guest"), ("", "@auth")

_MAX_WINDOWS = 50_000
"""How many windows are kept, each for an address of its own."""

_SHARED = 1 << 14
"""How many windows the addresses share that find no room, for each pair of most requests and duration."""

_SWEPT = 2
"""How many old windows are looked at for each new one: more than one, so that they get fewer than come."""


class _Window:
    __slots__ = ("available", "end")

    def __init__(self) -> None:
        self.end = self.available = 0

    def consume(self, max_requests: int, duration: int, now: int) -> bool:
        if now >= self.end:
            self.available, self.end = max_requests, now + duration
        if self.available <= 0:
            return False
        self.available -= 1
        return True


class Windows:
    """Fixed windows by key. Memory and the time of a step are bounded, whatever keys come.

    A window goes only when it is over, so nobody can make the server forget what
    somebody else (or they themselves) have used up. While all windows are taken, new keys
    share some thousand others by their hash: then one may be refused for another's requests.
    """

    def __init__(self) -> None:
        self._own: OrderedDict[tuple[str, str], _Window] = OrderedDict()
        self._shared: dict[tuple[int, int, int], _Window] = {}

    def __len__(self) -> int:
        return len(self._own) + len(self._shared)

    def consume(self, key: tuple[str, str], max_requests: int, duration: int, now: int) -> bool:
        """Count one request; whether it is allowed. `now` and `duration` in whole seconds."""
        window = self._own.get(key)
        if window is None:
            window = self._new(key, max_requests, duration, now)
        return window.consume(max_requests, duration, now)

    def _new(self, key: tuple[str, str], max_requests: int, duration: int, now: int) -> _Window:
        windows = self._own
        for _ in range(min(_SWEPT, len(windows))):
            oldest, window = windows.popitem(last=False)
            if window.end > now:
                windows[oldest] = window
        # Python salts the hashes of texts, so that nobody can choose whom to share with.
        place = (max_requests, duration, hash(key) % _SHARED)
        shared = self._shared.get(place)
        if len(windows) < _MAX_WINDOWS and (shared is None or now >= shared.end):
            made = windows[key] = _Window()
            return made
        return shared or self._shared.setdefault(place, _Window())


class RateLimits:
    """The counters of this process, by rule and address."""

    def __init__(self, settings: SettingsRef) -> None:
        self._settings = settings
        # Batches count from a thread.
        self._lock = threading.Lock()
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
            is_allowed = self._windows.consume((key, address), max_requests, duration, now)
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
        self._windows = Windows()
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
