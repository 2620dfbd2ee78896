"""make bench: measures `rowcast serve` on a new data directory, and the reference beside it where it is named.

A full run writes benchmarks/RESULTS.md. A part (--only, --quick) only prints.
"""

from __future__ import annotations

import argparse
import datetime
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rowcast
from benchmarks import plain, realtime, report, usage
from tests.e2e.server import Kind, Server, running, upsert_superuser

RESULTS = Path(__file__).parent / "RESULTS.md"
_MANY_STREAMS = 5_000


@contextmanager
def _server(kind: Kind) -> Iterator[tuple[Server, int]]:
    with tempfile.TemporaryDirectory(prefix="rowcast-bench-") as folder:
        data_dir = Path(folder) / "pb_data"
        upsert_superuser(kind, data_dir)
        with running(kind, data_dir) as server:
            yield server, int(server.url.rpartition(":")[2])


def _measure(kind: Kind, options: argparse.Namespace) -> report.Results:
    results = report.Results()
    if not options.only or "plain" in options.only:
        with _server(kind) as (server, port):
            for plain_row in plain.measure(server, port):
                print(f"{kind}: {plain_row}", flush=True)
                results.plain.append(plain_row)
    for scenario in realtime.SCENARIOS:
        if options.only and scenario.kind not in options.only and "realtime" not in options.only:
            continue
        if options.quick and scenario.streams > _MANY_STREAMS:
            continue
        # Each scenario has a server of its own: memory and caches start from the same point.
        with _server(kind) as (server, port):
            row = realtime.measure(server, port, scenario)
            print(f"{kind}: {row}", flush=True)
            results.realtime.append(row)
    return results


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    kinds = ["plain", "realtime", *dict.fromkeys(scenario.kind for scenario in realtime.SCENARIOS)]
    parser.add_argument("--only", action="append", choices=kinds, help="measure this alone; may be repeated")
    parser.add_argument("--quick", action="store_true", help="leave out what needs 9,000 streams")
    parser.add_argument("--reference-only", action="store_true", help="measure only what ROWCAST_REFERENCE names")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write the page if everything was measured."""
    options = _options()
    # Servers and readers inherit the limit: each stream is a descriptor on both sides.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    results: dict[str, report.Results] = {}
    if not options.reference_only:
        results["rowcast"] = _measure("rowcast", options)
    if os.environ.get("ROWCAST_REFERENCE"):
        results["PocketBase, same machine and hour"] = _measure("reference", options)
    date = datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d")
    page = report.render(results, machine=usage.machine(), date=date, version=rowcast.__version__)
    print(f"\n{page}")
    if not (options.only or options.quick or options.reference_only):
        RESULTS.write_text(page)


if __name__ == "__main__":
    main()
