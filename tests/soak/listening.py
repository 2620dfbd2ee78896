"""One client of a run: connects, listens, is cut, and comes back from the position that it has."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Mapping

from tests.e2e.wire import Frame, StreamError, Wire, WireStream, open_stream
from tests.soak.checker import PROGRESS, Client, Got, Session, number_of
from tests.soak.fleet import BROKEN
from tests.soak.plan import Run
from tests.soak.world import REVOKER


class Listening:
    """One client: what it must remember between its connections is the id of the last frame."""

    def __init__(self, run: Run, client: Client, chance: random.Random) -> None:
        self._run = run
        self._client = client
        self._chance = chance
        self._wire = Wire(run.port)
        self._counts = run.journal.counts
        self._last_id = ""
        self._position = ""

    async def connect_once(self) -> None:
        """Open a stream, let something happen to it."""
        chance, plan = self._chance, self._run.plan
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
                while (left_s := gives_up_at - time.monotonic()) > 0 and not _is_there(session, end):
                    with contextlib.suppress(TimeoutError):
                        self._note(session, await asyncio.wait_for(stream.frame(), left_s))
                if _is_there(session, end):
                    session.ended_at = time.time()
                    stream.cut()
                    self._wire.close()
                    return True
                await self._submit(stream)
        stream.cut()
        self._wire.close()
        return False

    async def _open(self) -> WireStream | None:
        query, headers, asked = self._ask()
        world, account = self._run.world, self._client.account
        self._wire.token, signed_at = world.tokens[account], world.signed_at.get(account, 0.0)
        small = self._chance.random() < 0.3
        try:
            stream = await asyncio.wait_for(
                open_stream(self._run.port, query=query, headers=headers, buffer_bytes=4_096 if small else 0),
                10,
            )
        except BROKEN as error:
            self._counts["refused"] += 1
            if isinstance(error, StreamError) and str(error).startswith("HTTP/1.1 ") and " 503 " not in str(error):
                self._run.journal.faults.append(f"a stream was answered with {error}")
            return None
        said = stream.connected
        self._client.sessions.append(Session(asked, said["cursor"], said["resumed"], signed_at=signed_at))
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
        session.is_subscribed = await self._submit(stream) == 204
        return session.is_subscribed

    async def _submit(self, stream: WireStream) -> int:
        """Submit the topics; return the status."""
        body = {"clientId": stream.client_id, "subscriptions": list(self._client.topics)}
        status, answer = await asyncio.wait_for(self._wire.call("POST", "/api/realtime", body), 10)
        if status == 403 and self._client.account == REVOKER:
            # Its token ended, and the stream does not know yet.
            self._counts["topics refused to whom has lost the token"] += 1
        elif status not in {204, 404, 503}:
            self._run.journal.faults.append(f"{self._client.name}: the topics were answered with {status}: {answer}")
        return status

    async def _live(self, stream: WireStream, session: Session, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        resubmits_at = ends_at - seconds * self._chance.random() if self._chance.random() < 0.2 else ends_at
        while True:
            now = time.monotonic()
            if now >= ends_at or self._run.is_written.is_set():
                return
            if resubmits_at <= now:
                resubmits_at = ends_at
                self._counts["topics submitted again"] += 1
                await self._submit(stream)
            with contextlib.suppress(TimeoutError):
                self._note(session, await asyncio.wait_for(stream.frame(), min(ends_at, resubmits_at, now + 1) - now))

    async def _freeze(self, stream: WireStream, session: Session) -> None:
        chance, plan = self._chance, self._run.plan
        is_long = plan.long_freezes and chance.random() < 0.03
        stream.freeze()
        self._counts["long freezes" if is_long else "freezes"] += 1
        with contextlib.suppress(TimeoutError):
            seconds = 15.0 if is_long else chance.expovariate(1 / plan.freezes_for_s)
            await asyncio.wait_for(self._run.is_written.wait(), seconds)
        if is_long or chance.random() < 0.5:
            stream.thaw()
            await self._live(stream, session, 3.0 if is_long else chance.expovariate(1 / plan.open_for_s))

    def _note(self, session: Session, frame: Frame) -> None:
        data, now = frame.json, time.time()
        self._counts["events"] += 1
        if frame.event == PROGRESS:
            session.events.append(Got(frame.id, PROGRESS, data["cursor"], at=now))
        else:
            record = data["record"]
            session.events.append(
                Got(frame.id, frame.event, data["cursor"], data["action"], record["id"], record.get("seq", 0), now)
            )
        self._last_id = self._position = frame.id


def _is_there(session: Session, end: str) -> bool:
    """Whether a connection has been told that it has everything up to a position."""
    last = session.events[-1:]
    return bool(last) and last[0].topic == PROGRESS and number_of(last[0].cursor) >= number_of(end)
