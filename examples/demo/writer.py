"""Changes the sample data again and again, for a bounded time, so that there is something to see.

Every kind of event occurs: records are created, updated and deleted, and a post that
becomes a draft leaves the streams of those who are not its owner. The number of
records stays bounded.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable

from examples.demo.client import Client
from examples.demo.data import TAGS, Sample

_MOST_COMMENTS = 20
_TEXTS = ("Agreed.", "Why not?", "Let me think.", "On my way.", "Thanks!", "Who has the key?")


class Writer:
    """Writes as a superuser, one record at a time; `random` decides what."""

    def __init__(self, client: Client, sample: Sample, *, random: random.Random) -> None:
        self._client = client
        self._sample = sample
        self._random = random
        self._comments: deque[str] = deque()
        self._note = client.create("announcements", text="The writer has started.")

    def run(self, *, seconds: float, per_s: float, sleep: Callable[[float], None] = time.sleep) -> int:
        """Write at this rate for this time and return how many writes were made. Raises RefusedError and OSError."""
        end = time.monotonic() + seconds
        count = 0
        while time.monotonic() < end:
            self.write()
            count += 1
            sleep(self._random.expovariate(per_s))
        return count

    def write(self) -> None:
        """Make one write."""
        self._random.choices((self._like, self._comment, self._turn, self._announce), (5, 4, 2, 1))[0]()

    def _like(self) -> None:
        tags = self._random.sample(TAGS, k=self._random.randint(1, 2))
        self._client.update("posts", self._post(), **{"likes+": 1, "tags": tags})

    def _comment(self) -> None:
        if len(self._comments) >= _MOST_COMMENTS or (self._comments and self._random.random() < 0.4):
            self._client.delete("comments", self._comments.popleft())
            return
        author, text = self._random.choice(self._sample.users), self._random.choice(_TEXTS)
        self._comments.append(self._client.create("comments", post=self._post(), author=author, text=text))

    def _turn(self) -> None:
        self._client.update("posts", self._post(), state=self._random.choice(("draft", "public", "public")))

    def _announce(self) -> None:
        self._client.update("announcements", self._note, text=f"It is {time.strftime('%H:%M:%S')}.")

    def _post(self) -> str:
        return self._random.choice(self._sample.posts)
