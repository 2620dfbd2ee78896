"""Runs a plan and holds what came of it against the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.wire import run
from tests.soak.checker import Log, check_client, check_log, check_tables
from tests.soak.driver import Soak
from tests.soak.plan import Plan


@dataclass(frozen=True, slots=True)
class Found:
    """What a run came to: problems as texts, and how much of what there was."""

    problems: list[str]
    counts: Mapping[str, int]
    changes: int
    longest_s: float
    recoveries_s: list[float]


def soak(plan: Plan, directory: Path) -> Found:
    """Carry out a plan in a directory and check it."""
    journal, world = run(Soak(plan, directory).run())
    log = Log(journal.changes, journal.first)
    problems = [*journal.faults, *map(str, check_log(log, journal.acks, is_dense=not plan.has_database))]
    problems += map(str, check_tables(log, journal.tables))
    world.rights.read(log.changes, {record: name for name, record in world.people.items()})
    for client in journal.clients:
        problems += map(str, check_client(client, log, world.tells))
    return Found(problems, journal.counts, len(journal.changes), journal.longest_s, journal.recoveries_s)
