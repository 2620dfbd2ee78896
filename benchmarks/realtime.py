"""The realtime table: who may hear an event, how many do, and what that costs the server and the writer.

Each scenario starts a collection of its own, opens its streams, writes, waits
for the deliveries that the rule allows, and compares their number.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from urllib.parse import quote

from benchmarks import usage
from benchmarks.streams import Audience, Heard, Seat
from benchmarks.wire import Client, Load, LoadError, drive, percentile, request
from tests.e2e.server import SUPERUSER, Server

_PASSWORD = "Password1234"
_TEXT = "x" * 100
_RULES = {
    "public": "",
    "authed": '@request.auth.id != ""',
    "owner": "owner = @request.auth.id",
    "member": "room.members.id ?= @request.auth.id",
    "ids": "",
    "filter": "",
}
_FILTERS = 10


@dataclass(frozen=True, slots=True)
class Scenario:
    """One line of the table. `kind` is a key of the rules; `rate_per_s` 0 is as fast as the server answers."""

    name: str
    kind: str
    streams: int = 1_000
    accounts: int = 0
    events: int = 200
    writers: int = 1
    rate_per_s: float = 0.0

    def hearers(self, event: int) -> int:
        """Return how many streams must hear an event."""
        if self.kind == "owner":
            return len(range(event % self.accounts, self.streams, self.accounts))
        if self.kind == "member":
            return sum(1 for stream in range(self.streams) if stream % self.accounts < self.members)
        if self.kind == "filter":
            return len(range(event % _FILTERS, self.streams, _FILTERS))
        return 1 if self.kind == "ids" else self.streams

    @property
    def members(self) -> int:
        """How many accounts are members of the room."""
        return (self.accounts + 1) // 2


SCENARIOS = (
    Scenario("public", "public"),
    Scenario("public, 16 writers", "public", events=4_000, writers=16),
    Scenario("public, 50 events/s", "public", events=250, rate_per_s=50),
    Scenario("public, 9,000 streams, 4 events/s", "public", streams=9_000, events=60, rate_per_s=4),
    Scenario("authed", "authed", accounts=100),
    Scenario("owner", "owner", accounts=100, events=400),
    Scenario("owner, 9,000 streams", "owner", streams=9_000, accounts=1_000, events=400),
    Scenario("member", "member", accounts=100),
    Scenario("ids", "ids", events=1_000),
    Scenario("ids, 9,000 streams", "ids", streams=9_000, events=1_000),
    Scenario("filter", "filter", events=400),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What a scenario gave. CPU is the server's; latency runs from just before the write to the arrival."""

    scenario: Scenario
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


