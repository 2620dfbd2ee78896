"""benchmarks/RESULTS.md: what was measured, beside what is aimed at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks import plain, realtime

PLAIN_TARGETS_US = {
    "create": 350,
    "view": 200,
    "update": 400,
    "list30": 600,
    "list30 skipTotal": 400,
    "list500 skipTotal": 1_800,
    "filter_sort": 4_000,
    "health": 110,
}

REALTIME_TARGETS = {
    "public": "CPU per delivery <= 12 us",
    "public, 16 writers": ">= 400,000 deliveries/s",
    "public, 50 events/s": "latency p50 <= 15 ms, p99 <= 60 ms",
    "public, 9,000 streams, 4 events/s": "write p50 <= 5 ms, p99 <= 15 ms; <= 12 KB per stream",
    "authed": "CPU per delivery <= 12 us",
    "owner": "CPU per event <= 1.5 ms",
    "owner, 9,000 streams": "CPU per event <= 1.3 x that of 1,000 streams",
    "member": "CPU per delivery <= 15 us",
    "ids": "CPU per event <= 1 ms",
    "ids, 9,000 streams": "CPU per event <= 1 ms",
    "filter": "CPU per event <= 3 ms",
}


@dataclass(slots=True)
class Results:
    """What one server gave."""

    plain: list[plain.Row] = field(default_factory=list)
    realtime: list[realtime.Row] = field(default_factory=list)


def render(results: Mapping[str, Results], *, machine: str, date: str, version: str) -> str:
    """Return the page. `results` is by the name of the server; the first one is ours."""
    parts = [
        "# Benchmark results",
        f"rowcast {version}, {date}, on {machine}. Made by `make bench`; server and load generator shared the machine.",
        "CPU is the time that the server's process used, user and system together. It is the steady figure: rates and "
        "waiting times move with what else the machine does.",
        "## Plain requests",
        f"{plain.CLIENTS} clients side by side, {plain.RECORDS:,} records, rules and limits on.",
    ]
    for name, result in results.items():
        if result.plain:
            parts += [f"### {name}", table(_PLAIN_HEAD, map(_plain_cells, result.plain))]
    parts += [
        "## Realtime",
        "1,000 streams, 100 accounts where there are any, one writer, as fast as the server answers, unless the name "
        "of the scenario says otherwise. Order counts events that a stream heard after a later one, and how many "
        "different orders the streams heard (1 is right).",
    ]
    for name, result in results.items():
        if result.realtime:
            parts += [f"### {name}", table(_REALTIME_HEAD, map(_realtime_cells, result.realtime))]
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are figures, and the last is the target."""
    lines = [head, ["---", *["---:"] * (len(head) - 2), "---"], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_PLAIN_HEAD = ("request", "CPU us", "requests/s", "p50 ms", "p99 ms", "target CPU us")


def _plain_cells(row: plain.Row) -> list[str]:
    return [
        row.name,
        f"{row.cpu_us:,.0f}",
        f"{row.per_s:,.0f}",
        f"{row.p50_ms:.1f}",
        f"{row.p99_ms:.1f}",
        f"<= {PLAIN_TARGETS_US[row.name]:,}",
    ]


_REALTIME_HEAD = (
    "scenario",
    "deliveries",
    "deliveries/s",
    "CPU us per delivery",
    "CPU us per event",
    "write p50 / p99 ms",
    "latency p50 / p99 ms",
    "out of order / orders",
    "KB per stream",
    "target",
)


def _realtime_cells(row: realtime.Row) -> list[str]:
    missing = "" if row.deliveries == row.expected else f" of {row.expected:,}"
    order = f"{_or_dash(row.out_of_order)} / {_or_dash(row.different_orders)}"
    return [
        row.scenario.name,
        f"{row.deliveries:,}{missing}",
        f"{row.deliveries_per_s:,.0f}",
        f"{row.cpu_us_per_delivery:,.1f}",
        f"{row.cpu_us_per_event:,.0f}",
        f"{row.write_p50_ms:.1f} / {row.write_p99_ms:.1f}",
        f"{row.latency_p50_ms:.1f} / {row.latency_p99_ms:.1f}",
        order,
        f"{row.bytes_per_stream / 1000:.1f}",
        REALTIME_TARGETS[row.scenario.name],
    ]


def _or_dash(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"
