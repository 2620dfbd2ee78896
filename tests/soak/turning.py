"""Changes rights and schemas while others listen and write: rules, teams, passwords, names of fields."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

from tests.e2e.wire import Wire
from tests.soak.fleet import BROKEN
from tests.soak.plan import Run
from tests.soak.rights import REVOKED, Turn
from tests.soak.world import MOVER, PASSWORD, REVOKER, ROOT, TURNS

_SETTLED_S = 15.0
"""After what time a request that was not answered has no effect any more, whatever was killed or frozen."""

_AGAIN_S = 0.1
_FIELDS = ("extra", "other")


class Turning:
    """One superuser who changes one thing after the other."""

    def __init__(self, run: Run, chance: random.Random) -> None:
        self._run = run
        self._chance = chance
        self._wire = Wire(run.port, run.world.tokens[ROOT])

    async def turn_once(self) -> None:
        """Change something."""
        kind = self._chance.choice((self._turn_rule, self._move, self._revoke, self._rename))
        self._wire.close()
        await kind()

    async def _turn_rule(self) -> None:
        rights = self._run.world.rights
        variant = (rights.turns[-1].variant + 1) % len(TURNS)
        sent = time.time()
        # Until it is answered it may hold already.
        rights.turns.append(Turn(variant, sent, float("inf")))
        tries = await self._persist("PATCH", "/api/collections/turns", {"listRule": TURNS[variant]})
        rights.turns[-1] = Turn(variant, sent, time.time())
        self._run.journal.counts["rules changed"] += 1
        if tries > 1:
            await self._settle()

    async def _move(self) -> None:
        """Move an account to another team; the log tells whether it was."""
        body = {"team": self._chance.choice(("red", "blue")), "name": f"moved {self._run.next_seq()}"}
        await self._try("PATCH", f"/api/collections/people/records/{self._run.world.people[MOVER]}", body)
        self._run.journal.counts["teams changed"] += 1

    async def _revoke(self) -> None:
        """Change a password, and so end all tokens of the account; then sign in again."""
        world = self._run.world
        body = {"password": PASSWORD, "passwordConfirm": PASSWORD, "name": f"{REVOKED} {self._run.next_seq()}"}
        status, _ = await self._try("PATCH", f"/api/collections/people/records/{world.people[REVOKER]}", body)
        if status != 200:
            await self._settle()
        while not self._run.is_written.is_set():
            signed_at = time.time()
            form = {"identity": f"{REVOKER}@example.com", "password": PASSWORD}
            status, answer = await self._try("POST", "/api/collections/people/auth-with-password", form)
            if status == 200:
                world.tokens[REVOKER], world.signed_at[REVOKER] = answer["token"], signed_at
                self._run.journal.counts["passwords changed"] += 1
                return
            await asyncio.sleep(_AGAIN_S)

    async def _rename(self) -> None:
        """Rename a field that nobody reads, of a collection that everybody writes or of the accounts."""
        path = f"/api/collections/{self._chance.choice(('notes', 'people'))}"
        status, collection = await self._try("GET", path)
        if status != 200:
            return
        fields = [
            {**field, "name": _FIELDS[1 - _FIELDS.index(field["name"])]} if field["name"] in _FIELDS else field
            for field in collection["fields"]
        ]
        await self._try("PATCH", path, {"fields": fields})
        self._run.journal.counts["fields renamed"] += 1

    async def _settle(self) -> None:
        """Wait until nothing that was asked before can have an effect, or nobody writes any more."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._run.is_written.wait(), _SETTLED_S)

    async def _persist(self, method: str, path: str, body: object) -> int:
        """Carry a request out, whatever it takes; return how often it was tried."""
        tries = 0
        while True:
            tries += 1
            status, _ = await self._try(method, path, body)
            if status == 200:
                return tries
            await asyncio.sleep(_AGAIN_S)

    async def _try(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Carry a request out; the status is 0 where there is no answer."""
        try:
            status, answer = await asyncio.wait_for(self._wire.call(method, path, body), 30)
        except BROKEN:
            self._wire.close()
            return 0, None
        if status not in {200, 503}:
            self._run.journal.faults.append(f"{method} {path} was answered with {status}: {answer}")
        return status, answer
