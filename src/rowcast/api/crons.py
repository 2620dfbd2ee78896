"""`/api/crons`: which jobs there are, and running one now."""

from __future__ import annotations

from rowcast import encoding
from rowcast.admin.crons import Crons
from rowcast.api.request import Request
from rowcast.api.responses import NO_CONTENT, Answer, picked
from rowcast.errors import NotFoundError


class CronsApi:
    """Answers requests about jobs (apis/cron.go)."""

    def __init__(self, crons: Crons) -> None:
        self._crons = crons

    async def list(self, request: Request) -> Answer:
        """Return the jobs with their expressions."""
        jobs = [{"id": job.id, "expression": job.expression} for job in self._crons.jobs()]
        return picked(request, encoding.encode(jobs))

    async def run(self, request: Request) -> Answer:
        """Start a job and answer at once."""
        if not self._crons.run(request.values[0]):
            raise NotFoundError("Missing or invalid cron job")
        return NO_CONTENT
