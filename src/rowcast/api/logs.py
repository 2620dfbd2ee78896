"""`/api/logs`: what superusers read of the log of requests."""

from __future__ import annotations

from rowcast import encoding
from rowcast.admin.logs import Logs
from rowcast.api.request import Request
from rowcast.api.responses import Answer, picked
from rowcast.api.work import Work


class LogsApi:
    """Answers requests about the log (apis/logs.go)."""

    def __init__(self, work: Work, logs: Logs) -> None:
        self._work = work
        self._logs = logs

    async def list(self, request: Request) -> Answer:
        """Return a page of the log."""
        page = await self._work.quick(lambda: self._logs.list(request.query))
        return picked(request, encoding.encode(page), is_page=True)

    async def stats(self, request: Request) -> Answer:
        """Return the counts by hour."""
        text = request.query.get("filter", "")
        return picked(request, encoding.encode(await self._work.quick(lambda: self._logs.stats(text))))

    async def view(self, request: Request) -> Answer:
        """Return one entry."""
        entry = await self._work.quick(lambda: self._logs.view(request.values[0]))
        return picked(request, encoding.encode(entry))
