"""`POST /api/sql`: SQL of superusers."""

from __future__ import annotations

import asyncio

from rowcast import encoding
from rowcast.admin.sql_desk import SqlDesk
from rowcast.api import auth_forms as forms
from rowcast.api.request import Request
from rowcast.api.responses import Answer, picked

_AT_ONCE = 2
"""How many calls run side by side; more of them wait, so that they never keep others from the threads."""


class SqlApi:
    """Runs SQL in threads (apis/sql.go)."""

    def __init__(self, desk: SqlDesk) -> None:
        self._desk = desk
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def run(self, request: Request) -> Answer:
        """Run the SQL of a form and return what it gives."""
        (query,) = forms.texts(await forms.read(request, hides_type=True), ("query",))
        async with self._turns:
            result = await asyncio.to_thread(self._desk.run, query)
        return picked(request, encoding.encode(result))
