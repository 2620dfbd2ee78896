"""python -m benchmarks.model: a model of the cost of many nodes, fitted to scale.json and simulation.json.

Deterministic: the same figures give the same tables. With --write they go between the marks of docs/scaling.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import scale, simulate
from benchmarks.loads import Row
from benchmarks.report import table

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
BEGIN, END = "<!-- figures: python -m benchmarks.model -->", "<!-- end of figures -->"

TERMS = (
    "a request with its transaction, where it comes in",
    "each change in it, there",
    "a commit, at each process that hears of it",
    "each change in it, at each process",
    "a delivery",
)

_CORE_US = 1e6
_FILL = 0.7
"""What part of a core is planned with: the rest is for requests, sign-ins and bursts."""

_NETWORK_BYTES = 1.25e9
_REDIS_MESSAGES = 650_000
_LOG_ROW_BYTES = 450
_HINT_BYTES = 90
_STREAM_BYTES = 11_000
_LOOKS_PER_S = 100
_ASK_DATABASE_US = 500
_SOCKETS = 100_000


@dataclass(frozen=True, slots=True)
class Fit:
    """CPU in us for each of `TERMS`, that of the database for each change, and how far off the rows are on average."""

    engine: str
    costs: tuple[float, ...]
    database_us: float
    error: float


def features(row: Row) -> tuple[float, ...]:
    """How often each of `TERMS` happens in a load."""
    processes = row.nodes * row.workers
    return (row.commits, row.changes, row.commits * processes, row.changes * processes, row.deliveries)


def fit(rows: Sequence[Row], engine: str) -> Fit:
    """Return the costs, none below 0, for which the relative errors of the rows are least in sum of squares."""
    used = [row for row in rows if row.engine == engine and row.load in {"one by one", "batches of 50", "many streams"}]
    if not used:
        return Fit(engine, (0.0,) * len(TERMS), 0.0, 0.0)
    scaled = [[value / (row.cpu_us * row.changes) for value in features(row)] for row in used]
    costs = least_squares(scaled, [1.0] * len(used))
    errors = [abs(sum(cost * part for cost, part in zip(costs, parts, strict=True)) - 1) for parts in scaled]
    batches = [row.database_cpu_us for row in used if row.load == "batches of 50"]
    return Fit(engine, tuple(costs), sum(batches) / max(1, len(batches)), sum(errors) / len(errors))


def least_squares(rows: Sequence[Sequence[float]], wanted: Sequence[float], rounds: int = 20_000) -> list[float]:
    """Return the factors of at least 0 for which the sum of squares of what is missing is least, by descent."""
    width = len(rows[0])
    squares = [[sum(row[i] * row[j] for row in rows) for j in range(width)] for i in range(width)]
    aims = [sum(row[i] * want for row, want in zip(rows, wanted, strict=True)) for i in range(width)]
    found = [0.0] * width
    for _ in range(rounds):
        for i in range(width):
            if squares[i][i]:
                others = sum(squares[i][j] * found[j] for j in range(width) if j != i)
                found[i] = max(0.0, (aims[i] - others) / squares[i][i])
    return found


def limits(shape: simulate.Figures, fitted: Fit) -> Iterator[tuple[str, float]]:
    """Yield what bounds the changes/s of 100 nodes, and at how many."""
    nodes = simulate.NODES
    follow_us = fitted.costs[3]
    is_feed = shape.nodes >= nodes and shape.deliveries > 1000
    # Every node follows every change; who hears of it delivers as well. The busiest node counts.
    heard = shape.nodes / nodes
    node_us = follow_us + heard * shape.heard_us + (1 - heard) * shape.unheard_us
    socket_us = fitted.costs[4] * (shape.deliveries if is_feed else shape.busiest * heard)
    yield "the processor of a node", _FILL * _CORE_US / (node_us + socket_us)
    yield (
        "the network of a node",
        _NETWORK_BYTES / (_LOG_ROW_BYTES + shape.event_bytes * (shape.deliveries if is_feed else 1)),
    )
    yield "reading the log: the network of the database", _NETWORK_BYTES / (_LOG_ROW_BYTES * nodes)
    if shape.asks:
        yield "rules that ask the database (16 cores)", 16 * _FILL * _CORE_US / (nodes * shape.asks * _ASK_DATABASE_US)
    if fitted.database_us:
        yield "writing on the database (16 cores)", 16 * _FILL * _CORE_US / fitted.database_us


def render(figures: scale.Figures, simulated: Sequence[simulate.Figures]) -> str:
    """Return the tables of docs/scaling.md."""
    fits = [fit(figures.rows, engine) for engine in ("sqlite", "postgres")]
    out = [f"Measured: {figures.about.removesuffix(' Made by `python -m benchmarks.scale --write`.')}"]
    rows = [[term, *(f"{found.costs[place]:,.1f}" for found in fits)] for place, term in enumerate(TERMS)]
    rows.append(["each change, in the database itself", "-", f"{fits[1].database_us:,.1f}"])
    rows.append(["the fit is off by, on average", *(f"{found.error:.0%}" for found in fits)])
    out.append(table(("CPU in us", "SQLite", "PostgreSQL"), rows))
    out.append(_simulated(simulated))
    out.append(_broken(simulated, fits[1]))
    out.append(_fixed(fits[1]))
    return "\n\n".join(out)


def _simulated(simulated: Sequence[simulate.Figures]) -> str:
    cells = [
        [
            shape.name,
            f"{shape.heard_us:,.0f}",
            f"{shape.unheard_us:,.0f}" if shape.unheard_us else "-",
            f"{shape.deliveries:,.1f}",
            f"{shape.nodes:,.0f}",
            f"{shape.busiest:,.0f}",
            f"{shape.asks:.0f}",
        ]
        for shape in simulated
    ]
    head = (
        "100,000 streams on the node", "CPU us, heard here", "not heard here", "deliveries here",
        "nodes that hear it", "streams on the busiest", "questions to the database",
    )  # fmt: skip
    return table(head, cells)


def _broken(simulated: Sequence[simulate.Figures], fitted: Fit) -> str:
    cells = []
    for shape in simulated:
        found = sorted(limits(shape, fitted), key=lambda limit: limit[1])
        cells.append([shape.name, *(f"{name}: {rate:,.{0 if rate >= 10 else 1}f}" for name, rate in found[:3])])
    return table(("100 nodes, 10 million streams", "breaks first, at changes/s", "then", "then"), cells)


def _fixed(fitted: Fit) -> str:
    """What does not depend on the shape."""
    nodes = simulate.NODES
    each = simulate.STREAMS // nodes
    return table(
        ("for 100 nodes", "figure"),
        [
            ["streams, and so sockets and open files, of a node", f"{each:,}"],
            ["memory of a node for them, at 11 KB", f"{each * _STREAM_BYTES / 1e9:.1f} GB"],
            ["cores of each node that following takes at 5,000 changes/s", f"{5_000 * fitted.costs[3] / _CORE_US:.2f}"],
            ["cores of the database that writing takes at 5,000", f"{5_000 * fitted.database_us / _CORE_US:.2f}"],
            ["hints that one Redis passes on at 1,000 commits/s", f"{1_000 * nodes:,}/s of some {_REDIS_MESSAGES:,}/s"],
            ["their bytes", f"{1_000 * nodes * _HINT_BYTES / 1e6:.0f} MB/s"],
            ["looks at the log at most", f"{_LOOKS_PER_S * nodes:,}/s"],
            ["the log read by all nodes at 1,000 changes/s", f"{1_000 * nodes * _LOG_ROW_BYTES / 1e6:.0f} MB/s"],
            ["connections to PostgreSQL at most (`pool_size` 20, `snapshots` 8)", f"{nodes * 28:,}"],
        ],
    )


def main() -> None:
    """Print the tables and, where it is asked for, write them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the tables into docs/scaling.md")
    options = parser.parse_args()
    page = stored()
    print(page)
    if options.write:
        PAGE.write_text(put_into(PAGE.read_text(), page))


def stored() -> str:
    """Return the tables for the stored figures."""
    figures = msgspec.json.decode(scale.FIGURES.read_bytes(), type=scale.Figures)
    simulated = msgspec.json.decode(simulate.FIGURES.read_bytes(), type=list[simulate.Figures])
    return render(figures, simulated)


def put_into(page: str, tables: str) -> str:
    """Return a page with these tables between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    main()
