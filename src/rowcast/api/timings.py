"""How requests went, by route: counts by class of status, and times."""

from __future__ import annotations

from rowcast.api.route import Route
from rowcast.tallies import REQUEST_S, Histogram

STATIC = "static"
"""Stands for the path of what no route answers: static files and unknown paths."""


class Timings:
    """Times of requests in seconds. Changed on the event loop.

    There is one entry for each route that was asked for, under its pattern: paths,
    which anybody may make up, never become names.
    """

    def __init__(self) -> None:
        self.routes: dict[tuple[str, str], tuple[Histogram, dict[int, int]]] = {}

    def note(self, route: Route, status: int, took_s: float) -> None:
        """Count one answer."""
        key = route.method or "any", route.path or STATIC
        known = self.routes.get(key)
        if known is None:
            known = self.routes[key] = Histogram(REQUEST_S), {}
        times, statuses = known
        times.observe(took_s)
        statuses[status // 100] = statuses.get(status // 100, 0) + 1
