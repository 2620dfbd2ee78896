"""Questions between nodes over whatever carries single messages, and their answers.

A message is an `ask`, an `answer` or a `refuse`, with a number that the asking node chose. Whoever asks
gets None where no answer comes in time. Everything is bounded: how many questions are under way, how large
they and their answers are, and how long an answer may take.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import re
from typing import Protocol

from rowcast.bus import Answer, LinkCounts

_log = logging.getLogger("rowcast.bus")

ANSWER_S = 5.0
MAX_BYTES = 8 << 20
_MAX_ASKED = 256
_MAX_ANSWERING = 1024
_MAX_ANSWERING_AT_ONCE = 32
_MAX_ANSWERING_BYTES = 64 << 20

NODE = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
"""What a node may be called."""


class Send(Protocol):
    """Sends a message to one node; False where it is certain that nobody got it."""

    async def __call__(self, node: str, kind: str, number: str, body: bytes) -> bool:
        """Send it."""
        ...


class Questions:
    """What this node has asked and what it is asked. Owned by the event loop."""

    def __init__(self, counts: LinkCounts, send: Send) -> None:
        self._counts = counts
        self._send = send
        self._numbers = itertools.count(1)
        self._asked: dict[tuple[str, str], asyncio.Future[bytes | None]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._answering_bytes = 0
        self._turns_asking = asyncio.Semaphore(_MAX_ASKED)
        self._turns_answering = asyncio.Semaphore(_MAX_ANSWERING_AT_ONCE)

    async def ask(self, node: str, question: bytes) -> bytes | None:
        """Return what another node answers, None where it can't be asked, is gone or too slow."""
        if not NODE.fullmatch(node) or len(question) > MAX_BYTES:
            return None
        number = f"{next(self._numbers):x}"
        answered: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._asked[node, number] = answered
        try:
            async with asyncio.timeout(ANSWER_S), self._turns_asking:
                if not await self._send(node, "ask", number, question):
                    return None
                return await answered
        except TimeoutError:
            return None
        finally:
            self._asked.pop((node, number), None)

    def take(self, node: str, kind: str, number: str, body: bytes, answer: Answer) -> None:
        """Take a message that a node has sent; one too many is passed over."""
        if kind != "ask":
            answered = self._asked.get((node, number))
            if answered is not None and not answered.done():
                answered.set_result(body if kind == "answer" else None)
        elif len(self._answering) < _MAX_ANSWERING and self._answering_bytes + len(body) <= _MAX_ANSWERING_BYTES:
            self._answering_bytes += len(body)
            task = asyncio.create_task(self._answer(node, number, body, answer))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            self._counts.answered += 1
        else:
            self._counts.dropped += 1

    def give_up(self) -> None:
        """Have those who wait for an answer wait no longer: none can come."""
        for answered in self._asked.values():
            if not answered.done():
                answered.set_result(None)

    async def close(self) -> None:
        """Answer nobody any more."""
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    async def _answer(self, node: str, number: str, question: bytes, answer: Answer) -> None:
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_S), self._turns_answering:
                    said = await answer(question)
                    if len(said) > MAX_BYTES:
                        await self._send(node, "refuse", number, b"")
                    else:
                        await self._send(node, "answer", number, said)
        except Exception:  # noqa: BLE001 - a bad question must not be told as a bad connection
            _log.exception("a question of another node failed")
        finally:
            self._answering_bytes -= len(question)
