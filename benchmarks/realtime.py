"""The realtime table: what the events of a scenario cost the server and the writer, and when they arrive."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks import usage
from benchmarks.ground import Ground
from benchmarks.scenarios import Scenario, set_up
from benchmarks.streams import Audience, Heard
from benchmarks.wire import Load, LoadError, drive, percentile


@dataclass(frozen=True, slots=True)
class Row:
    """What a scenario gave. CPU is the server's; latency runs from just before the write to the arrival."""

    scenario: Scenario
    events: int
    deliveries: int
    expected: int
    deliveries_per_s: float
    cpu_us_per_delivery: float
    cpu_us_per_event: float
    write_p50_ms: float
    write_p99_ms: float
    latency_p50_ms: float
    latency_p99_ms: float
    out_of_order: int | None
    different_orders: int | None
    bytes_per_stream: float


def measure(ground: Ground, scenario: Scenario, *, within_s: float) -> Row:
    """Run one scenario on a server of its own, writing for at most `within_s`. Raises LoadError if a write is refused.

    A server that is too slow for all events of the scenario is measured on those that it took.
    """
    with ground.serving() as (server, port):
        stage = set_up(port, scenario, ground)
        pid = server.process.pid
        resident_before = usage.resident_bytes(pid)
        audience = Audience(port, [stage.seat(scenario, stream) for stream in range(scenario.streams)])
        bytes_per_stream = (usage.resident_bytes(pid) - resident_before) / scenario.streams

        before_s = usage.cpu_s(pid)
        started = time.monotonic()
        load = drive(
            port,
            [stage.write(scenario, event) for event in range(scenario.events)],
            clients=scenario.writers,
            rate_per_s=scenario.rate_per_s,
            within_s=within_s,
        )
        expected = sum(map(scenario.hearers, range(load.sent)))
        seconds = audience.wait_for(expected) - started
        used_s = usage.cpu_s(pid) - before_s
        if load.errors:
            raise LoadError(f"{scenario.name}: {load.errors} of {load.sent} writes were refused")
        return _row(scenario, load, audience.close(), expected, seconds, used_s, bytes_per_stream)


def _row(
    scenario: Scenario, load: Load, heard: Heard, expected: int, seconds: float, used_s: float, bytes_per_stream: float
) -> Row:
    return Row(
        scenario=scenario,
        events=load.sent,
        deliveries=heard.deliveries,
        expected=expected,
        deliveries_per_s=heard.deliveries / seconds,
        cpu_us_per_delivery=used_s * 1e6 / max(1, heard.deliveries),
        cpu_us_per_event=used_s * 1e6 / load.sent,
        write_p50_ms=percentile(load.latencies_ms, 50),
        write_p99_ms=percentile(load.latencies_ms, 99),
        latency_p50_ms=percentile(heard.latencies_ms, 50),
        latency_p99_ms=percentile(heard.latencies_ms, 99),
        # Writers race for the order of their events; then only that all streams agree can be told.
        out_of_order=heard.out_of_order if scenario.writers == 1 else None,
        different_orders=heard.different_orders if scenario.kind in ("public", "authed") else None,
        bytes_per_stream=bytes_per_stream,
    )
