"""The oracle of loss: what streams with a cursor got, held against the log of changes, after the fact.

Pure: it gets the log, what writers were told and what each connection of each client
brought, and returns problems. A connection must have brought exactly the changes that
its client may see behind its start, in the order of the log, up to where it was cut.
Connections follow each other by their positions, so gaps and repeats between two of them show as well.

Where rights change meanwhile, an event must be allowed by some state of them from the change to
its arrival, and may be missing only where some state of them forbids it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Literal

Kind = Literal["log", "order", "gap", "repeat", "forbidden", "wrong", "resume", "unfinished"]

PROGRESS = "PB_CURSOR"
"""The event that tells how far a quiet stream is."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row of the log, made at a time in seconds. `row` has the record's values, `previous` those before an update."""

    number: int
    tag: str
    action: str
    collection: str
    record: str
    row: Mapping[str, object] = field(default_factory=dict)
    previous: Mapping[str, object] | None = None
    at: float = 0.0

    @property
    def position(self) -> str:
        return f"{self.number}-{self.tag}"


@dataclass(frozen=True, slots=True)
class Ack:
    """A write that was answered; times are of one clock."""

    action: str
    record: str
    seq: int
    sent: float
    answered: float


@dataclass(frozen=True, slots=True)
class Got:
    """An event as it came, at a time: its SSE id, topic, and what its data says."""

    id: str
    topic: str
    cursor: str
    action: str = ""
    record: str = ""
    seq: int = 0
    at: float = 0.0


@dataclass(slots=True)
class Session:
    """One connection: the position that it asked for, what PB_CONNECT said, and what came.

    `signed_at` is when the sign-in began that gave it its token.
    """

    asked: str | None
    start: str
    is_resumed: bool
    events: list[Got] = field(default_factory=list)
    is_subscribed: bool = False
    signed_at: float = 0.0
    ended_at: float = inf


