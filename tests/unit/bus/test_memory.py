"""The in-process bus: order, and no lost wake-up."""

from __future__ import annotations

import asyncio
import threading

from rowcast.bus import CollectionChange
from rowcast.bus.memory import MemoryBus
from rowcast.schema.collection import Collection


def event(number: int) -> CollectionChange:
    return CollectionChange(Collection(id=str(number)), None)


def test_events_come_in_the_order_of_publishing_and_together() -> None:
    async def scenario() -> list[str]:
        bus = MemoryBus()
        bus.publish([event(1), event(2)])
        bus.publish([event(3)])
        return [e.before.id for e in await bus.receive() if isinstance(e, CollectionChange)]

    assert asyncio.run(scenario()) == ["1", "2", "3"]


def test_a_waiting_reader_is_woken_from_another_thread_and_loses_nothing() -> None:
    count = 2000

    async def scenario() -> list[int]:
        bus = MemoryBus()

        def write() -> None:
            for number in range(count):
                bus.publish([event(number)])

        thread = threading.Thread(target=write)
        seen: list[int] = []
        thread.start()
        async with asyncio.timeout(10):
            while len(seen) < count:
                seen += [int(e.before.id) for e in await bus.receive() if isinstance(e, CollectionChange)]
        thread.join()
        return seen

    assert asyncio.run(scenario()) == list(range(count))
