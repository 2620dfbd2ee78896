"""make bench: measures `rowcast serve` on a new data directory, and the reference beside it where it is named.

A full run writes RESULTS.md and growth.svg into this folder. A part (--only, --quick)
only prints, or writes into the folder that --out names; the page never mixes runs.
"""

from __future__ import annotations

import argparse
import datetime
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import rowcast
from benchmarks import costs, files, growth, operations, pictures, plain, realtime, report, scale, usage
from benchmarks.ground import Ground, prepared
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.wire import LoadError
from tests.e2e.server import Kind, ServerError

PARTS = ("plain", "costs", "files", "start", "log", "logins", "resume", "realtime", "growth")
_NAMES: dict[Kind, str] = {"rowcast": "rowcast", "reference": "PocketBase"}
_MANY_STREAMS = 5_000
_RESUMING = 1_000


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What one kind of server is given: seconds of writing for a scenario, streams of a growth point."""

    scenario_s: float
    growth_s: float
    most_streams: int


_BOUNDS: dict[Kind, _Bounds] = {"rowcast": _Bounds(20, 6, 9_000), "reference": _Bounds(6, 2.5, 3_000)}


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A server that is measured, and what it gave so far."""

    ground: Ground
    results: report.Results

    @property
    def bounds(self) -> _Bounds:
        return _BOUNDS[self.ground.kind]


@dataclass(frozen=True, slots=True)
class _Step:
    """One measurement; it notes what it finds in the results of its server."""

    name: str
    run: Callable[[], None]


def _steps(candidates: Sequence[_Candidate], options: argparse.Namespace) -> Iterator[_Step]:
    """Yield what to measure; the same of all servers comes together, since only that compares."""
    wanted = set(options.only or PARTS)
    most_streams = min(options.streams, _MANY_STREAMS) if options.quick else options.streams
    # The reference has neither positions nor a log.
    ours = [each for each in candidates if each.ground.kind == "rowcast"]
    resume = partial(_resume, streams=min(_RESUMING, most_streams))
    parts: dict[str, Iterator[_Step]] = {
        "plain": (_step("plain", _plain, each) for each in candidates),
        "costs": (_step("costs", _costs, each) for each in ours),
        "files": (_step("files", _files, each) for each in candidates),
        "realtime": _realtime_steps(candidates, most_streams),
        "growth": _growth_steps(candidates, most_streams),
        "logins": (_step("logins", _logins, each) for each in candidates),
        "resume": (_step("resume", resume, each) for each in ours),
        "log": (_step("log", _log, each) for each in ours),
        "start": (_step("start", _start, each) for each in candidates),
    }
    for part in PARTS:
        if part in wanted:
            yield from parts[part]


def _realtime_steps(candidates: Sequence[_Candidate], most_streams: int) -> Iterator[_Step]:
    for scenario in SCENARIOS:
        if scenario.streams <= most_streams:
            run = partial(_realtime, scenario=scenario)
            yield from (_step(scenario.name, run, each) for each in candidates)


def _growth_steps(candidates: Sequence[_Candidate], most_streams: int) -> Iterator[_Step]:
    for scenario in growth.points(most_streams=most_streams):
        for each in candidates:
            if scenario.streams <= each.bounds.most_streams:
                yield _step(f"growth: {scenario.name}", partial(_growth, scenario=scenario), each)


def _step(name: str, run: Callable[[_Candidate], None], candidate: _Candidate) -> _Step:
    return _Step(f"{name} ({_NAMES[candidate.ground.kind]})", partial(run, candidate))


def _plain(candidate: _Candidate) -> None:
    with candidate.ground.serving() as (server, port):
        candidate.results.plain.extend(plain.measure(server, port))


def _costs(candidate: _Candidate) -> None:
    candidate.results.costs.extend(costs.measure())


def _files(candidate: _Candidate) -> None:
    with candidate.ground.serving() as (server, port):
        candidate.results.files.extend(files.measure(server, port))


def _realtime(candidate: _Candidate, *, scenario: Scenario) -> None:
    row = realtime.measure(candidate.ground, scenario, within_s=candidate.bounds.scenario_s)
    candidate.results.realtime.append(row)


def _growth(candidate: _Candidate, *, scenario: Scenario) -> None:
    row = realtime.measure(candidate.ground, scenario, within_s=candidate.bounds.growth_s)
    candidate.results.growth.rows[scenario] = row


def _logins(candidate: _Candidate) -> None:
    candidate.results.operations.logins.extend(operations.logins(candidate.ground))


def _resume(candidate: _Candidate, *, streams: int) -> None:
    rows = operations.resume(candidate.ground, streams=streams, missed=operations.MISSED)
    candidate.results.operations.resume.extend(rows)


def _log(candidate: _Candidate) -> None:
    candidate.results.operations.log.extend(operations.change_log(candidate.ground))


def _start(candidate: _Candidate) -> None:
    candidate.results.operations.start.append(operations.start(candidate.ground))


def _run(steps: Iterator[_Step], *, deadline: float) -> list[str]:
    """Measure until the deadline (of the monotonic clock); return the names of what is missing."""
    missing = []
    for step in steps:
        if time.monotonic() > deadline:
            missing.append(step.name)
            continue
        started = time.monotonic()
        try:
            step.run()
        except (LoadError, ServerError) as error:
            print(f"{step.name}: {error}", flush=True)
            missing.append(f"{step.name}, which failed")
        else:
            print(f"{step.name}: {time.monotonic() - started:.1f} s", flush=True)
    return missing


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this alone; may be repeated")
    parser.add_argument("--quick", action="store_true", help="leave out what needs 9,000 streams")
    parser.add_argument("--streams", type=int, default=9_000, help="leave out what needs more streams than this")
    parser.add_argument("--reference-only", action="store_true", help="measure only what ROWCAST_REFERENCE names")
    parser.add_argument("--minutes", type=float, default=14.0, help="begin nothing after so many minutes")
    parser.add_argument("--scale", action="store_true", help="only several processes, into their section of RESULTS.md")
    parser.add_argument("--out", type=Path, help="write RESULTS.md and growth.svg into this folder")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write the page if everything was asked for."""
    options = _options()
    if options.scale:
        scale.report(is_written=True)
        return
    began = time.monotonic()
    # Servers and readers inherit the limit: each stream is a descriptor on both sides.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    kinds: list[Kind] = [] if options.reference_only else ["rowcast"]
    if os.environ.get("ROWCAST_REFERENCE"):
        kinds.append("reference")
    with ExitStack() as stack:
        candidates = [_Candidate(stack.enter_context(prepared(kind)), report.Results()) for kind in kinds]
        missing = _run(_steps(candidates, options), deadline=began + options.minutes * 60)
    is_partial = bool(options.only or options.quick or options.reference_only or options.streams < 9_000)
    parts = f"; only {', '.join(options.only)}" if options.only else ""
    date = datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d")
    about = f"rowcast {rowcast.__version__}, {date}, on {usage.machine()}{parts}."
    results = {_NAMES[each.ground.kind]: each.results for each in candidates}
    page = report.render(results, about=about, left_out=missing)
    print(f"\n{page}\n{(time.monotonic() - began) / 60:.1f} minutes")

    folder = options.out or (None if is_partial else Path(__file__).parent)
    if folder is not None:
        several = scale.section()
        (folder / "RESULTS.md").write_text(f"{page}\n{several}" if several else page)
        if any(result.growth.rows for result in results.values()):
            (folder / "growth.svg").write_text(pictures.picture({name: each.growth for name, each in results.items()}))


if __name__ == "__main__":
    main()
