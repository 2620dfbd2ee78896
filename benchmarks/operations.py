"""What an operator asks: logins beside the streams, resuming, the price of the change log, a restart."""

from __future__ import annotations

import json
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count, cycle, repeat

from benchmarks import plain, usage
from benchmarks.ground import PASSWORD, Ground, email, port_of
from benchmarks.scenarios import Scenario, set_up
from benchmarks.streams import Audience, Seat
from benchmarks.wire import Client, Load, LoadError, connect, drive, percentile, request
from tests.e2e.server import SUPERUSER, Server, running

LOGINS = 50
LOGIN_STREAMS = 200
MISSED = 1_000
STARTS = 5
LOG_ROUNDS = 3

_PHASE_S = 5.0
_READS_PER_S = 100.0
_EVENTS_PER_S = 20.0
_CATCH_UP_S = 90.0
_WRITES = 2_000
_CURSOR = re.compile(rb'"cursor":"([^"]+)"')


@dataclass(frozen=True, slots=True)
class LoginRow:
    """Waiting times of reads and events, with `logins_per_s` password logins beside them."""

    name: str
    logins_per_s: float
    read_p50_ms: float
    read_p99_ms: float
    event_p50_ms: float
    event_p99_ms: float


@dataclass(frozen=True, slots=True)
class ResumeRow:
    """What it took to give `streams` streams the changes that each had missed."""

    name: str
    streams: int
    deliveries: int
    expected: int
    seconds: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class StartRow:
    """What starting on an existing directory took until health answered: the median and the worst of some starts."""

    cpu_ms: float
    worst_cpu_ms: float
    seconds: float


@dataclass(slots=True)
class Operations:
    """What one server gave."""

    logins: list[LoginRow] = field(default_factory=list)
    resume: list[ResumeRow] = field(default_factory=list)
    log: list[plain.Row] = field(default_factory=list)
    start: list[StartRow] = field(default_factory=list)


def logins(ground: Ground) -> Iterator[LoginRow]:
    """Measure reads and events without logins, then with always `LOGINS` of them under way."""
    scenario = Scenario("logins", "public", streams=LOGIN_STREAMS)
    with ground.serving() as (_, port):
        stage = set_up(port, scenario, ground)
        seats = [stage.seat(scenario, stream) for stream in range(scenario.streams)]
        record = json.loads(drive(port, [stage.write(scenario, 0)], clients=1, keep_answers=True).answers[0])
        read = request("GET", f"/api/collections/{stage.collection}/records/{record['id']}")
        for name, is_busy in (("without logins", False), (f"{LOGINS} logins at once", True)):
            audience = Audience(port, seats)
            reads = repeat(lambda: read)
            events = (stage.write(scenario, event) for event in count())
            work: list[Callable[[], Load]] = [
                partial(drive, port, reads, clients=4, rate_per_s=_READS_PER_S, within_s=_PHASE_S),
                partial(drive, port, events, clients=4, rate_per_s=_EVENTS_PER_S, within_s=_PHASE_S),
            ]
            if is_busy:
                work.append(partial(drive, port, _logins(), clients=LOGINS, within_s=_PHASE_S))
            loads = _side_by_side(work)
            if any(load.errors for load in loads):
                raise LoadError(f"{name}: requests were refused")
            audience.wait_for(loads[1].sent * scenario.streams)
            heard = audience.close().latencies_ms
            yield LoginRow(
                name=name,
                logins_per_s=loads[2].sent / loads[2].seconds if is_busy else 0.0,
                read_p50_ms=percentile(loads[0].latencies_ms, 50),
                read_p99_ms=percentile(loads[0].latencies_ms, 99),
                event_p50_ms=percentile(heard, 50),
                event_p99_ms=percentile(heard, 99),
            )


def _logins() -> Iterator[Callable[[], bytes]]:
    path = "/api/collections/accounts/auth-with-password"
    for number in cycle(range(LOGINS)):
        sent = request("POST", path, json.dumps({"identity": email(number), "password": PASSWORD}).encode())
        yield repeat(sent).__next__


