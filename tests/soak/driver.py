"""Real servers, writers, and many clients whose connections are cut, frozen and resumed while servers are killed.

Only collects: what each connection brought and which writes were answered. `checker`
says afterwards whether something was lost. All randomness comes from one seed; what the
machine makes of it differs from run to run.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import string
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.server import upsert_superuser
from tests.e2e.wire import Frame, Wire, WireStream, open_stream
from tests.soak.checker import PROGRESS, Ack, Change, Client, Got, Session
from tests.soak.fleet import BROKEN, Fleet
from tests.soak.world import CHOICES, GUEST, KINDS, PEOPLE, ROOT, WRITTEN, World, build, last_position, read_log

_DONE_WITHIN_S = 60.0
_PAD = "x" * 20_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of what, for how long."""

    seconds: float
    seed: int = 0
    clients: int = 48
    writers: int = 4
    writes_per_s: float = 120.0
    open_for_s: float = 0.8
    """How long a connection is open on average before something happens to it."""
    server_lives_s: tuple[float, float] = (5.0, 15.0)
    """How long it takes until something happens to a process of the server."""
    workers: int = 0
    nodes: int = 1
    stops_for_s: float = 4.0
    """How long a process that is stopped stays so at most."""
    freezes_for_s: float = 1.0
    long_freezes: bool = True
    """Whether some clients stay frozen until the server closes them as slow."""


