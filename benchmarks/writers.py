"""Processes that write as a node does, without HTTP and without the checks of a request: records, log, hint.

So many changes a second can be written on a small machine that what is measured is how the nodes follow.
"""

from __future__ import annotations

import gc
import multiprocessing
import secrets
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import redis

from benchmarks.fleet import Fleet
from benchmarks.ground import Ground
from benchmarks.loads import Row, row_of
from benchmarks.scenarios import Scenario, set_up
from benchmarks.streams import Audience
from benchmarks.wire import LoadError
from rowcast.bus.redis import RedisLink
from rowcast.bus.redis_address import parse
from rowcast.realtime.changelog import ChangeLog, Retention
from rowcast.realtime.numbers import numbers_of
from rowcast.realtime.stream import new_node
from rowcast.records.shapes import shape_of
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.record import Change
from rowcast.schema.rows import new_record, to_row
from rowcast.storage.directory import DataDir, open_directory

_SIZE = 50
_LONGER_S = 10.0


@dataclass(frozen=True, slots=True)
class _Written:
    """What one writer did."""

    commits: int
    cpu_s: float
    seconds: float
    waits_ms: list[float]


def steady(fleet: Fleet, ground: Ground, *, rate_per_s: float, seconds: float) -> Row:
    """Have as many writers as there are nodes write at a rate; the nodes follow. Raises LoadError."""
    name, count = "direct", len(fleet.ports)
    scenario = Scenario(name, "public", streams=count)
    stage = set_up(fleet.ports[0], scenario, ground, collection=name)
    audiences = [Audience(port, [stage.seat(scenario, 0)]) for port in fleet.ports]
    spawn = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    for _ in range(count):
        mine, theirs = spawn.Pipe()
        arguments = (str(fleet.data_dir), fleet.database, fleet.bus, name, rate_per_s / count / _SIZE, seconds, theirs)
        spawn.Process(target=_write, args=arguments, daemon=True).start()
        theirs.close()
        pipes.append(mine)
    for pipe in pipes:
        _expect(pipe)
    cpu_s, database_cpu_s, began = fleet.cpu_s(), fleet.database_cpu_s(), time.monotonic()
    for pipe in pipes:
        pipe.send("go")
    written: list[_Written] = [_expect(pipe, seconds + _LONGER_S) for pipe in pipes]
    written_s = max(each.seconds for each in written)
    changes = sum(each.commits for each in written) * _SIZE
    ended_s = max(audience.wait_for(changes) for audience in audiences) - began
    used_s, database_used_s = fleet.cpu_s() - cpu_s, fleet.database_cpu_s() - database_cpu_s
    heard = [audience.close() for audience in audiences]
    return row_of(
        fleet, heard, [wait for each in written for wait in each.waits_ms],
        load=f"writers beside them, {rate_per_s:,.0f}/s", asked_per_s=rate_per_s,
        commits=sum(each.commits for each in written), changes=changes, streams=count, expected=changes * count,
        written_s=written_s, ended_s=ended_s, cpu_s=used_s, database_cpu_s=database_used_s,
    )  # fmt: skip


def _expect(pipe: Connection, within_s: float = 30.0) -> _Written:
    if not pipe.poll(within_s):
        raise LoadError("a writer said nothing in time")
    try:
        said: _Written = pipe.recv()
    except EOFError:
        raise LoadError("a writer failed") from None
    return said


def _write(
    data_dir: str, database: str, bus: str, name: str, rate_per_s: float, seconds: float, pipe: Connection
) -> None:
    """Run one writer: get ready, tell, write when told to, tell what was done."""
    directory = open_directory(Path(data_dir), database=database)
    # As `serve` does.
    gc.freeze()
    storage = directory.data
    catalog = CatalogRef(directory.catalog, storage.dialect)
    log = ChangeLog(storage, catalog, Retention(), numbers_of(storage))
    log.store()
    address = parse(bus)
    host, port = address.hosts[0]
    # It tells, as a node does; what all nodes hear is heard by the nodes.
    with redis.Redis(host=host, port=port, db=address.db) as client:
        hints_channel = RedisLink(new_node(), address).hints_channel

        def hint(_: object) -> None:
            client.publish(hints_channel, "writer")

        storage.before_commit, storage.publish = log.record, hint
        pipe.send("ready")
        pipe.recv()
        pipe.send(_paced(directory, catalog, name, rate_per_s, seconds))
    directory.close()


def _paced(directory: DataDir, catalog: CatalogRef, name: str, rate_per_s: float, seconds: float) -> _Written:
    collection = catalog.current.find(name)
    if collection is None:
        raise LoadError(f"there is no collection {name}")
    insert = shape_of(collection, directory.data.dialect).insert
    waits_ms: list[float] = []
    began, cpu_s, done = time.perf_counter(), time.process_time(), 0
    while (now := time.perf_counter() - began) < seconds:
        if done / rate_per_s > now:
            time.sleep(done / rate_per_s - now)
        asked = time.perf_counter()
        sent = time.time_ns() // 1000
        with directory.data.write() as tx:
            rows = []
            for _ in range(_SIZE):
                record = new_record(collection)
                record.values |= {"id": secrets.token_hex(8)[:15], "title": "x" * 100, "sent": sent, "seq": done}
                rows.append(list(to_row(record).values()))
                tx.changes.append(Change("create", record))
            tx.run_many(insert, rows)
        waits_ms.append((time.perf_counter() - asked) * 1000)
        done += 1
    return _Written(done, time.process_time() - cpu_s, time.perf_counter() - began, waits_ms)