def _side_by_side(work: list[Callable[[], Load]]) -> list[Load]:
    """Run each in a thread (they wait for sockets nearly all the time); raises LoadError if one failed."""
    loads: dict[int, Load] = {}

    def run(place: int) -> None:
        loads[place] = work[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(loads) < len(work):
        raise LoadError("one of the loads failed")
    return [loads[place] for place in range(len(work))]


def resume(ground: Ground, *, streams: int, missed: int) -> Iterator[ResumeRow]:
    """Measure streams that resume over missed changes, as they are in memory and as they are after a restart."""
    scenario = Scenario("resume", "public", streams=streams, events=missed)
    with ground.copied() as data_dir:
        with running(ground.kind, data_dir) as server:
            port = port_of(server)
            stage = set_up(port, scenario, ground)
            topics = (f"{stage.collection}/*",)
            number, _, tag = position(port).partition("-")
            same = [Seat(topics, cursor=f"{number}-{tag}")] * streams
            skipped = [stream * missed // streams for stream in range(streams)]
            spread = [Seat(topics, cursor=f"{int(number) + skip}-{tag}") for skip in skipped]
            load = drive(port, [stage.write(scenario, event) for event in range(missed)], clients=4)
            if load.errors:
                raise LoadError(f"resume: {load.errors} of {missed} writes were refused")
            yield _resumed("same position", server, same, missed * streams)
            yield _resumed("positions spread", server, spread, missed * streams - sum(skipped))
        with running(ground.kind, data_dir) as server:
            yield _resumed("same position, after a restart", server, same, missed * streams)


def _resumed(name: str, server: Server, seats: list[Seat], expected: int) -> ResumeRow:
    audience = Audience(port_of(server), seats, subscribed=False)
    before_s, started = usage.cpu_s(server.process.pid), time.monotonic()
    audience.subscribe()
    ended = audience.wait_for(expected, within_s=_CATCH_UP_S)
    used_s = usage.cpu_s(server.process.pid) - before_s
    return ResumeRow(name, len(seats), audience.close().deliveries, expected, ended - started, used_s)


def position(port: int) -> str:
    """Open a stream with a cursor, close it again, and return the position that it started at."""
    with connect(port) as sock:
        sock.sendall(request("GET", "/api/realtime?cursor="))
        data = b""
        while not (found := _CURSOR.search(data)):
            chunk = sock.recv(4096)
            if not chunk:
                raise LoadError(f"a stream was closed before its position: {data!r}")
            data += chunk
    return found[1].decode()


def change_log(ground: Ground) -> Iterator[plain.Row]:
    """Measure creates with the changes kept in memory only, and with each stored as well; in turns, the median."""
    rows: dict[str, list[plain.Row]] = {"create": [], "create, change stored": []}
    body = request("POST", "/api/collections/plain/records", plain.BODY)
    for name in [*rows] * LOG_ROUNDS:
        with ground.serving() as (server, port):
            client = Client(port)
            plain.create_collection(client, client.sign_in(*SUPERUSER))
            if "stored" in name:
                position(port)
            rows[name].append(plain.hammer(server, port, name, body, _WRITES))
    for measured in rows.values():
        yield sorted(measured, key=lambda row: row.cpu_us)[LOG_ROUNDS // 2]


def start(ground: Ground) -> StartRow:
    """Start the server some times on one directory."""
    cpu_ms, seconds = [], []
    with ground.copied() as data_dir:
        for _ in range(STARTS):
            began = time.monotonic()
            with running(ground.kind, data_dir) as server:
                seconds.append(time.monotonic() - began)
                cpu_ms.append(usage.cpu_s(server.process.pid) * 1000)
    return StartRow(statistics.median(cpu_ms), max(cpu_ms), statistics.median(seconds))
