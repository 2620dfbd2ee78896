"""Real servers, writers, and many clients whose connections are cut, frozen and resumed while servers are killed.

Only collects: what each connection brought and which writes were answered. `checker`
says afterwards whether something was lost. All randomness comes from one seed; what the
machine makes of it differs from run to run.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.server import environment, upsert_superuser
from tests.e2e.wire import open_stream
from tests.soak.backing import Backing
from tests.soak.checker import Client
from tests.soak.fleet import Fleet
from tests.soak.listening import Listening
from tests.soak.plan import Journal, Plan, Run
from tests.soak.turning import Turning
from tests.soak.world import (
    CHOICES,
    GUEST,
    PEOPLE,
    ROOT,
    Query,
    World,
    build,
    last_position,
    query_of,
    read_log,
    read_tables,
)
from tests.soak.writing import Writing

_DONE_WITHIN_S = 60.0
_QUIET_S = 1.5
"""How long nothing must have been written for the log to be at its end: some writes go on without their client."""


class Soak:
    """One run."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self.backing = Backing(has_database=plan.has_database, has_bus=plan.has_bus, stops_for_s=plan.stops_for_s)
        self.server = Fleet(
            directory / "pb_data",
            self.backing,
            workers=plan.workers,
            nodes=plan.nodes,
            stops_for_s=plan.stops_for_s,
            outages=plan.outages,
        )
        self._random = random.Random(plan.seed)
        self._end = ""

    async def run(self) -> tuple[Journal, World]:
        """Carry out the plan."""
        server = self.server
        try:
            await asyncio.to_thread(self._prepare)
            await server.start()
            world = await asyncio.to_thread(build, f"http://127.0.0.1:{server.port}")
            run = Run(self.plan, server.port, world)
            # From the first cursor on the log is kept on disk.
            (await open_stream(server.port, query="?cursor=")).cut()
            await self._play(run)
            statuses = await server.end()
            if any(statuses):
                run.journal.faults.append(f"the servers ended with {statuses}")
            journal, query = run.journal, self._query()
            (journal.changes, journal.first), journal.tables = read_log(query), read_tables(query)
        finally:
            await server.clear()
        journal.counts.update(server.counts + self.backing.counts)
        journal.faults += [found for log in server.logs if (found := _failure(log))]
        return journal, world

    def _prepare(self) -> None:
        data_dir = self.server.data_dir
        self.backing.start(data_dir.parent)
        if self.backing.postgres is not None:
            (data_dir.parent / f"{data_dir.name}.database").write_text(self.backing.postgres.url())
            assert environment("postgres", data_dir)["ROWCAST_DB"] == self.backing.postgres.url()
        upsert_superuser("rowcast" if self.backing.postgres is None else "postgres", data_dir)

    def _query(self) -> Query:
        return query_of(self.server.data_dir, self.backing.postgres.url() if self.backing.postgres is not None else "")

    async def _play(self, run: Run) -> None:
        plan = self.plan
        clients = [asyncio.ensure_future(self._client(run, number)) for number in range(plan.clients)]
        writers = [asyncio.ensure_future(self._writer(run, number)) for number in range(plan.writers)]
        watch = asyncio.ensure_future(self._watch(run))
        turner = asyncio.ensure_future(self._turner(run))
        try:
            await self._kill_until(time.monotonic() + plan.seconds)
            await self.backing.settle()
            run.is_written.set()
            await _all([*writers, turner])
            self._end = await self._end_of_log()
            await _all(clients)
        finally:
            for task in (*clients, *writers, watch, turner):
                task.cancel()
            await asyncio.gather(*clients, *writers, watch, turner, return_exceptions=True)

    async def _end_of_log(self) -> str:
        query, found = self._query(), ""
        while (last := await asyncio.to_thread(last_position, query)) != found:
            found = last
            await asyncio.sleep(_QUIET_S)
        return found

    async def _watch(self, run: Run) -> None:
        """Note how long after each outage of the database the first write is answered."""
        seen = 0.0
        while True:
            await asyncio.sleep(0.02)
            back_at, answers = self.backing.back_at, run.journal.acks
            if back_at > seen and answers and answers[-1].sent > seen and answers[-1].answered > back_at:
                run.journal.recoveries_s.append(answers[-1].answered - back_at)
                seen = back_at

    async def _kill_until(self, ends_at: float) -> None:
        chance = random.Random(self._random.random())
        while True:
            lives_until = time.monotonic() + chance.uniform(*self.plan.server_lives_s)
            await asyncio.sleep(max(0.0, min(lives_until, ends_at) - time.monotonic()))
            if time.monotonic() >= ends_at:
                return
            await self.server.fault(chance)

    # -- clients ---------------------------------------------------------------

    async def _client(self, run: Run, number: int) -> None:
        accounts = (*PEOPLE, *PEOPLE, *PEOPLE, GUEST, ROOT)
        account = accounts[number % len(accounts)]
        client = Client(f"client {number} ({account})", CHOICES[number // 2 % len(CHOICES)], account)
        run.journal.clients.append(client)
        one = Listening(run, client, random.Random(self._random.random()))
        while not run.is_written.is_set() or not self._end:
            await one.connect_once()
        gives_up_at = time.monotonic() + _DONE_WITHIN_S
        while not await one.finish(self._end):
            if time.monotonic() > gives_up_at:
                run.journal.faults.append(f"{client.name} never came to the end")
                return

    # -- writers ---------------------------------------------------------------

    async def _writer(self, run: Run, number: int) -> None:
        one = Writing(run, number, random.Random(self._random.random()))
        pause_s = self.plan.writers / self.plan.writes_per_s
        while not run.is_written.is_set():
            began = time.monotonic()
            await one.write_once()
            await asyncio.sleep(max(0.0, began + pause_s - time.monotonic()))

    async def _turner(self, run: Run) -> None:
        one = Turning(run, random.Random(self._random.random()))
        while not run.is_written.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(run.is_written.wait(), run.plan.turns_every_s)
                return
            await one.turn_once()


async def _all(tasks: Sequence[asyncio.Future[None]]) -> None:
    for task in asyncio.as_completed(tasks):
        await task


def _failure(log: Path) -> str:
    """Return the last trace in what a server has printed, "" where there is none."""
    _, found, trace = log.read_text(errors="replace").rpartition("Traceback")
    return f"the server failed, see {log}: {found}{trace[:3_000]}" if found else ""