@dataclass(slots=True)
class Client:
    """A client over all its connections."""

    name: str
    topics: tuple[str, ...]
    account: str = ""
    sessions: list[Session] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that must not be."""

    kind: Kind
    who: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.who}: {self.text}"


Tells = Callable[[Client, Session, str, Change, float], Set[str]]
"""Which actions a topic of a client may tell of a change up to a time ("create", ..., "leave"), "" for none."""


def number_of(position: str) -> int:
    """Return the number in a position, or in a client id that carries one."""
    return int(position.rpartition("_")[2].partition("-")[0])


class Log:
    """The log, in order."""

    def __init__(self, changes: Sequence[Change], first: str) -> None:
        self.changes = sorted(changes, key=lambda change: change.number)
        self.numbers = [change.number for change in self.changes]
        self.by_number = {change.number: change for change in self.changes}
        self.positions = {first, *(change.position for change in self.changes)}
        self.end = self.numbers[-1] if self.numbers else number_of(first)

    def place_behind(self, number: int) -> int:
        """Return the place of the first change behind a number."""
        return bisect_right(self.numbers, number)


def check_tables(log: Log, tables: Mapping[tuple[str, str], int]) -> list[Problem]:
    """Hold the records that are there in the end against the log: (collection, id) and number of each."""
    expected: dict[tuple[str, str], object] = {}
    written = {change.collection for change in log.changes if "seq" in change.row}
    for change in log.changes:
        if change.collection in written:
            expected[change.collection, change.record] = change.row.get("seq", 0)
        if change.action == "delete":
            expected.pop((change.collection, change.record), None)
    wrong = sorted(key for key in {*expected, *tables} if expected.get(key) != tables.get(key))
    return [
        Problem("log", "log", f"{key} is {tables.get(key)} and should be {expected.get(key)} by the log")
        for key in wrong
    ]


def check_log(log: Log, acks: Sequence[Ack], *, is_dense: bool = True) -> list[Problem]:
    """Hold the log against the answers: no hole, nothing lost that was answered, the order of time."""
    problems = [
        Problem("log", "log", f"a hole between {before} and {after}")
        for before, after in zip(log.numbers, log.numbers[1:], strict=False)
        if is_dense and after != before + 1
    ]
    places: dict[tuple[str, str, object], list[Change]] = {}
    for change in log.changes:
        seq = 0 if change.action == "delete" else change.row.get("seq", 0)
        places.setdefault((change.action, change.record, seq), []).append(change)
    found: list[tuple[int, Ack]] = []
    for ack in acks:
        same = places.get((ack.action, ack.record, 0 if ack.action == "delete" else ack.seq), [])
        if len(same) == 1:
            found.append((same[0].number, ack))
        else:
            problems.append(Problem("log", "log", f"{ack} was answered and is there {len(same)} times"))
    latest: tuple[float, Ack | None] = (0.0, None)
    for _, ack in sorted(found, key=lambda item: item[0]):
        if ack.answered < latest[0]:
            problems.append(Problem("order", "log", f"{latest[1]} stands before {ack}, which was answered earlier"))
        if ack.sent > latest[0]:
            latest = (ack.sent, ack)
    return problems


def check_client(client: Client, log: Log, tells: Tells, *, is_finished: bool = True) -> list[Problem]:
    """Hold what a client got against the log; with `is_finished` its last connection must have everything."""
    problems: list[Problem] = []
    position: str | None = None
    for place, session in enumerate(client.sessions):
        who = f"{client.name}/{place}"
        problems += _check_start(who, session, log, position)
        ahead = _Ahead(client, session, log, tells)
        found, position = _check_session(who, session, ahead)
        problems += found
        if found:
            # What follows from a broken connection says nothing new.
            return problems
        if is_finished and session is client.sessions[-1]:
            left = ahead.skip_to(log.end + 1, session.ended_at)
            if left or not session.is_subscribed:
                problems.append(Problem("unfinished", client.name, f"{left or 'the topics'} behind {session.start}"))
    return problems


def _check_start(who: str, session: Session, log: Log, position: str | None) -> list[Problem]:
    asked = session.asked
    if asked is None:
        return [] if not session.is_resumed else [Problem("resume", who, "resumed, but asked for nothing")]
    asked = asked.rpartition("_")[2]
    is_known = asked in log.positions
    if session.is_resumed != is_known:
        return [Problem("resume", who, f"asked for {asked}, resumed: {session.is_resumed}")]
    if is_known and session.start != asked:
        return [Problem("resume", who, f"asked for {asked}, starts at {session.start}")]
    if is_known and position is not None and position != asked:
        return [Problem("resume", who, f"the client should have asked for {position}, not for {asked}")]
    return []


def _check_session(who: str, session: Session, ahead: _Ahead) -> tuple[list[Problem], str]:
    """Return the problems of one connection and the position that its client has after it."""
    position = session.start
    for event in session.events:
        problem = ahead.take(event, number_of(position))
        if problem is not None:
            return [Problem(problem[0], who, f"{problem[1]} at {event}")], position
        position = event.id
    return [], position


class _Ahead:
    """What a connection is still to bring: the changes behind a place of the log."""

    def __init__(self, client: Client, session: Session, log: Log, tells: Tells) -> None:
        self._topics = client.topics
        self._tells = partial(tells, client, session)
        self._log = log
        self._place = log.place_behind(number_of(session.start))
        # The topics of the change at this place that have been told already.
        self._told: set[str] = set()

    def take(self, event: Got, behind: int) -> tuple[Kind, str] | None:
        """Tick off an event; return what is wrong with it. `behind` is the number that the client has."""
        number, log = number_of(event.cursor), self._log
        if event.topic == PROGRESS:
            return self._take_progress(event, behind)
        change = log.by_number.get(number)
        if change is None or change.position != event.cursor:
            return "wrong", "no such change"
        place = log.place_behind(number) - 1
        if place < self._place or (place == self._place and event.topic in self._told) or number <= behind:
            return "repeat", f"told twice, behind {behind}"
        missing = self.skip_to(number, event.at)
        if missing:
            return "gap", missing
        possible = self._tells(event.topic, change, event.at) if event.topic in self._topics else {""}
        if possible <= {""}:
            return "forbidden", "not for this client"
        seq = 0 if event.action == "leave" else change.row.get("seq", 0)
        if event.action not in possible or (event.record, event.seq) != (change.record, seq):
            return "wrong", f"should be {sorted(possible)} of {change.record} with {seq}"
        self._told.add(event.topic)
        return self._check_id(event, change, behind)

    def skip_to(self, number: int, until: float) -> str:
        """Leave out the changes before a number; return what should have been told by then, "" where nothing."""
        changes = self._log.changes
        while self._place < len(changes) and changes[self._place].number < number:
            change = changes[self._place]
            for topic in self._topics:
                if topic not in self._told and "" not in self._tells(topic, change, until):
                    return f"{change.position} was not told to {topic}"
            self._settle()
        return ""

    def _settle(self) -> None:
        self._place += 1
        self._told.clear()

    def _take_progress(self, event: Got, behind: int) -> tuple[Kind, str] | None:
        number = number_of(event.cursor)
        if event.cursor != event.id or event.cursor not in self._log.positions:
            return "wrong", "a position that is none"
        if number < behind:
            return "order", f"a step back from {behind}"
        missing = self.skip_to(number + 1, event.at)
        return ("gap", missing) if missing else None

    def _check_id(self, event: Got, change: Change, behind: int) -> tuple[Kind, str] | None:
        """A client that is cut here must get the change again unless it has all of it, and nothing before it."""
        left = [self._tells(topic, change, event.at) for topic in self._topics if topic not in self._told]
        if event.id == event.cursor:
            if all("" in possible for possible in left):
                self._settle()
                return None
            return "wrong", "its id would lose an event"
        if all(possible <= {""} for possible in left):
            return "wrong", "its id is not its position"
        return (
            None
            if behind <= number_of(event.id) < change.number
            else ("wrong", "its id would lose or repeat something")
        )
