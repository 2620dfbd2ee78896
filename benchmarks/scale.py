"""python -m benchmarks.scale: several processes, what each part costs, how many changes a second nodes keep up with.

Prints a page. With --write it stores the figures in scale.json, from which `benchmarks.model` fits its model,
and puts the page into RESULTS.md in place of the one before. Takes some five minutes.
"""

from __future__ import annotations

import argparse
import datetime
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

import rowcast
from benchmarks import fleet, loads, parts, usage
from benchmarks.fleet import Layout
from benchmarks.ground import Ground, prepared
from benchmarks.loads import Row, Shape
from benchmarks.report import table
from benchmarks.wire import LoadError
from benchmarks.writers import steady
from tests.e2e.server import ServerError

FIGURES = Path(__file__).parent / "scale.json"
RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = "## Scale"

_STREAMS = 600

SINGLES = Shape("one by one", rate_per_s=100, seconds=3)
BATCHES = Shape("batches of 50", size=50)
SPREAD = Shape("many streams", streams=_STREAMS, rate_per_s=40)
FLOOD = Shape("many streams, flood", streams=_STREAMS, size=20, seconds=1.0)
OWNER = Shape("owner rule", kind="owner", streams=120, accounts=60, rate_per_s=60)
MEMBER = Shape("relation rule", kind="member", streams=120, accounts=60, rate_per_s=60)

LAYOUTS = (
    *(Layout("sqlite", workers=count) for count in (1, 2, 4)),
    *(Layout("postgres", nodes=count, redis=True) for count in (1, 2, 3)),
    *(Layout("sqlite", nodes=count) for count in (2, 3)),
    *(Layout("postgres", nodes=count) for count in (1, 2, 3)),
)

_LADDER = (1_000, 2_000, 3_000, 5_000)


class Figures(msgspec.Struct):
    """All that a run gave. `parts` is CPU in us by what it is for; `steady` are rates that were tried."""

    about: str
    rows: list[Row] = []
    parts: dict[str, float] = {}
    steady: list[Row] = []
    missing: list[str] = []