@dataclass(slots=True)
class Journal:
    """What came of it."""

    clients: list[Client] = field(default_factory=list)
    acks: list[Ack] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    first: str = ""
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Soak:
    """One run."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self.journal = Journal()
        self.server = Fleet(directory / "pb_data", workers=plan.workers, nodes=plan.nodes, stops_for_s=plan.stops_for_s)
        self.world: World | None = None
        self._random = random.Random(plan.seed)
        self._seq = 0
        self._end = ""
        self.is_written = asyncio.Event()

    async def run(self) -> tuple[Journal, World]:
        """Carry out the plan."""
        server = self.server
        await asyncio.to_thread(upsert_superuser, "rowcast", server.data_dir)
        try:
            await server.start()
            self.world = await asyncio.to_thread(build, f"http://127.0.0.1:{server.port}")
            # From the first cursor on the log is kept on disk.
            (await open_stream(server.port, query="?cursor=")).cut()
            await self._play()
            assert not any(await server.end()), "a server did not end well"
        finally:
            await server.clear()
        journal = self.journal
        journal.counts.update(server.counts)
        journal.changes, journal.first = read_log(server.data_dir)
        journal.faults += [f"the server failed, see {log}" for log in server.logs if b"Traceback" in log.read_bytes()]
        return journal, self.world

    async def _play(self) -> None:
        plan = self.plan
        clients = [asyncio.ensure_future(self._client(number)) for number in range(plan.clients)]
        writers = [asyncio.ensure_future(self._writer(number)) for number in range(plan.writers)]
        try:
            await self._kill_until(time.monotonic() + plan.seconds)
            self.is_written.set()
            await _all(writers)
            self._end = await asyncio.to_thread(last_position, self.server.data_dir)
            await _all(clients)
        finally:
            for task in (*clients, *writers):
                task.cancel()
            await asyncio.gather(*clients, *writers, return_exceptions=True)

    async def _kill_until(self, ends_at: float) -> None:
        chance = random.Random(self._random.random())
        while True:
            lives_until = time.monotonic() + chance.uniform(*self.plan.server_lives_s)
            await asyncio.sleep(max(0.0, min(lives_until, ends_at) - time.monotonic()))
            if time.monotonic() >= ends_at:
                return
            await self.server.fault(chance)

    # -- clients ---------------------------------------------------------------

    async def _client(self, number: int) -> None:
        assert self.world is not None
        accounts = (*PEOPLE, *PEOPLE, *PEOPLE, GUEST, ROOT)
        account = accounts[number % len(accounts)]
        client = Client(f"client {number} ({account})", CHOICES[number // 2 % len(CHOICES)], account)
        self.journal.clients.append(client)
        one = _Listening(self, client, self.world.tokens[account], random.Random(self._random.random()))
        while not self.is_written.is_set() or not self._end:
            await one.connect_once()
        gives_up_at = time.monotonic() + _DONE_WITHIN_S
        while not await one.finish(self._end):
            if time.monotonic() > gives_up_at:
                self.journal.faults.append(f"{client.name} never came to the end")
                return

    # -- writers ---------------------------------------------------------------

    async def _writer(self, number: int) -> None:
        one = _Writing(self, number, random.Random(self._random.random()))
        pause_s = self.plan.writers / self.plan.writes_per_s
        while not self.is_written.is_set():
            began = time.monotonic()
            await one.write_once()
            await asyncio.sleep(max(0.0, began + pause_s - time.monotonic()))

    def next_seq(self) -> int:
        self._seq += 1
        return self._seq


async def _all(tasks: Sequence[asyncio.Future[None]]) -> None:
    for task in asyncio.as_completed(tasks):
        await task


class _Listening:
    """One client: what it must remember between its connections is the id of the last frame."""

    def __init__(self, soak: Soak, client: Client, token: str, chance: random.Random) -> None:
        self._soak = soak
        self._client = client
        self._chance = chance
        self._wire = Wire(soak.server.port, token)
        self._counts = soak.journal.counts
        self._last_id = ""
        self._position = ""

    async def connect_once(self) -> None:
        """Open a stream, let something happen to it."""
        chance, plan = self._chance, self._soak.plan
        stream = await self._open()
        if stream is None:
            await asyncio.sleep(chance.uniform(0.01, 0.2))
            return
        session = self._client.sessions[-1]
        try:
            # Some are cut before they say what they listen to.
            if chance.random() > 0.05 and await self._subscribe(stream, session):
                await self._live(stream, session, chance.expovariate(1 / plan.open_for_s))
                if chance.random() < 0.3:
                    await self._freeze(stream, session)
        except BROKEN:
            self._counts["broken by the server"] += 1
        finally:
            stream.cut()
            self._wire.close()
            self._counts["cuts"] += 1
        if chance.random() < 0.3:
            await asyncio.sleep(chance.expovariate(1 / 0.3))

    async def finish(self, end: str) -> bool:
        """Connect a last time and read up to a position; return whether that was reached."""
        stream = await self._open()
        if stream is None:
            await asyncio.sleep(0.1)
            return False
        session = self._client.sessions[-1]
        with contextlib.suppress(*BROKEN):
            if not await self._subscribe(stream, session):
                return False
            # A running stream whose topics are submitted again is told how far it is; one that catches up is not.
            for _ in range(20):
                gives_up_at = time.monotonic() + 0.5
                while (left_s := gives_up_at - time.monotonic()) > 0 and session.events[-1:] != [_progress(end)]:
                    with contextlib.suppress(TimeoutError):
                        self._note(session, await asyncio.wait_for(stream.frame(), left_s))
                if session.events[-1:] == [_progress(end)]:
                    stream.cut()
                    self._wire.close()
                    return True
                await self._wire.subscribe(stream, self._client.topics)
        stream.cut()
        self._wire.close()
        return False

    async def _open(self) -> WireStream | None:
        query, headers, asked = self._ask()
        small = self._chance.random() < 0.3
        try:
            stream = await asyncio.wait_for(
                open_stream(self._soak.server.port, query=query, headers=headers, buffer_bytes=4_096 if small else 0),
                10,
            )
        except BROKEN:
            self._counts["refused"] += 1
            return None
        said = stream.connected
        self._client.sessions.append(Session(asked, said["cursor"], said["resumed"]))
        self._counts["resumed" if said["resumed"] else "fresh"] += 1
        self._position, self._last_id = said["cursor"], stream.client_id
        return stream

    def _ask(self) -> tuple[str, Mapping[str, str], str | None]:
        """Return the query and headers of a GET, and the position that they ask for."""
        position, last_id, chance = self._position, self._last_id, self._chance
        if not position:
            return "?cursor=", {}, None
        way = chance.randrange(20)
        if way == 0:
            number, _, tag = position.partition("-")
            wrong = f"{number}-{tag[::-1] if tag != tag[::-1] else 'zzzzzzzzzz'}"
            return f"?cursor={wrong}", {}, wrong
        if way == 1:
            return f"?cursor={position}", {"Last-Event-ID": "no position"}, position
        if way == 2:
            return "?cursor=0-zzzzzzzzzz", {"Last-Event-ID": last_id}, last_id
        if way < 11:
            return f"?cursor={position}", {}, position
        # As a browser does it: the URL stays, the header has the id of the last frame.
        return "?cursor=" if way < 15 else "", {"Last-Event-ID": last_id}, last_id

    async def _subscribe(self, stream: WireStream, session: Session) -> bool:
        status = await asyncio.wait_for(self._wire.subscribe(stream, self._client.topics), 10)
        session.is_subscribed = status == 204
        if status not in {204, 404, 503}:
            self._soak.journal.faults.append(f"{self._client.name}: the topics were answered with {status}")
        return session.is_subscribed

    async def _live(self, stream: WireStream, session: Session, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        resubmits_at = ends_at - seconds * self._chance.random() if self._chance.random() < 0.2 else ends_at
        while True:
            now = time.monotonic()
            if now >= ends_at:
                return
            if resubmits_at <= now:
                resubmits_at = ends_at
                self._counts["topics submitted again"] += 1
                await asyncio.wait_for(self._wire.subscribe(stream, self._client.topics), 10)
            with contextlib.suppress(TimeoutError):
                self._note(session, await asyncio.wait_for(stream.frame(), min(ends_at, resubmits_at) - now))

    async def _freeze(self, stream: WireStream, session: Session) -> None:
        chance, plan = self._chance, self._soak.plan
        is_long = plan.long_freezes and chance.random() < 0.03
        stream.freeze()
        self._counts["long freezes" if is_long else "freezes"] += 1
        with contextlib.suppress(TimeoutError):
            seconds = 15.0 if is_long else chance.expovariate(1 / plan.freezes_for_s)
            await asyncio.wait_for(self._soak.is_written.wait(), seconds)
        if is_long or chance.random() < 0.5:
            stream.thaw()
            await self._live(stream, session, 3.0 if is_long else chance.expovariate(1 / plan.open_for_s))

    def _note(self, session: Session, frame: Frame) -> None:
        data = frame.json
        self._counts["events"] += 1
        if frame.event == PROGRESS:
            session.events.append(Got(frame.id, PROGRESS, data["cursor"]))
        else:
            record = data["record"]
            session.events.append(
                Got(frame.id, frame.event, data["cursor"], data["action"], record["id"], record.get("seq", 0))
            )
        self._last_id = self._position = frame.id


def _progress(position: str) -> Got:
    return Got(position, PROGRESS, position)


class _Writing:
    """One writer with records of its own; one write at a time, so that the outcome of each is known."""

    def __init__(self, soak: Soak, number: int, chance: random.Random) -> None:
        self._soak = soak
        self._number = number
        self._chance = chance
        self._wire = Wire(soak.server.port)
        # Collection, id, and the note that a record goes with.
        self._mine: list[tuple[str, str, str]] = []

    async def write_once(self) -> None:
        """Create, change or delete a record, or create some in one transaction."""
        kind = self._chance.random()
        if self._chance.random() < 0.1:
            # As often to each process: a kept connection would stay with one.
            self._wire.close()
        if kind < 0.1:
            await self._batch()
        elif kind < 0.14:
            await self._change_account()
        elif kind < 0.5 or len(self._mine) < 5:
            collection, body = self._chance.choice(WRITTEN), self._body()
            origin = self._origin(collection)
            path = f"/api/collections/{collection}/records"
            if await self._do("POST", path, {**body, "origin": origin}, [("create", body)]):
                self._mine.append((collection, str(body["id"]), origin))
        else:
            await self._touch(is_delete=kind > 0.85 or len(self._mine) > 200)

    async def _touch(self, *, is_delete: bool) -> None:
        # Taken out first: where the answer is missing nobody knows what is in the record.
        collection, record_id, origin = self._mine.pop(self._chance.randrange(len(self._mine)))
        if is_delete:
            # They go with it.
            self._mine = [each for each in self._mine if each[2] != record_id]
        path = f"/api/collections/{collection}/records/{record_id}"
        body = {**self._body(), "id": record_id}
        if is_delete:
            await self._do("DELETE", path, None, [("delete", body)])
        elif await self._do("PATCH", path, body, [("update", body)]):
            self._mine.append((collection, record_id, origin))

    async def _batch(self) -> None:
        bodies = [(self._chance.choice(WRITTEN), self._body()) for _ in range(self._chance.randint(2, 5))]
        requests = [
            {"method": "POST", "url": f"/api/collections/{collection}/records", "body": body}
            for collection, body in bodies
        ]
        if await self._do("POST", "/api/batch", {"requests": requests}, [("create", body) for _, body in bodies]):
            self._mine += [(collection, str(body["id"]), "") for collection, body in bodies]

    async def _change_account(self) -> None:
        """Change what no right depends on: the streams of the account must go on as they are."""
        world = self._soak.world
        assert world is not None
        person = self._chance.choice(tuple(world.people.values()))
        body = {"name": f"seen {self._soak.next_seq()}"}
        self._wire.token, token = world.tokens[ROOT], self._wire.token
        await self._do("PATCH", f"/api/collections/people/records/{person}", body, [])
        self._wire.token = token
        self._soak.journal.counts["changes of accounts"] += 1

    def _origin(self, collection: str) -> str:
        """Return a note that a new record is deleted with, or none."""
        notes = [each[1] for each in self._mine if each[0] == "notes"] if collection != "notes" else []
        return self._chance.choice(notes) if notes and self._chance.random() < 0.4 else ""

    def _body(self) -> dict[str, Any]:
        chance, world = self._chance, self._soak.world
        assert world is not None
        return {
            "id": "".join(chance.choices(string.ascii_lowercase + string.digits, k=15)),
            "seq": self._soak.next_seq(),
            "kind": chance.choice(KINDS),
            "team": chance.choice((*set(PEOPLE.values()), "")),
            "owner": chance.choice((*world.people.values(), "")),
            "room": chance.choice((*world.rooms.values(), "")),
            "pad": _PAD if chance.random() < 0.1 else "",
        }

    async def _do(self, method: str, path: str, body: object, told: list[tuple[str, dict[str, Any]]]) -> bool:
        """Carry out a write; return whether it was answered with success."""
        journal = self._soak.journal
        sent = time.monotonic()
        try:
            status, answer = await asyncio.wait_for(self._wire.call(method, path, body), 30)
        except BROKEN:
            journal.counts["writes without an answer"] += 1
            self._wire.close()
            await asyncio.sleep(0.05)
            return False
        answered = time.monotonic()
        if status not in {200, 204}:
            if status != 503:
                journal.faults.append(f"{method} {path} was answered with {status}: {answer}")
            return False
        journal.counts["writes"] += len(told)
        journal.acks += [Ack(action, each["id"], each["seq"], sent, answered) for action, each in told]
        return True
