"""What is done to a fleet, and what it cost: changes that come one by one or many in a transaction, heard by streams.

Each load has a collection and streams of its own, spread evenly over the nodes, and writers at every node.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psycopg

from benchmarks.fleet import Fleet
from benchmarks.ground import Ground
from benchmarks.scenarios import Scenario, Stage, set_up
from benchmarks.streams import Audience, Heard, Seat
from benchmarks.wire import Client, Load, LoadError, drive, percentile, request
from tests.e2e.server import SUPERUSER

_WAL_LOOK_S = 0.02
_STATISTICS_S = 1.5
_WARM = 30


@dataclass(frozen=True, slots=True)
class Shape:
    """One load. `size` changes are in each transaction; `rate_per_s` counts changes, 0 is as fast as they are answered.

    `kind` is that of `scenarios`; streams and writers (`clients`) are those of each node.
    """

    name: str
    kind: str = "public"
    streams: int = 1
    accounts: int = 0
    size: int = 1
    rate_per_s: float = 0.0
    seconds: float = 2.0
    clients: int = 2


class Row(msgspec.Struct, frozen=True):
    """What a load gave. CPU is in us for each change, summed over all processes of rowcast or of the database."""

    layout: str
    engine: str
    nodes: int
    workers: int
    load: str
    asked_per_s: float
    commits: int
    changes: int
    streams: int
    deliveries: int
    expected: int
    seconds: float
    changes_per_s: float
    cpu_us: float
    database_cpu_us: float
    write_p50_ms: float
    write_p99_ms: float
    latency_p50_ms: float
    latency_p99_ms: float
    drained_s: float
    wal_mb: float
    transactions: float = 0.0

    @property
    def deliveries_per_s(self) -> float:
        """How many events arrived in a second."""
        return self.deliveries / self.seconds

    @property
    def cpu_us_per_delivery(self) -> float:
        """The CPU of rowcast for each of them."""
        return self.cpu_us * self.changes / max(1, self.deliveries)


def allow_batches(fleet: Fleet) -> None:
    """Let transactions of any size come through `/api/batch`."""
    client = Client(fleet.ports[0])
    batch = {"enabled": True, "maxRequests": 10_000, "timeout": 30}
    client.call("PATCH", "/api/settings", {"batch": batch}, client.sign_in(*SUPERUSER))


def measure(fleet: Fleet, ground: Ground, shape: Shape, collection: str) -> Row:
    """Run one load. Raises LoadError if a write is refused or an event is lost."""
    nodes = len(fleet.ports)
    streams = shape.streams * (nodes if nodes > 1 else fleet.layout.workers)
    scenario = Scenario(shape.name, shape.kind, streams=streams, accounts=shape.accounts)
    stage = set_up(fleet.ports[0], scenario, ground, collection=collection)
    _warm(fleet, stage, scenario)
    seats = [stage.seat(scenario, stream) for stream in range(streams)]
    audiences = [Audience(port, seats[place::nodes]) for place, port in enumerate(fleet.ports)]
    transactions_before = _transactions(fleet, shape)
    cpu_s, database_cpu_s, began = fleet.cpu_s(), fleet.database_cpu_s(), time.monotonic()
    with _largest_wal(fleet.data_dir) as wal:
        loads = _write(fleet, stage, scenario, shape)
    written_s = time.monotonic() - began
    events = [number for place, load in enumerate(loads) for number in _numbers(place, nodes, load.sent, shape.size)]
    expected = sum(map(scenario.hearers, events))
    ended = _wait(audiences, seats, nodes, expected)
    used_s, database_used_s = fleet.cpu_s() - cpu_s, fleet.database_cpu_s() - database_cpu_s
    heard = [audience.close() for audience in audiences]
    if errors := sum(load.errors for load in loads):
        raise LoadError(f"{fleet.layout.name}, {shape.name}: {errors} writes were refused")
    return row_of(
        fleet, heard, [wait for load in loads for wait in load.latencies_ms],
        load=shape.name, asked_per_s=shape.rate_per_s, commits=sum(load.sent for load in loads), changes=len(events),
        streams=streams, expected=expected, written_s=written_s, ended_s=ended - began, cpu_s=used_s,
        database_cpu_s=database_used_s, wal=max(wal, default=0),
        transactions=_transactions(fleet, shape) - transactions_before,
    )  # fmt: skip


def row_of(  # noqa: PLR0913 - what was counted
    fleet: Fleet,
    heard: list[Heard],
    waits_ms: list[float],
    *,
    load: str,
    asked_per_s: float,
    commits: int,
    changes: int,
    streams: int,
    expected: int,
    written_s: float,
    ended_s: float,
    cpu_s: float,
    database_cpu_s: float,
    wal: int = 0,
    transactions: float = 0.0,
) -> Row:
    """Return what was counted as figures. Writing took `written_s`, and the last event came after `ended_s`."""
    late = [wait for each in heard for wait in each.latencies_ms]
    return Row(
        layout=fleet.layout.name,
        engine=fleet.layout.engine,
        nodes=fleet.layout.nodes,
        workers=fleet.layout.workers,
        load=load,
        asked_per_s=asked_per_s,
        commits=commits,
        changes=changes,
        streams=streams,
        deliveries=sum(each.deliveries for each in heard),
        expected=expected,
        seconds=max(ended_s, written_s),
        changes_per_s=changes / written_s,
        cpu_us=cpu_s * 1e6 / max(1, changes),
        database_cpu_us=database_cpu_s * 1e6 / max(1, changes),
        write_p50_ms=percentile(waits_ms, 50),
        write_p99_ms=percentile(waits_ms, 99),
        latency_p50_ms=percentile(late, 50),
        latency_p99_ms=percentile(late, 99),
        drained_s=max(0.0, ended_s - written_s),
        wal_mb=wal / 1e6,
        transactions=transactions / max(1, changes),
    )


def _warm(fleet: Fleet, stage: Stage, scenario: Scenario) -> None:
    """Have every process compile what it compiles once; nobody listens yet."""
    for port in fleet.ports:
        drive(port, [stage.write(scenario, turn) for turn in range(_WARM)], clients=4 * fleet.layout.workers)


def _numbers(place: int, nodes: int, sent: int, size: int) -> Iterator[int]:
    """The numbers of the events that a node was given: transactions are dealt out in turns."""
    for turn in range(sent):
        first = (turn * nodes + place) * size
        yield from range(first, first + size)


def _write(fleet: Fleet, stage: Stage, scenario: Scenario, shape: Shape) -> list[Load]:
    """Write at all nodes side by side."""
    nodes = len(fleet.ports)
    rate = shape.rate_per_s / shape.size / nodes
    # As fast as they are answered, the end comes by the clock.
    turns = max(1, round(rate * shape.seconds)) if rate else round(20_000 / shape.size)
    loads: dict[int, Load] = {}

    def run(place: int) -> None:
        made = [_made(stage, scenario, (turn * nodes + place) * shape.size, shape.size) for turn in range(turns)]
        within_s = shape.seconds * (3 if rate else 1)
        loads[place] = drive(fleet.ports[place], made, clients=shape.clients, rate_per_s=rate, within_s=within_s)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(nodes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(loads) < nodes:
        raise LoadError(f"{fleet.layout.name}, {shape.name}: a writer failed")
    return [loads[place] for place in range(nodes)]


def _made(stage: Stage, scenario: Scenario, first: int, size: int) -> Callable[[], bytes]:
    """Return what makes the request of one transaction, with the time of sending put in last."""
    if size == 1:
        return stage.write(scenario, first)
    url = f"/api/collections/{stage.collection}/records"
    bodies = [
        {"title": "x" * 100, "seq": number, "bucket": number % 10, "sent": "@"} for number in range(first, first + size)
    ]
    parts = json.dumps({"requests": [{"method": "POST", "url": url, "body": body} for body in bodies]}).encode()
    pieces = parts.split(b'"@"')
    return lambda: request("POST", "/api/batch", (b"%d" % (time.time_ns() // 1000)).join(pieces), stage.token)


def _wait(audiences: list[Audience], seats: list[Seat], nodes: int, expected: int) -> float:
    """Wait until everything that is to be heard has arrived; return when, by the monotonic clock."""
    return max(
        audience.wait_for(round(expected * len(seats[place::nodes]) / max(1, len(seats))))
        for place, audience in enumerate(audiences)
    )


@contextmanager
def _largest_wal(data_dir: Path) -> Iterator[list[int]]:
    """Look at the write-ahead log of SQLite now and then, as long as the block lasts."""
    sizes: list[int] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(_WAL_LOOK_S):
            try:
                sizes.append((data_dir / "data.db-wal").stat().st_size)
            except OSError:
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield sizes
    finally:
        is_over.set()
        thread.join()


def _transactions(fleet: Fleet, shape: Shape) -> float:
    """How many transactions PostgreSQL has had so far, of all nodes; 0 where it is not wanted."""
    if not fleet.database or shape.kind == "public":
        return 0.0
    # Sessions tell what they did once a second.
    time.sleep(_STATISTICS_S)
    with psycopg.connect(fleet.database) as connection:
        found = connection.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    return float(found[0]) if found else 0.0