def shapes_of(layout: Layout) -> Iterator[Shape]:
    """Yield what is done to a layout; the streams of a load are the same in all, however many processes share them."""
    yield SINGLES
    yield BATCHES
    share = layout.nodes if layout.nodes > 1 else layout.workers
    for shape in (SPREAD, FLOOD):
        yield replace(shape, streams=shape.streams // share)
    if layout.engine == "postgres" and layout.redis:
        for shape in (OWNER, MEMBER):
            yield replace(shape, streams=shape.streams // share)


def run(figures: Figures, ground: Ground, only: str, keep: Callable[[], None]) -> None:
    """Measure everything whose name has `only` in it; what fails is noted and left out; `keep` follows each."""
    template = fleet.copied_to_postgres(ground)
    if only in "parts":
        figures.parts = dict(parts.measured())
    if only in "steady":
        figures.steady = list(_steady(ground, template, figures.missing))
    for layout in LAYOUTS:
        if only not in layout.name:
            continue
        began = time.monotonic()
        try:
            with fleet.serving(layout, ground, template) as served:
                loads.allow_batches(served)
                for number, shape in enumerate(shapes_of(layout)):
                    figures.rows.append(loads.measure(served, ground, shape, f"events{number}"))
        except (LoadError, ServerError, OSError) as error:
            print(f"{layout.name}: {error}", flush=True)
            figures.missing.append(layout.name)
        print(f"{layout.name}: {time.monotonic() - began:.0f} s", flush=True)
        keep()


def _steady(ground: Ground, template: str, missing: list[str]) -> Iterator[Row]:
    """Try rates of changes on four nodes, as requests and as writers beside them, until they fall behind."""
    layout = Layout("postgres", nodes=4, redis=True)
    try:
        with fleet.serving(layout, ground, template) as served:
            loads.allow_batches(served)
            for number, rate in enumerate(_LADDER):
                shape = Shape(f"batches of 50, {rate:,}/s", size=50, rate_per_s=rate, seconds=4, clients=4)
                row = loads.measure(served, ground, shape, f"steady{number}")
                yield row
                if row.changes_per_s < rate * 0.9:
                    break
            yield steady(served, ground, rate_per_s=_LADDER[-1], seconds=20)
    except (LoadError, ServerError, OSError) as error:
        print(f"steady: {error}", flush=True)
        missing.append("steady rates")


def render(figures: Figures) -> str:
    """Return the page of a run."""
    out = [HEAD, figures.about, _NOTE]
    if figures.missing:
        out.append(f"Not measured in this run: {', '.join(figures.missing)}.")
    for load, note in _LOADS.items():
        rows = [row for row in figures.rows if row.load == load]
        if rows:
            out += [f"### {load[0].upper()}{load[1:]}", note, table(_COLUMNS, map(_cells, rows))]
    if figures.steady:
        out += [
            "### Four nodes on PostgreSQL, changes/s",
            _STEADY_NOTE,
            table(_COLUMNS, map(_steady_cells, figures.steady)),
        ]
    if figures.parts:
        cells = [[name, f"{cost:,.1f}"] for name, cost in figures.parts.items()]
        out += ["### What each part costs", _PARTS_NOTE, table(("part", "CPU us"), cells)]
    return "\n\n".join(out) + "\n"


_NOTE = (
    "Server processes, the database, Redis, writers and readers share this machine's processors, so more processes do "
    "not bring more here; what is to be compared is the CPU. It is that of all processes of rowcast together, and "
    "that of PostgreSQL, for each change that is written, its request included. Each node hears all changes. "
    "PostgreSQL runs as it comes: `fsync` and `synchronous_commit` are on. Latency is from just before the request to "
    "the arrival at a stream, on whichever node."
)

_LOADS = {
    "one by one": "100 changes/s, dealt out to the nodes, one in each transaction; one stream at each process.",
    "batches of 50": "50 creates in each `POST /api/batch`, two clients at each node, as fast as they are answered.",
    "many streams": f"40 changes/s that {_STREAMS} streams hear, spread over the processes.",
    "many streams, flood": f"Batches of 20 as fast as they are answered, heard by {_STREAMS} streams.",
    "owner rule": "60 changes/s, `owner = @request.auth.id`, 120 streams of 60 accounts. No node asks the database.",
    "relation rule": "The same with `room.members.id ?= @request.auth.id`: each node asks once per change.",
}

_STEADY_NOTE = (
    "A rate holds where as many changes are written as were asked for and the streams are not behind at the end. "
    '"Writers beside them" are four processes that write as a node does (records, change log, hint), without HTTP and '
    "without the checks of a request."
)

_PARTS_NOTE = (
    "In one process, without HTTP: what a change costs where it is written, on its way, and where it is heard."
)

_COLUMNS = (
    "processes", "changes/s", "deliveries/s", "CPU us per change", "database", "CPU us per delivery",
    "write p50 / p99 ms", "latency p50 / p99 ms", "behind at the end s", "log MB", "heard",
)  # fmt: skip


def _cells(row: Row) -> list[str]:
    return [
        row.layout,
        f"{row.changes_per_s:,.0f}",
        f"{row.deliveries_per_s:,.0f}",
        f"{row.cpu_us:,.0f}",
        f"{row.database_cpu_us:,.0f}" + (f" ({row.transactions:.1f} transactions)" if row.transactions else ""),
        f"{row.cpu_us_per_delivery:,.1f}",
        f"{row.write_p50_ms:.1f} / {row.write_p99_ms:.1f}",
        f"{row.latency_p50_ms:.1f} / {row.latency_p99_ms:.1f}",
        f"{row.drained_s:.2f}",
        f"{row.wal_mb:.1f}" if row.engine == "sqlite" else "-",
        f"{row.deliveries / max(1, row.expected):.1%}",
    ]


def _steady_cells(row: Row) -> list[str]:
    return [row.load, *_cells(row)[1:]]


def put_into(page: str, section: str) -> str:
    """Return a page of results with this section in place of the one before, or at its end."""
    before, head, rest = page.partition(f"{HEAD}\n")
    if not head:
        return f"{page.rstrip()}\n\n{section}"
    behind = rest.find("\n## ")
    return before + section + (rest[behind:] if behind >= 0 else "")


def section() -> str:
    """Return the section of the stored figures, "" where there are none."""
    if not FIGURES.exists():
        return ""
    return render(msgspec.json.decode(FIGURES.read_bytes(), type=Figures))


def main() -> None:
    """Measure, print and, where it is asked for, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--only", default="", help="measure what has this in its name: SQLite, 3 nodes, steady, parts")
    parser.add_argument("--write", action="store_true", help="write scale.json and the section of RESULTS.md")
    options = parser.parse_args()
    report(options.only, is_written=options.write)


def report(only: str = "", *, is_written: bool) -> None:
    """Measure and print; write scale.json and the section of RESULTS.md where it is asked for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    began = time.monotonic()
    fleet.start_postgres()
    date = datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d")
    figures = Figures(
        f"rowcast {rowcast.__version__}, {date}, on {usage.machine()}. Made by `python -m benchmarks.scale --write`."
    )

    def keep() -> None:
        if is_written:
            FIGURES.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")
            RESULTS.write_text(put_into(RESULTS.read_text(), render(figures)))

    with prepared("rowcast") as ground:
        run(figures, ground, only, keep)
    keep()
    print(f"\n{render(figures)}\n{(time.monotonic() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
