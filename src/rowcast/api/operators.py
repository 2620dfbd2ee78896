"""What the people who run a server ask of it, in one place for the table of routes."""

from __future__ import annotations

from dataclasses import dataclass

from rowcast.api.crons import CronsApi
from rowcast.api.logs import LogsApi
from rowcast.api.settings import SettingsApi
from rowcast.api.sql import SqlApi


@dataclass(frozen=True, slots=True)
class Operators:
    """The handlers of the APIs for operators; all of them are for superusers alone."""

    settings: SettingsApi
    logs: LogsApi
    crons: CronsApi
    sql: SqlApi