@dataclass(slots=True)
class _Stage:
    """What has to be there before the streams are."""

    collection: str
    token: str
    account_ids: list[str] = field(default_factory=list)
    account_tokens: list[str] = field(default_factory=list)
    room: str = ""
    record_ids: list[str] = field(default_factory=list)

    def seat(self, scenario: Scenario, stream: int) -> Seat:
        """Return what a stream asks for."""
        topic = f"{self.collection}/*"
        if scenario.kind == "ids":
            topic = f"{self.collection}/{self.record_ids[stream]}"
        elif scenario.kind == "filter":
            options = {"query": {"filter": f"bucket = {stream % _FILTERS}"}}
            topic += f"?options={quote(json.dumps(options))}"
        token = self.account_tokens[stream % scenario.accounts] if scenario.accounts else ""
        return Seat(topic, token)

    def write(self, scenario: Scenario, event: int) -> Callable[[], bytes]:
        """Return what makes the request of an event when its time has come."""
        path = f"/api/collections/{self.collection}/records"
        method = "POST"
        if scenario.kind == "ids":
            method, path = "PATCH", f"{path}/{self.record_ids[event % len(self.record_ids)]}"
        record: dict[str, object] = {"title": _TEXT, "seq": event, "bucket": event % _FILTERS}
        if self.account_ids:
            record |= {"owner": self.account_ids[event % len(self.account_ids)], "room": self.room}
        # The time of sending is put in last, so that making the rest of the request does not count.
        before, after = json.dumps({**record, "sent": "@"}).encode().split(b'"@"')

        def make() -> bytes:
            return request(method, path, b"%b%d%b" % (before, time.time_ns() // 1000, after), self.token)

        return make


def measure(server: Server, port: int, scenario: Scenario) -> Row:
    """Run one scenario. Raises LoadError if a write is refused."""
    stage = _set_up(port, scenario)
    pid = server.process.pid
    resident_before = usage.resident_bytes(pid)
    audience = Audience(port, [stage.seat(scenario, stream) for stream in range(scenario.streams)])
    bytes_per_stream = (usage.resident_bytes(pid) - resident_before) / scenario.streams

    expected = sum(map(scenario.hearers, range(scenario.events)))
    before_s = usage.cpu_s(pid)
    started = time.perf_counter()
    load = drive(
        port,
        [stage.write(scenario, event) for event in range(scenario.events)],
        clients=scenario.writers,
        rate_per_s=scenario.rate_per_s,
    )
    audience.wait_for(expected)
    seconds = time.perf_counter() - started
    used_s = usage.cpu_s(pid) - before_s
    if load.errors:
        raise LoadError(f"{scenario.name}: {load.errors} of {scenario.events} writes were refused")
    return _row(scenario, load, audience.close(), expected, seconds, used_s, bytes_per_stream)


def _row(
    scenario: Scenario, load: Load, heard: Heard, expected: int, seconds: float, used_s: float, bytes_per_stream: float
) -> Row:
    return Row(
        scenario=scenario,
        deliveries=heard.deliveries,
        expected=expected,
        deliveries_per_s=heard.deliveries / seconds,
        cpu_us_per_delivery=used_s * 1e6 / max(1, heard.deliveries),
        cpu_us_per_event=used_s * 1e6 / scenario.events,
        write_p50_ms=percentile(load.latencies_ms, 50),
        write_p99_ms=percentile(load.latencies_ms, 99),
        latency_p50_ms=percentile(heard.latencies_ms, 50),
        latency_p99_ms=percentile(heard.latencies_ms, 99),
        # Writers race for the order of their events; then only that all streams agree can be told.
        out_of_order=heard.out_of_order if scenario.writers == 1 else None,
        different_orders=heard.different_orders if scenario.kind in ("public", "authed") else None,
        bytes_per_stream=bytes_per_stream,
    )


def _set_up(port: int, scenario: Scenario) -> _Stage:
    client = Client(port)
    token = client.sign_in(*SUPERUSER)
    stamp = f"{time.time_ns() // 1_000_000:x}"

    def create(name: str, **values: object) -> str:
        return str(client.call("POST", "/api/collections", {"name": f"{name}_{stamp}", **values}, token)["id"])

    users = create("users", type="auth", listRule="", viewRule="")
    members = {"name": "members", "type": "relation", "collectionId": users, "maxSelect": 100_000}
    rooms = create("rooms", type="base", fields=[members])
    rule = _RULES[scenario.kind]
    numbers = [{"name": name, "type": "number"} for name in ("sent", "seq", "bucket")]
    owner = {"name": "owner", "type": "relation", "collectionId": users, "maxSelect": 1}
    room = {"name": "room", "type": "relation", "collectionId": rooms, "maxSelect": 1}
    fields = [{"name": "title", "type": "text"}, *numbers, owner, room]
    create("events", type="base", listRule=rule, viewRule=rule, fields=fields)

    stage = _Stage(f"events_{stamp}", token)
    if scenario.accounts:
        stage.account_ids = list(_create_accounts(port, f"users_{stamp}", token, scenario.accounts))
        stage.account_tokens = list(_impersonate(port, f"users_{stamp}", token, stage.account_ids))
        in_room = {"members": stage.account_ids[: scenario.members]}
        stage.room = client.call("POST", f"/api/collections/rooms_{stamp}/records", in_room, token)["id"]
    if scenario.kind == "ids":
        sent = request("POST", f"/api/collections/{stage.collection}/records", b'{"title":"x"}', token)
        load = drive(port, repeat(lambda: sent, scenario.streams), clients=4, keep_answers=True)
        stage.record_ids = [json.loads(answer)["id"] for answer in load.answers]
    return stage


def _create_accounts(port: int, users: str, token: str, count: int) -> Iterator[str]:
    def make(number: int) -> Callable[[], bytes]:
        account = {"email": f"u{number}@example.com", "password": _PASSWORD, "passwordConfirm": _PASSWORD}
        return lambda: request("POST", f"/api/collections/{users}/records", json.dumps(account).encode(), token)

    load = drive(port, map(make, range(count)), clients=4, keep_answers=True)
    for answer in load.answers:
        yield json.loads(answer)["id"]


def _impersonate(port: int, users: str, token: str, account_ids: list[str]) -> Iterator[str]:
    def make(account_id: str) -> Callable[[], bytes]:
        path = f"/api/collections/{users}/impersonate/{account_id}"
        return lambda: request("POST", path, b'{"duration":86400}', token)

    # One connection keeps the order of the answers.
    load = drive(port, map(make, account_ids), clients=1, keep_answers=True)
    for answer in load.answers:
        yield json.loads(answer)["token"]
