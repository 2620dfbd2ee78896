"""The oracle of loss: what streams with a cursor got, held against the log of changes, after the fact.

Pure: it gets the log, what writers were told and what each connection of each client
brought, and returns problems. A connection must have brought exactly the changes that
its client may see behind its start, in the order of the log, up to where it was cut.
Connections follow each other by their positions, so gaps and repeats between two of them show as well.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["log", "order", "gap", "repeat", "forbidden", "wrong", "resume", "unfinished"]

PROGRESS = "PB_CURSOR"
"""The event that tells how far a quiet stream is."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row of the log. `row` holds the record's values, `previous` those before an update."""

    number: int
    tag: str
    action: str
    collection: str
    record: str
    row: Mapping[str, object] = field(default_factory=dict)
    previous: Mapping[str, object] | None = None

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
    """An event as it came: its SSE id, topic, and what its data says."""

    id: str
    topic: str
    cursor: str
    action: str = ""
    record: str = ""
    seq: int = 0


@dataclass(slots=True)
class Session:
    """One connection: the position that it asked for, what PB_CONNECT said, and what came."""

    asked: str | None
    start: str
    is_resumed: bool
    events: list[Got] = field(default_factory=list)
    is_subscribed: bool = False


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


Tells = Callable[[Client, str, Change], str]
"""Which action a topic of a client tells of a change ("create", ..., "leave"), "" for none."""


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

    def behind(self, number: int) -> Iterator[Change]:
        """Yield the changes behind a number."""
        for place in range(bisect_right(self.numbers, number), len(self.changes)):
            yield self.changes[place]


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
        found, position = _check_session(who, client, session, log, tells)
        problems += found
        if found:
            # What follows from a broken connection says nothing new.
            return problems
    if is_finished and client.sessions:
        last = client.sessions[-1]
        expected = sum(1 for _ in _expected(client, last, log, tells))
        got = sum(1 for event in last.events if event.topic != PROGRESS)
        if not last.is_subscribed or got != expected:
            problems.append(Problem("unfinished", client.name, f"{got} of {expected} events behind {last.start}"))
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


def _expected(client: Client, session: Session, log: Log, tells: Tells) -> Iterator[tuple[Change, str, str]]:
    for change in log.behind(number_of(session.start)):
        for topic in client.topics:
            action = tells(client, topic, change)
            if action:
                yield change, topic, action


def _check_session(who: str, client: Client, session: Session, log: Log, tells: Tells) -> tuple[list[Problem], str]:
    """Return the problems of one connection and the position that its client has after it."""
    position = session.start
    told = _Told(_expected(client, session, log, tells))
    seen: set[tuple[str, str]] = set()
    for event in session.events:
        problem = _check_event(event, log, told, seen, number_of(position))
        if problem is not None:
            return [Problem(problem[0], who, f"{problem[1]} at {event}")], position
        position = event.id
    return [], position


class _Told:
    """The events that are still to come, those of the next change first and in any order."""

    def __init__(self, expected: Iterator[tuple[Change, str, str]]) -> None:
        self._expected = expected
        self._ahead = next(expected, None)
        self.change: Change | None = None
        self.topics: dict[str, str] = {}
        self._load()

    def take(self, topic: str) -> bool:
        """Tick off an event of the next change; return whether it was the last of that change."""
        del self.topics[topic]
        if self.topics:
            return False
        self._load()
        return True

    def _load(self) -> None:
        self.change = self._ahead[0] if self._ahead is not None else None
        while self._ahead is not None and self._ahead[0] is self.change:
            self.topics[self._ahead[1]] = self._ahead[2]
            self._ahead = next(self._expected, None)


def _check_event(event: Got, log: Log, told: _Told, seen: set[tuple[str, str]], behind: int) -> tuple[Kind, str] | None:
    number = number_of(event.cursor)
    due = told.change
    if event.topic == PROGRESS:
        return _check_progress(event, log, due, behind)
    change = log.by_number.get(number)
    if change is None or change.position != event.cursor:
        return "wrong", "no such change"
    if (event.cursor, event.topic) in seen or number <= behind:
        return "repeat", f"told twice, behind {behind}"
    if due is None or number < due.number or (number == due.number and event.topic not in told.topics):
        return "forbidden", "not for this client"
    if number > due.number:
        return "gap", f"{due.position} was not told to {sorted(told.topics)}"
    action = told.topics[event.topic]
    seq = 0 if action == "leave" else change.row.get("seq", 0)
    if (event.action, event.record, event.seq) != (action, change.record, seq):
        return "wrong", f"should be {action} of {change.record} with {seq}"
    seen.add((event.cursor, event.topic))
    return _check_id(event, number, behind, is_last=told.take(event.topic))


def _check_progress(event: Got, log: Log, due: Change | None, behind: int) -> tuple[Kind, str] | None:
    number = number_of(event.cursor)
    if event.cursor != event.id or event.cursor not in log.positions:
        return "wrong", "a position that is none"
    if number < behind:
        return "order", f"a step back from {behind}"
    return ("gap", f"{due.position} was not told") if due is not None and due.number <= number else None


def _check_id(event: Got, number: int, behind: int, *, is_last: bool) -> tuple[Kind, str] | None:
    """A client that is cut here must get the change again unless it has all events of it, and nothing before it."""
    if is_last:
        return None if event.id == event.cursor else ("wrong", "its id is not its position")
    return None if behind <= number_of(event.id) < number else ("wrong", "its id would lose or repeat something")
