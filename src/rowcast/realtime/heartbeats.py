"""Heartbeats: how idle streams stay open through proxies, and old ones end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from rowcast.realtime.stream import Stream
from rowcast.schema.record import Position

_BEATS = 50
"""In how many steps the heartbeats of a period go out, so that streams do not wake all at once."""


async def beat(streams: Iterable[Stream], period_s: float, position: Callable[[], Position]) -> None:
    """Send heartbeats with the present position, and end streams that are too old, until cancelled."""
    while True:
        present = tuple(streams)
        for step in range(_BEATS):
            now = time.monotonic()
            for stream in present[step::_BEATS]:
                if now > stream.ends_at:
                    stream.close("aged")
                stream.beat(position())
            await asyncio.sleep(period_s / _BEATS)
