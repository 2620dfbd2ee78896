"""One writer of a run: creates, changes and deletes records of its own, one write at a time."""

from __future__ import annotations

import asyncio
import random
import string
import time
from typing import Any

from tests.e2e.wire import Wire
from tests.soak.checker import Ack
from tests.soak.fleet import BROKEN
from tests.soak.plan import Run
from tests.soak.world import KINDS, PEOPLE, ROOT, WRITTEN

_PAD = "x" * 20_000

_ANSWERED_S = 30.0
"""Who waits longer for an answer hangs."""


class Writing:
    """One writer with records of its own; one write at a time, so that the outcome of each is known."""

    def __init__(self, run: Run, number: int, chance: random.Random) -> None:
        self._run = run
        self._number = number
        self._chance = chance
        self._wire = Wire(run.port)
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
        world = self._run.world
        person = self._chance.choice(tuple(world.people.values()))
        body = {"name": f"seen {self._run.next_seq()}"}
        self._wire.token, token = world.tokens[ROOT], self._wire.token
        await self._do("PATCH", f"/api/collections/people/records/{person}", body, [])
        self._wire.token = token
        self._run.journal.counts["changes of accounts"] += 1

    def _origin(self, collection: str) -> str:
        """Return a note that a new record is deleted with, or none."""
        notes = [each[1] for each in self._mine if each[0] == "notes"] if collection != "notes" else []
        return self._chance.choice(notes) if notes and self._chance.random() < 0.4 else ""

    def _body(self) -> dict[str, Any]:
        chance, world = self._chance, self._run.world
        return {
            "id": "".join(chance.choices(string.ascii_lowercase + string.digits, k=15)),
            "seq": self._run.next_seq(),
            "kind": chance.choice(KINDS),
            "team": chance.choice((*set(PEOPLE.values()), "")),
            "owner": chance.choice((*world.people.values(), "")),
            "room": chance.choice((*world.rooms.values(), "")),
            "pad": _PAD if chance.random() < 0.1 else "",
        }

    async def _do(self, method: str, path: str, body: object, told: list[tuple[str, dict[str, Any]]]) -> bool:
        """Carry out a write; return whether it was answered with success."""
        journal = self._run.journal
        sent = time.monotonic()
        try:
            status, answer = await asyncio.wait_for(self._wire.call(method, path, body), _ANSWERED_S)
        except BROKEN as error:
            if isinstance(error, TimeoutError):
                journal.faults.append(f"{method} {path} was not answered within {_ANSWERED_S:g} s")
            journal.counts["writes without an answer"] += 1
            self._wire.close()
            await asyncio.sleep(0.05)
            return False
        answered = time.monotonic()
        journal.longest_s = max(journal.longest_s, answered - sent)
        if status not in {200, 204}:
            journal.counts[f"writes answered with {status}"] += 1
            if status != 503:
                journal.faults.append(f"{method} {path} was answered with {status}: {answer}")
            return False
        journal.counts["writes"] += len(told)
        journal.acks += [Ack(action, each["id"], each["seq"], sent, answered) for action, each in told]
        return True
