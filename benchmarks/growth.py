"""How the cost of an event grows: with streams, accounts, topics, and by the kind of the rule.

One axis moves at a time from a common base; a point that several axes share is
measured once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from benchmarks.realtime import Row
from benchmarks.scenarios import Scenario

STREAMS = (500, 1_000, 3_000, 9_000)
ACCOUNTS = (10, 100, 1_000)
TOPICS = (1, 10, 100)

RULE_KINDS = {
    "public": "empty rule",
    "authed": '`@request.auth.id != ""`',
    "owner": "`owner = @request.auth.id`",
    "team": "`team = @request.auth.team`",
    "owner_and": "`owner = @request.auth.id && n > 1`",
    "member": "`room.members.id ?= @request.auth.id`",
    "filter": "client filter, 10 of them",
    "ids": "topic of one record",
}
"""By the kind of a scenario: how the page calls its rule."""

_DELIVERIES = 100_000
_LEAST_EVENTS = 40
_MOST_EVENTS = 1_000
_PUBLIC = ("public", "filter", "ids")


@dataclass(frozen=True, slots=True)
class Axis:
    """One table and one picture: for each kind, scenarios by the value that grows."""

    name: str
    title: str
    lines: Mapping[str, Mapping[int, Scenario]]


@dataclass(slots=True)
class Growth:
    """The rows that one server gave, by scenario."""

    rows: dict[Scenario, Row] = field(default_factory=dict)

    def line(self, points: Mapping[int, Scenario]) -> dict[int, Row]:
        """Return what was measured of a line."""
        return {value: self.rows[scenario] for value, scenario in points.items() if scenario in self.rows}


def _point(kind: str, *, streams: int = 1_000, accounts: int = 100, topics: int = 1) -> Scenario:
    scenario = Scenario("", kind, streams, 0 if kind in _PUBLIC else accounts, topics, events=100)
    heard = sum(map(scenario.hearers, range(100))) / 100
    events = int(min(_MOST_EVENTS, max(_LEAST_EVENTS, _DELIVERIES / heard)))
    name = f"{kind}, {streams:,} streams, {scenario.accounts:,} accounts, {topics} topics"
    return replace(scenario, name=name, events=events)


AXES = (
    Axis(
        "streams",
        "Streams (100 accounts)",
        {kind: {value: _point(kind, streams=value) for value in STREAMS} for kind in ("public", "owner", "ids")},
    ),
    Axis(
        "accounts",
        "Accounts (1,000 streams)",
        {kind: {value: _point(kind, accounts=value) for value in ACCOUNTS} for kind in ("owner", "team", "member")},
    ),
    Axis(
        "topics of each stream",
        "Topics of each stream (1,000 streams, one hears each event)",
        {"ids": {value: _point("ids", topics=value) for value in TOPICS}},
    ),
)

BY_RULE = {kind: _point(kind) for kind in RULE_KINDS}


def points(*, most_streams: int) -> Iterator[Scenario]:
    """Yield each scenario of the axes and the rule kinds once, up to a number of streams."""
    lines = [points for axis in AXES for points in axis.lines.values()]
    every = [*(scenario for line in lines for scenario in line.values()), *BY_RULE.values()]
    yield from (scenario for scenario in dict.fromkeys(every) if scenario.streams <= most_streams)
