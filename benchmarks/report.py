"""benchmarks/RESULTS.md: what was measured, beside what is aimed at and beside the reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks import costs, files, growth, operations, plain, realtime

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

COST_TARGETS_US = {costs.REQUEST_LOG: 10}

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

_REALTIME_NOTE = (
    "1,000 streams, 100 accounts where there are any, one writer, as fast as the server answers, unless the name of "
    "the scenario says otherwise. A server that is too slow for all events is measured on those that it took in the "
    "time given. Order counts events that a stream heard after a later one, and how many different orders the "
    "streams heard (1 is right). KB per stream is how much the resident memory grew while the streams were opened, "
    "over their number."
)

_LOAD_NOTE = (
    "Where the writer goes as fast as it is answered, the load is not the same on both: rowcast answers before the "
    "streams are written to, so changes pile up, leave together and cost less each, and they arrive later than one "
    "change alone would. The scenarios with a rate (events/s) put the same load on both as long as both can hold it."
)


@dataclass(slots=True)
class Results:
    """What one server gave."""

    plain: list[plain.Row] = field(default_factory=list)
    costs: list[costs.Row] = field(default_factory=list)
    files: list[files.Row] = field(default_factory=list)
    realtime: list[realtime.Row] = field(default_factory=list)
    growth: growth.Growth = field(default_factory=growth.Growth)
    operations: operations.Operations = field(default_factory=operations.Operations)


Section = Iterator[str]


def render(results: Mapping[str, Results], *, about: str, left_out: Sequence[str]) -> str:
    """Return the page. `results` is by the name of the server, ours first; `about` says when and where."""
    parts = [
        "# Benchmark results",
        f"{about} Made by `make bench`; server and load generator shared the machine. All figures are of this one run.",
        "CPU is the time that the server's process used, user and system together. It is the steady figure: rates and "
        "waiting times move with what else the machine does. A ratio is the reference's figure over rowcast's: above 1 "
        "rowcast uses less.",
    ]
    if left_out:
        parts.append(f"Not measured in this run: {'; '.join(left_out)}.")
    sections = (_compared, _growth, _plain, _shares, _files, _realtime, _operations)
    for section in sections:
        parts += section(results)
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, last_is_text: bool = False) -> str:
    """Return a Markdown table; all columns but the first are figures, and perhaps the last."""
    align = ["---", *["---:"] * (len(head) - 1)]
    if last_is_text:
        align[-1] = "---"
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, align, *rows])


# -- against the reference ------------------------------------------------------------------------


def _compared(results: Mapping[str, Results]) -> Section:
    if len(results) < 2:
        return
    ours, theirs = list(results.values())[:2]
    requests = {row.name: row for row in theirs.plain}
    scenarios = {row.scenario: row for row in theirs.realtime}
    plain_rows = [
        [row.name, *_ratio(row.cpu_us, requests[row.name].cpu_us), *_ratio(row.p50_ms, requests[row.name].p50_ms, 1)]
        for row in ours.plain
        if row.name in requests
    ]
    realtime_rows = [
        [
            row.scenario.name,
            f"{_heard(row)} / {_heard(other)}",
            *_ratio(row.cpu_us_per_event, other.cpu_us_per_event),
            *_ratio(row.write_p50_ms, other.write_p50_ms, 1),
            *_ratio(row.latency_p50_ms, other.latency_p50_ms, 1),
            *_ratio(row.bytes_per_stream / 1000, other.bytes_per_stream / 1000, 1),
        ]
        for row in ours.realtime
        if (other := scenarios.get(row.scenario))
    ]
    if plain_rows or realtime_rows:
        yield "## Against the reference, in the same run"
        yield f"In each cell: {' / '.join(results)}."
        yield _LOAD_NOTE
    if plain_rows:
        yield table(_pairs("request", "CPU us per request", "p50 ms"), plain_rows)
    if realtime_rows:
        first, *figures = _pairs("scenario", "CPU us per event", "write p50 ms", "latency p50 ms", "KB per stream")
        head = [first, "deliveries heard", *figures]
        yield table(head, realtime_rows)


def _heard(row: realtime.Row) -> str:
    return f"{row.deliveries / max(1, row.expected):.1%}"


def _pairs(first: str, *figures: str) -> list[str]:
    return [first, *(name for figure in figures for name in (figure, "ratio"))]


def _ratio(ours: float, theirs: float, digits: int = 0) -> tuple[str, str]:
    ratio = f"{theirs / ours:,.1f}" if ours > 0 else "-"
    return f"{ours:,.{digits}f} / {theirs:,.{digits}f}", ratio


# -- growth ---------------------------------------------------------------------------------------


def _growth(results: Mapping[str, Results]) -> Section:
    if not any(result.growth.rows for result in results.values()):
        return
    yield "## How the cost of an event grows"
    yield "![CPU per event by streams, accounts, topics and kind of rule](growth.svg)"
    yield (
        "CPU in us per event / per delivery; a write with its request and answer is part of the event. Where not all "
        "deliveries arrived, the cell says how many did. The reference is given less time and fewer streams."
    )
    yield _LOAD_NOTE
    for axis in growth.AXES:
        values = list(dict.fromkeys(value for points in axis.lines.values() for value in points))
        rows = [
            [f"{growth.RULE_KINDS[kind]}, {name}", *(_costs(line.get(value)) for value in values)]
            for kind, points in axis.lines.items()
            for name, result in results.items()
            if (line := result.growth.line(points))
        ]
        if rows:
            yield f"### {axis.title}"
            yield table(["rule, server", *(f"{value:,}" for value in values)], rows)
    found = [result.growth.rows for result in results.values()]
    rows = [
        [growth.RULE_KINDS[kind], *(_costs(rows.get(scenario)) for rows in found)]
        for kind, scenario in growth.BY_RULE.items()
        if any(scenario in rows for rows in found)
    ]
    if rows:
        yield "### Kinds of rules (1,000 streams, 100 accounts)"
        yield table(["rule", *results], rows)


def _costs(row: realtime.Row | None) -> str:
    if row is None:
        return "-"
    # Events that nobody heard cost less: such a figure must not pass for a good one.
    mark = "" if row.deliveries == row.expected else f" ({row.deliveries / max(1, row.expected):.1%} heard)"
    return f"{row.cpu_us_per_event:,.0f} / {row.cpu_us_per_delivery:,.1f}{mark}"


# -- each server ----------------------------------------------------------------------------------


def _plain(results: Mapping[str, Results]) -> Section:
    if not any(result.plain for result in results.values()):
        return
    yield "## Plain requests"
    yield f"{plain.CLIENTS} clients side by side, {plain.RECORDS:,} records, rules and limits on."
    for name, result in results.items():
        if result.plain:
            yield f"### {name}"
            head = ("request", "CPU us", "requests/s", "p50 ms", "p99 ms", "target CPU us")
            cells = map(_plain_cells, result.plain)
            yield _beside_targets(head, cells, is_ours=name == next(iter(results)))


def _beside_targets(head: Sequence[str], rows: Iterable[Sequence[str]], *, is_ours: bool) -> str:
    """Return a table whose last column is the target; targets are rowcast's own."""
    if is_ours:
        return table(head, rows, last_is_text=True)
    return table(head[:-1], (row[:-1] for row in rows))


