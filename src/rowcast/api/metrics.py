"""`GET /api/metrics`: the numbers of this process, for superusers, where the operator asked for it."""

from __future__ import annotations

from collections.abc import Callable

from rowcast.api.request import Request
from rowcast.api.responses import Answer, Response

Scrape = Callable[[], tuple[bytes, str]]
"""Returns the numbers as text, and its content type."""


class MetricsApi:
    """Answers scrapes."""

    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape

    async def show(self, _: Request) -> Answer:
        """Return all numbers."""
        text, content_type = self._scrape()
        return Response(200, text, [(b"content-type", content_type.encode())])
