"""How far a stream was told. Pure; positions are opaque texts.

Several topics may get an event of the same change, each with the same position, and a
connection may break between them. So a stream resumes behind the change before the last
one, and the topics that already had the last one are kept, for their events come again.
"""

from __future__ import annotations


class Progress:
    """The progress of a client; it outlives the connections."""

    def __init__(self) -> None:
        self._settled = ""
        self._last = ""
        self._told: set[str] = set()
        self._repeated_cursor = ""
        self._repeated_topics: frozenset[str] = frozenset()

    @property
    def cursor(self) -> str:
        """The position that the next stream has to start behind; empty if it may start anywhere."""
        return self._settled

    def advance(self, cursor: str, topic: str) -> None:
        """Note that `topic` was told of the change at `cursor`."""
        if cursor != self._last:
            self._settled = self._last or self._settled
            self._last = cursor
            self._told.clear()
        self._told.add(topic)

    def reach(self, cursor: str) -> None:
        """Note that everything up to `cursor` was told."""
        self._settled, self._last = cursor, ""
        self._told.clear()

    def restart(self, cursor: str) -> None:
        """Go on from `cursor`, whatever was before; empty: know nothing any more."""
        self.reach(cursor)
        self._repeated_cursor, self._repeated_topics = "", frozenset()

    def resume(self) -> None:
        """Note that a stream goes on from `cursor`: what was told of the last change comes again."""
        self._repeated_cursor, self._repeated_topics = self._last, frozenset(self._told)

    def is_repeated(self, cursor: str, topic: str) -> bool:
        """Whether an event was told before the connection broke."""
        return bool(cursor) and cursor == self._repeated_cursor and topic in self._repeated_topics
