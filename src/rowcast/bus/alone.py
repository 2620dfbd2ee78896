"""The link of a process that nobody else serves the database with."""

from __future__ import annotations

from collections.abc import Callable

from rowcast.bus import Answer, LinkCounts


class Alone:
    """Knows no other nodes."""

    has_others = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts = LinkCounts("alone")

    async def open(self, on_hint: Callable[[], None], answer: Answer) -> None:
        """Listen to nobody."""

    def hint(self) -> None:
        """Tell nobody."""

    async def ask(self, node: str, question: bytes) -> bytes | None:  # noqa: ARG002 - nobody answers
        """Return None: there is no other node."""
        return None

    async def nodes(self) -> list[str]:
        """Return no names."""
        return []

    async def close(self) -> None:
        """Do nothing."""
