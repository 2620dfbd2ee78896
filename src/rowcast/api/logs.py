"""`/api/logs`: what superusers read of the log of requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rowcast import encoding
from rowcast.admin.logs import Logs
from rowcast.api.request import Request
from rowcast.api.responses import Answer, picked
from rowcast.api.work import Work

T = TypeVar("T")


class LogsApi:
    """Answers requests about the log (apis/logs.go)."""

    def __init__(self, work: Work, logs: Logs, settle: Callable[[], None]) -> None:
        self._work = work
        self._logs = logs
        self._settle = settle

    async def list(self, request: Request) -> Answer:
        """Return a page of the log."""
        page = await self._read(lambda: self._logs.list(request.query))
        return picked(request, encoding.encode(page), is_page=True)

    async def stats(self, request: Request) -> Answer:
        """Return the counts by hour."""
        text = request.query.get("filter", "")
        return picked(request, encoding.encode(await self._read(lambda: self._logs.stats(text))))

    async def view(self, request: Request) -> Answer:
        """Return one entry."""
        entry = await self._read(lambda: self._logs.view(request.values[0]))
        return picked(request, encoding.encode(entry))

    async def _read(self, call: Callable[[], T]) -> T:
        await self._work.slow(self._settle)
        return await self._work.quick(call)
