"""The short soak: hundreds of cuts, a few deaths of the server, nothing lost. `make soak` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.loss import soak
from tests.soak.plan import Plan

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def test_streams_with_a_cursor_lose_nothing(tmp_path: Path) -> None:
    plan = Plan(
        seconds=8,
        clients=24,
        writes_per_s=80,
        open_for_s=0.4,
        server_lives_s=(1.0, 2.0),
        freezes_for_s=0.3,
        long_freezes=False,
    )
    found = soak(plan, tmp_path)
    assert found.problems == []
    # It says something only if there was something to lose.
    assert found.counts["cuts"] > 100
    assert found.counts["resumed"] > 100
    assert found.counts["SIGKILL"] + found.counts["SIGTERM"] >= 2
    assert found.counts["events"] > 500


def test_nothing_is_lost_between_workers_of_several_nodes(tmp_path: Path) -> None:
    plan = Plan(
        seconds=6,
        clients=16,
        writes_per_s=60,
        open_for_s=0.4,
        server_lives_s=(0.5, 1.0),
        freezes_for_s=0.3,
        long_freezes=False,
        workers=2,
        nodes=2,
        stops_for_s=1.5,
    )
    found = soak(plan, tmp_path)
    assert found.problems == []
    assert found.counts["cuts"] > 20
    assert found.counts["resumed"] > 20
    assert found.counts["writes"] > 50
    faults = ("SIGKILL of a worker", "SIGSTOP", "SIGHUP", "SIGTERM")
    assert sum(found.counts[name] for name in faults) >= 2
    assert found.counts["events"] > 100


def test_nothing_is_lost_while_postgresql_and_redis_die(tmp_path: Path) -> None:
    plan = Plan(
        seconds=6,
        seed=6,
        clients=12,
        writes_per_s=40,
        open_for_s=0.5,
        server_lives_s=(0.4, 0.8),
        outages=0.85,
        stops_for_s=1.0,
        freezes_for_s=0.3,
        long_freezes=False,
        nodes=2,
        has_database=True,
        has_bus=True,
        turns_every_s=0.5,
    )
    found = soak(plan, tmp_path)
    assert found.problems == []
    assert found.counts["cuts"] > 20
    assert found.counts["writes"] > 20
    assert found.counts["events"] > 50
    outages = [name for name in found.counts if name.startswith(("PostgreSQL", "Redis"))]
    assert sum(found.counts[name] for name in outages) >= 1
