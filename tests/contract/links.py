"""What the tests of links share: nodes that are opened together, and what they hear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rowcast.bus import Answer, Link

Make = Callable[[str], Link]
"""Makes the link of a node by its name."""


async def echo(question: bytes) -> bytes:
    return b"answer to " + question


@dataclass
class Node:
    """A link with what it was told."""

    link: Link
    hinted: asyncio.Event = field(default_factory=asyncio.Event)
    hints: int = 0

    def hear(self) -> None:
        self.hints += 1
        self.hinted.set()

    async def heard(self) -> None:
        """Wait for a hint."""
        await asyncio.wait_for(self.hinted.wait(), 10)
        self.hinted.clear()


@asynccontextmanager
async def opened(make: Make, *names: str, answer: Answer = echo) -> AsyncIterator[list[Node]]:
    """Open the links of nodes until the block ends."""
    nodes = [Node(make(name)) for name in names]
    try:
        for node in nodes:
            await node.link.open(node.hear, answer)
        yield nodes
    finally:
        for node in nodes:
            await node.link.close()


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 15) -> None:
    """Wait until something holds that nobody tells of."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.02)
