"""python -m benchmarks.simulate: one of 100 nodes with its share of 10 million streams, over the real audience code.

The node is the hub as it is served, with its index, accounts, judging, delivering and queues, on a real database; only
HTTP and sockets are left out: a stream ends in a sink that counts. Its 100,000 streams are drawn by a seed from
10 million; who hears a change on the other 99 is drawn the same way. With --write the figures go into simulation.json.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import usage
from benchmarks.parts import people, posts
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Record
from rowcast.schema.rows import new_record
from rowcast.storage.timed import BlockTimes
from tests.property.engine import Engine

FIGURES = Path(__file__).parent / "simulation.json"

NODES = 100
STREAMS = 10_000_000
_MEMBERS = 100
_SEED = 1
_DRAWS = 20
_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Shape:
    """How an application uses streams: its rule, what a stream asks for, and how many hear one change (0: all)"""

    name: str
    rule: str
    hearers: int
    topic: Callable[[int], str] = lambda _: "posts/*"
    changes: int = 200


def _room(stream: int) -> str:
    return f"posts/r{stream // _MEMBERS:014d}"


SHAPES = (
    Shape("own records", "owner = @request.auth.id", 1),
    Shape("one topic for each room of 100", "", _MEMBERS, topic=_room),
    Shape("rooms of 100 by a relation", "room.members.id ?= @request.auth.id", _MEMBERS, changes=100),
    Shape("a public feed", "", 0, changes=5),
)


class Figures(msgspec.Struct, frozen=True):
    """What a shape costs one node. CPU is in us for a change that somebody hears there, and for one that nobody does.

    `busiest` is how many streams of the busiest of all nodes hear a change, `nodes` how many have somebody who
    does, `asks` how often the database was asked for a change.
    """

    name: str
    streams: int
    heard_us: float
    unheard_us: float
    deliveries: float
    busiest: float
    nodes: float
    event_bytes: float
    stream_bytes: float
    asks: float


@dataclass(frozen=True, slots=True)
class _Told:
    """What a change cost: CPU in us, deliveries, and how often the database was asked."""

    cpu_us: float
    deliveries: float
    asks: float


class _Counting:
    """A sink that takes everything and keeps nothing but the count."""

    def __init__(self) -> None:
        self.size = 0

    def has_room(self) -> bool:
        """Whether there is room: always."""
        return True

    def write(self, data: bytes) -> bool:
        """Count."""
        self.size += len(data)
        return True

    def pending(self) -> int:
        """Return 0."""
        return 0

    def close(self, *, abort: bool) -> None:
        """Do nothing."""


async def play(shape: Shape, *, streams: int = STREAMS, nodes: int = NODES) -> Figures:
    """Fill a node with its share of the streams and tell it of changes."""
    chance = random.Random(_SEED)
    mine = chance.sample(range(streams), streams // nodes)
    sink = _Counting()
    async with Engine() as engine:
        accounts = people(engine, 1)
        sample = posts(engine, shape.rule, accounts)
        kind = engine.of("people")
        before = usage.resident_bytes(os.getpid())
        for number in mine:
            stream = engine.hub.connect(sink, address=f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
            engine.hub.subscribe(stream.id, [shape.topic(number)], auth=_account(kind, number), address=stream.address)
        stream_bytes = (usage.resident_bytes(os.getpid()) - before) / len(mine)
        hearing = set(mine)
        heard = [chance.choice(mine) for _ in range(shape.changes)]
        is_all = not shape.hearers or len(mine) == streams
        nobody = [] if is_all else [_unheard(chance, shape, streams, hearing) for _ in heard]
        if shape.hearers == _MEMBERS and shape.rule:
            await _store_rooms(engine, {number // _MEMBERS for number in (*heard, *nobody)})
        unheard = await _told(engine, sample, nobody)
        size = sink.size
        told = await _told(engine, sample, heard)
        return Figures(
            name=shape.name,
            streams=len(mine),
            heard_us=told.cpu_us,
            unheard_us=unheard.cpu_us,
            deliveries=told.deliveries,
            busiest=statistics.mean(max(_spread(chance, shape, streams, nodes)) for _ in range(_DRAWS)),
            nodes=statistics.mean(sum(map(bool, _spread(chance, shape, streams, nodes))) for _ in range(_DRAWS)),
            event_bytes=(sink.size - size) / max(1.0, told.deliveries * len(heard)),
            stream_bytes=stream_bytes,
            asks=told.asks,
        )


def _unheard(chance: random.Random, shape: Shape, streams: int, mine: set[int]) -> int:
    """Return a stream whose change nobody here hears."""
    while True:
        number = chance.randrange(streams)
        first = number - number % shape.hearers
        if not any(each in mine for each in range(first, first + shape.hearers)):
            return number


def _spread(chance: random.Random, shape: Shape, streams: int, nodes: int) -> list[int]:
    """How many streams of each node hear one change."""
    if not shape.hearers:
        return [streams // nodes] * nodes
    counts = [0] * nodes
    for _ in range(shape.hearers):
        counts[chance.randrange(nodes)] += 1
    return counts


async def _told(engine: Engine, sample: Change, numbers: list[int]) -> _Told:
    """Tell of a change for each of these streams, one after the other."""
    if not numbers:
        return _Told(0.0, 0.0, 0.0)
    changes = [_change(sample, number) for number in numbers]
    times = engine.storage.times = BlockTimes()
    sent, began = _sent(engine), time.process_time()
    for change in changes:
        engine.bus.publish((change,))
        await asyncio.wait_for(engine.bus.idle(), _WITHIN_S)
    cpu_s, count = time.process_time() - began, len(numbers)
    return _Told(cpu_s / count * 1e6, (_sent(engine) - sent) / count, sum(times.reads.counts) / count)


def _sent(engine: Engine) -> int:
    return sum(stream.sent_frames for stream in engine.hub)


def _change(sample: Change, number: int) -> Change:
    record = sample.record.copy()
    room = f"r{number // _MEMBERS:014d}"
    record.values |= {"id": room, "owner": _id(number), "room": room}
    return Change("create", record)


async def _store_rooms(engine: Engine, rooms: set[int]) -> None:
    """Store rooms with their members."""
    with engine.storage.write() as tx:
        for room in rooms:
            members = [_id(room * _MEMBERS + place) for place in range(_MEMBERS)]
            tx.run_many(
                "INSERT INTO people (id, email, tokenKey, team) VALUES (?, ?, ?, ?)",
                [(each, f"{each}@example.com", each, "") for each in members],
            )
            record = new_record(engine.of("rooms"))
            record.values |= {"id": f"r{room:014d}", "members": members}
            engine.records.save(tx, record, validate=False)


def _account(kind: Collection, number: int) -> Record:
    record = new_record(kind)
    record.values |= {"id": _id(number), "tokenKey": "k", "team": ""}
    return record


def _id(number: int) -> str:
    return f"p{number:014d}"


def _played(place: int, streams: int) -> Figures:
    return asyncio.run(play(SHAPES[place], streams=streams))


def main() -> None:
    """Simulate, print and, where it is asked for, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write simulation.json")
    parser.add_argument("--streams", type=int, default=STREAMS, help="how many there are on all nodes")
    options = parser.parse_args()
    figures = []
    # A process for each, so that memory is counted from the same start.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for place in range(len(SHAPES)):
            figures.append(pool.apply(_played, (place, options.streams)))
            print(figures[-1], flush=True)
    if options.write:
        FIGURES.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")


if __name__ == "__main__":
    main()
