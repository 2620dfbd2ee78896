"""The realtime scenarios: who may hear an event, and what has to be there before the streams are.

Each scenario starts a collection of its own on a `Ground`. `hearers` is worked out
here from the meaning of the rule, so that a measurement can tell a lost event.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from urllib.parse import quote

from benchmarks.ground import TEAMS, Ground
from benchmarks.streams import Seat
from benchmarks.wire import Client, drive, request
from tests.e2e.server import SUPERUSER

RULES = {
    "public": "",
    "authed": '@request.auth.id != ""',
    "owner": "owner = @request.auth.id",
    "team": "team = @request.auth.team",
    "owner_and": "owner = @request.auth.id && bucket > 1",
    "member": "room.members.id ?= @request.auth.id",
    "ids": "",
    "filter": "",
}
"""By the kind of a scenario: the rule that guards its collection."""

_BUCKETS = 10
_TEXT = "x" * 100


@dataclass(frozen=True, slots=True)
class Scenario:
    """One line of a table. `kind` is a key of `RULES`; `rate_per_s` 0 is as fast as the server answers.

    `topics` is how many topics each stream has; no event is about any but the first.
    """

    name: str
    kind: str
    streams: int = 1_000
    accounts: int = 0
    topics: int = 1
    events: int = 200
    writers: int = 1
    rate_per_s: float = 0.0

    def hearers(self, event: int) -> int:
        """Return how many streams must hear an event."""
        match self.kind:
            case "owner":
                return self._each(event, self.accounts)
            case "owner_and":
                return self._each(event, self.accounts) if event % _BUCKETS > 1 else 0
            case "team":
                return sum(1 for stream in range(self.streams) if stream % self.accounts % TEAMS == event % TEAMS)
            case "member":
                return sum(1 for stream in range(self.streams) if stream % self.accounts < self.members)
            case "filter":
                return self._each(event, _BUCKETS)
            case "ids":
                return 1
            case _:
                return self.streams

    def _each(self, event: int, step: int) -> int:
        return len(range(event % step, self.streams, step))

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


@dataclass(slots=True)
class Stage:
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
            options = {"query": {"filter": f"bucket = {stream % _BUCKETS}"}}
            topic += f"?options={quote(json.dumps(options))}"
        first = stream * scenario.topics
        others = (f"{self.collection}/{number:015d}" for number in range(first, first + scenario.topics - 1))
        token = self.account_tokens[stream % scenario.accounts] if scenario.accounts else ""
        return Seat((topic, *others), token)

    def write(self, scenario: Scenario, event: int) -> Callable[[], bytes]:
        """Return what makes the request of an event when its time has come."""
        path = f"/api/collections/{self.collection}/records"
        method = "POST"
        if scenario.kind == "ids":
            method, path = "PATCH", f"{path}/{self.record_ids[event % len(self.record_ids)]}"
        record: dict[str, object] = {"title": _TEXT, "seq": event, "bucket": event % _BUCKETS}
        if self.account_ids:
            owner = self.account_ids[event % len(self.account_ids)]
            record |= {"owner": owner, "room": self.room, "team": f"t{event % TEAMS}"}
        # The time of sending is put in last, so that making the rest of the request does not count.
        before, after = json.dumps({**record, "sent": "@"}).encode().split(b'"@"')

        def make() -> bytes:
            return request(method, path, b"%b%d%b" % (before, time.time_ns() // 1000, after), self.token)

        return make


def set_up(port: int, scenario: Scenario, ground: Ground, *, collection: str = "events") -> Stage:
    """Create the collection of a scenario, and what its streams and events refer to. Raises LoadError."""
    client = Client(port)
    token = client.sign_in(*SUPERUSER)
    related = {
        name: client.call("GET", f"/api/collections/{name}", token=token)["id"] for name in ("accounts", "rooms")
    }
    rule = RULES[scenario.kind]
    fields = [
        *({"name": name, "type": "number"} for name in ("sent", "seq", "bucket")),
        *({"name": name, "type": "text"} for name in ("title", "team")),
        {"name": "owner", "type": "relation", "collectionId": related["accounts"], "maxSelect": 1},
        {"name": "room", "type": "relation", "collectionId": related["rooms"], "maxSelect": 1},
    ]
    form = {"name": collection, "type": "base", "listRule": rule, "viewRule": rule, "fields": fields}
    client.call("POST", "/api/collections", form, token)

    stage = Stage(collection, token)
    if scenario.accounts:
        stage.account_ids = list(ground.account_ids[: scenario.accounts])
        stage.account_tokens = list(_impersonate(port, token, stage.account_ids))
        in_room = {"members": stage.account_ids[: scenario.members]}
        stage.room = client.call("POST", "/api/collections/rooms/records", in_room, token)["id"]
    if scenario.kind == "ids":
        sent = request("POST", f"/api/collections/{collection}/records", b'{"title":"x"}', token)
        load = drive(port, repeat(lambda: sent, scenario.streams), clients=4, keep_answers=True)
        stage.record_ids = [json.loads(answer)["id"] for answer in load.answers]
    return stage


def _impersonate(port: int, token: str, account_ids: list[str]) -> Iterator[str]:
    def make(account_id: str) -> Callable[[], bytes]:
        path = f"/api/collections/accounts/impersonate/{account_id}"
        return lambda: request("POST", path, b'{"duration":86400}', token)

    # One connection keeps the order of the answers.
    load = drive(port, map(make, account_ids), clients=1, keep_answers=True)
    for answer in load.answers:
        yield json.loads(answer)["token"]
