"""Counting what somebody does in windows of time, and refusing what is too much.

Fixed windows: one begins with the first that is counted and ends after its duration.
`memory` counts in this process, `shared` for all processes of one data directory on one
machine. Memory and the time of a step are bounded in both, whatever keys come. A
window goes only when it is over, so nobody can make the server forget what somebody
else (or they themselves) have used up. While all windows are taken, new keys share
some thousand others by their hash: then one may be refused for another's requests.
"""

from __future__ import annotations

from typing import Protocol

Key = tuple[str, ...]


class Windows(Protocol):
    """Fixed windows by key. Safe to use from several threads."""

    is_shared: bool
    """Whether other processes count in the same windows."""

    def consume(self, key: Key, most: int, duration: float, now: float) -> bool:
        """Count one for a key; whether it is among the `most` of its window. `duration` and `now` in seconds."""
        ...

    def forget(self, key: Key) -> None:
        """End the window of a key; one that it shares with others stays."""
        ...

    def clear(self) -> None:
        """End all windows."""
        ...

    def close(self) -> None:
        """Give back what was taken from the system."""
        ...
