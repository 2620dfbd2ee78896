"""One process among those that serve a database: joining the others, following them, being up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rowcast.bus import Link
from rowcast.realtime.follower import Follower
from rowcast.realtime.nodes import Nodes
from rowcast.storage.freshness import Freshness


class Membership:
    """Ties the link to what listens to it. Owned by the event loop."""

    def __init__(self, link: Link, follower: Follower, nodes: Nodes, fresh: Freshness) -> None:
        self._link = link
        self._follower = follower
        self._nodes = nodes
        self._fresh = fresh

    async def join(self) -> None:
        """Join the other processes, if there are any: from here on nothing that either commits is missed."""
        await self._link.open(self._follower.hint, self._nodes.answer)
        await asyncio.to_thread(self._follower.catch_up)

    async def run(self, joining: Awaitable[None]) -> None:
        """Follow what the others do with the database, until cancelled; then leave them."""
        try:
            await joining
            await self._follower.run()
        finally:
            await self._link.close()

    async def freshen(self, quick: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        """See what other processes have changed, before a request is answered by it; `quick` runs a short read."""
        if self._link.has_others:
            await quick(self._fresh.refresh)
