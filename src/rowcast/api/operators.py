"""What the people who run a server ask of it, in one place for the table of routes."""

from __future__ import annotations

from dataclasses import dataclass

from rowcast.api.backups import BackupsApi
from rowcast.api.crons import CronsApi
from rowcast.api.logs import LogsApi
from rowcast.api.metrics import MetricsApi
from rowcast.api.route import Route, superuser_only
from rowcast.api.settings import SettingsApi
from rowcast.api.sql import SqlApi


@dataclass(frozen=True, slots=True)
class Operators:
    """The handlers of the APIs for operators; all of them are for superusers alone."""

    settings: SettingsApi
    logs: LogsApi
    crons: CronsApi
    sql: SqlApi
    backups: BackupsApi
    metrics: MetricsApi | None = None

    def optional(self) -> list[Route]:
        """Return the routes that are there only where the operator wants them."""
        if self.metrics is None:
            return []
        return [Route("GET", "/api/metrics", self.metrics.show, superuser_only, is_success_logged=False)]