def _plain_cells(row: plain.Row) -> list[str]:
    target = PLAIN_TARGETS_US.get(row.name)
    return [
        row.name,
        f"{row.cpu_us:,.0f}",
        f"{row.per_s:,.0f}",
        f"{row.p50_ms:.1f}",
        f"{row.p99_ms:.1f}",
        f"<= {target:,}" if target else "-",
    ]


def _shares(results: Mapping[str, Results]) -> Section:
    rows = [
        [row.name, f"{row.cpu_us:.1f}", f"<= {target}" if (target := COST_TARGETS_US.get(row.name)) else "-"]
        for result in results.values()
        for row in result.costs
    ]
    if rows:
        yield "## What each request pays for limits and its log"
        yield (
            "Asked in one process, without a network. Entries of the log are committed in batches; a row of `_logs` "
            "and its indexes are made of them when somebody reads the log or the server has less to do."
        )
        yield table(("part", "CPU us per request", "target"), rows, last_is_text=True)


def _files(results: Mapping[str, Results]) -> Section:
    rows = [
        [
            f"{row.name}, {name}",
            f"{row.cpu_ms:,.2f}",
            f"{row.p50_ms:,.1f}",
            f"{row.mb_per_s:,.0f}" if row.mb_per_s else "-",
        ]
        for place in range(max(len(result.files) for result in results.values()))
        for name, result in results.items()
        for row in result.files[place : place + 1]
    ]
    if rows:
        yield "## Files"
        yield (
            "One client, one request after the other; files on the disk. Thumbs are 100x100 of JPEGs of "
            f"{files.PICTURE_SIZE[0]}x{files.PICTURE_SIZE[1]} pixels. CPU counts the processes that make them."
        )
        yield table(("request, server", "CPU ms", "p50 ms", "MB/s"), rows)


