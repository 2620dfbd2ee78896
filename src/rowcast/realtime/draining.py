"""Ending many streams so that their clients do not come back all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from rowcast.realtime.stream import Stream

_STREAMS_PER_S = 2_000
"""How fast streams are ended at most: each of their clients connects again and asks for its topics."""

_STEPS_PER_S = 20


async def end_gently(streams: Iterable[Stream], over_s: float) -> None:
    """End streams at an even pace over `over_s` seconds, or longer where they are many."""
    ending = tuple(streams)
    took_s = max(over_s, len(ending) / _STREAMS_PER_S)
    steps = max(1, round(took_s * _STEPS_PER_S))
    for step in range(steps):
        for stream in ending[len(ending) * step // steps : len(ending) * (step + 1) // steps]:
            stream.close("stop")
        if took_s >= 1 / _STEPS_PER_S:
            await asyncio.sleep(took_s / steps)
