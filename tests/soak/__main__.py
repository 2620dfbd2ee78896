"""Runs the soak and says what it found: `python -m tests.soak --seconds 300`."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.loss import Found, soak
from tests.soak.plan import Plan

_MOST_SHOWN = 20


def main() -> int:
    """Run and report; the status is 1 where something was lost, repeated or out of order."""
    options = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    options.add_argument("--seconds", type=float, default=300.0, help="how long to write (default: 300)")
    options.add_argument("--clients", type=int, default=48, help="how many clients (default: 48)")
    options.add_argument("--writes", type=float, default=120.0, help="writes per second at most (default: 120)")
    options.add_argument("--workers", type=int, default=0, help="serve with so many workers (default: none)")
    options.add_argument("--nodes", type=int, default=1, help="so many servers on one directory (default: 1)")
    options.add_argument(
        "--db", action="store_true", help="serve a PostgreSQL database, which is killed and frozen too"
    )
    options.add_argument("--bus", choices=["redis"], help="connect the servers over Redis, which is killed too")
    options.add_argument("--open", type=float, default=0.8, help="seconds that a connection is open (default: 0.8)")
    options.add_argument(
        "--outages", type=float, default=0.5, help="part of the faults of what is below (default: 0.5)"
    )
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given = options.parse_args()
    plan = Plan(
        seconds=given.seconds,
        clients=given.clients,
        writes_per_s=given.writes,
        seed=given.seed,
        workers=given.workers,
        nodes=given.nodes,
        has_database=given.db,
        has_bus=given.bus is not None,
        open_for_s=given.open,
        outages=given.outages,
        server_lives_s=(2.0, 6.0) if given.workers or given.nodes > 1 else (5.0, 15.0),
    )
    directory = Path(tempfile.mkdtemp(prefix="rowcast-soak-"))
    print(f"{plan.clients} clients for {plan.seconds:g} s, seed {plan.seed}")
    began = time.monotonic()
    found = soak(plan, directory)
    _report(found, time.monotonic() - began)
    if found.problems:
        print(f"the data directory and the server's output are in {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


def _report(found: Found, seconds: float) -> None:
    for name, count in sorted(found.counts.items()):
        print(f"{count:>10,}  {name}")
    print(f"{found.changes:>10,}  changes in the log, all {seconds:.0f} s")
    print(f"{found.longest_s:>10.1f}  s, the slowest answer to a write")
    if found.recoveries_s:
        print(f"{max(found.recoveries_s):>10.1f}  s at most from the end of an outage to the next write")
    for problem in found.problems[:_MOST_SHOWN]:
        print(problem)
    print(
        f"{len(found.problems)} problems"
        if found.problems
        else "nothing lost, nothing twice, nothing forbidden, one order"
    )


if __name__ == "__main__":
    sys.exit(main())