def _realtime(results: Mapping[str, Results]) -> Section:
    if not any(result.realtime for result in results.values()):
        return
    yield "## Realtime"
    yield _REALTIME_NOTE
    for name, result in results.items():
        if result.realtime:
            yield f"### {name}"
            cells = map(_realtime_cells, result.realtime)
            yield _beside_targets(_REALTIME_HEAD, cells, is_ours=name == next(iter(results)))


_REALTIME_HEAD = (
    "scenario",
    "events",
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
    return [
        row.scenario.name,
        f"{row.events:,}",
        _of(row.deliveries, row.expected),
        f"{row.deliveries_per_s:,.0f}",
        f"{row.cpu_us_per_delivery:,.1f}",
        f"{row.cpu_us_per_event:,.0f}",
        f"{row.write_p50_ms:.1f} / {row.write_p99_ms:.1f}",
        f"{row.latency_p50_ms:.1f} / {row.latency_p99_ms:.1f}",
        f"{_or_dash(row.out_of_order)} / {_or_dash(row.different_orders)}",
        f"{row.bytes_per_stream / 1000:.1f}",
        REALTIME_TARGETS[row.scenario.name],
    ]


def _of(deliveries: int, expected: int) -> str:
    return f"{deliveries:,}" if deliveries == expected else f"{deliveries:,} of {expected:,}"


def _or_dash(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


# -- operations -----------------------------------------------------------------------------------


def _operations(results: Mapping[str, Results]) -> Section:
    found = {name: result.operations for name, result in results.items()}
    logins = [
        [
            f"{name}, {row.name}",
            f"{row.logins_per_s:.1f}",
            f"{row.read_p50_ms:.1f} / {row.read_p99_ms:.1f}",
            f"{row.event_p50_ms:.1f} / {row.event_p99_ms:.1f}",
        ]
        for name, operation in found.items()
        for row in operation.logins
    ]
    if logins:
        yield "## Logins beside reads and events"
        yield (
            f"{operations.LOGIN_STREAMS} streams hear 20 events/s, 100 records/s are read, and {operations.LOGINS} "
            "password logins are always under way, or none."
        )
        yield table(("server", "logins/s", "read p50 / p99 ms", "event p50 / p99 ms"), logins)
    resumed = [_resume_cells(row) for operation in found.values() for row in operation.resume]
    if resumed:
        yield "## Streams that resume"
        yield (
            f"{operations.MISSED:,} changes were made; then the streams come back, all at once. Those with the same "
            "position missed all of them; with positions spread evenly, half of them on average. Judging is shared by "
            "streams that catch up together, so public streams with one topic are the cheapest case."
        )
        yield table(("streams have", "streams", "deliveries", "s", "CPU s", "CPU us per delivery"), resumed)
    logged = [_plain_cells(row)[:-1] for operation in found.values() for row in operation.log]
    if logged:
        yield "## Change log"
        yield (
            "What a create costs before and after the first stream with a cursor; from then on changes are stored. "
            f"The median by CPU of {operations.LOG_ROUNDS} runs of each, in turns."
        )
        yield table(("request", "CPU us", "requests/s", "p50 ms", "p99 ms"), logged)
    starts = [
        [name, f"{row.cpu_ms:,.0f}", f"{row.worst_cpu_ms:,.0f}", f"{row.seconds:.2f}"]
        for name, operation in found.items()
        for row in operation.start
    ]
    if starts:
        yield "## Restart"
        yield (
            "`serve` on an existing directory until health answers, median of "
            f"{operations.STARTS} starts; CPU is counted in steps of 10 ms."
        )
        yield table(("server", "CPU ms", "worst CPU ms", "s"), starts)


def _resume_cells(row: operations.ResumeRow) -> list[str]:
    return [
        row.name,
        f"{row.streams:,}",
        _of(row.deliveries, row.expected),
        f"{row.seconds:.1f}",
        f"{row.cpu_s:.1f}",
        f"{row.cpu_s * 1e6 / max(1, row.deliveries):.1f}",
    ]
