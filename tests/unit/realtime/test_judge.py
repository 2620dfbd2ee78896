"""Judging asks the database only where a rule needs it, and leaves one that is slow alone; nothing is lost by that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from rowcast.realtime import judge
from rowcast.realtime.tally import Measured
from rowcast.schema.record import Record
from rowcast.schema.rows import new_record
from rowcast.storage.timed import BlockTimes
from tests import postgres
from tests.property.engine import Engine

RELATION = '@collection.rooms.name ?= "open"'


def named(engine: Engine, collection: str, name: str) -> Record:
    record = new_record(engine.of(collection))
    record.set("name", name)
    return record


async def listen(engine: Engine, rule: str) -> None:
    """Have a guest listen to the records of a collection that a rule guards."""
    name = {"name": "name", "type": "text"}
    engine.collections.create({"name": "rooms", "type": "base", "fields": [name]})
    with engine.storage.write() as tx:
        engine.records.save(tx, named(engine, "rooms", "open"))
    engine.collections.create({"name": "posts", "type": "base", "listRule": rule, "fields": [name]})
    await engine.settle()
    engine.connect("it")
    engine.subscribe("it", ["posts/*"], None)


def write(engine: Engine, count: int) -> None:
    with engine.storage.write() as tx:
        for number in range(count):
            engine.records.save(tx, named(engine, "posts", f"n{number}"))


def heard(engine: Engine) -> list[str]:
    return [frame["data"].partition('"name":"')[2].partition('"')[0] for frame in engine.received("it")]


@pytest.mark.parametrize(("rule", "blocks"), [("", 0), ('name != "x"', 0), (RELATION, 3)])
def test_only_rules_that_need_rows_open_a_block(rule: str, blocks: int) -> None:
    async def story() -> None:
        async with Engine() as engine:
            await listen(engine, rule)
            times = engine.storage.times = BlockTimes()
            write(engine, 3)
            await engine.settle()
            assert heard(engine) == ["n0", "n1", "n2"]
            assert sum(times.reads.counts) == blocks

    asyncio.run(story())


def test_a_slow_answer_is_followed_by_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "_SLOW_S", 0.0)

    async def story(rule: str) -> tuple[float, int]:
        async with Engine() as engine:
            engine.hub.tally = tally = engine.hub.judge.tally = Measured()
            await listen(engine, rule)
            write(engine, 100)
            await engine.settle()
            assert heard(engine) == [f"n{number}" for number in range(100)]
            return tally.rested_s, sum(tally.asking.counts)

    rested_s, asked = asyncio.run(story(RELATION))
    assert rested_s > 0
    assert asked == 100
    assert asyncio.run(story("")) == (0.0, 0)


@pytest.fixture
def database() -> Iterator[str]:
    url = postgres.new_database()
    yield f"{url}{'&' if '?' in url else '?'}pool_size=3&snapshots=1&pool_timeout=5"
    postgres.drop_database(url)


SLOW = "SELECT id, (CASE WHEN pg_sleep(0.12)::text = '' THEN 'open' ELSE '' END) AS word FROM rooms"


def test_a_slow_rule_keeps_no_request_from_the_database(database: str) -> None:
    """One connection of three is at it, and never more."""

    async def story() -> None:
        async with Engine(database=database) as engine:
            await listen(engine, "")
            engine.collections.create({"name": "slow", "type": "view", "viewQuery": SLOW})
            engine.collections.update("posts", {"listRule": '@collection.slow.word ?= "open"'})
            await engine.settle()
            began = time.monotonic()
            write(engine, 6)
            longest_s, most = 0.0, 0
            settled = asyncio.ensure_future(engine.settle())
            while not settled.done():
                asked = time.monotonic()
                most = max(most, await asyncio.to_thread(_sleepers, engine))
                longest_s = max(longest_s, time.monotonic() - asked)
            assert heard(engine) == [f"n{number}" for number in range(6)]
            assert most == 1
            assert longest_s < 3
            # Each change took a sleep, and as long a rest.
            assert time.monotonic() - began > 6 * 2 * 0.12

    asyncio.run(story())


def _sleepers(engine: Engine) -> int:
    """How many connections are asked by a rule; asked over the pool of the requests."""
    with engine.storage.read() as reader:
        found = reader.value(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'"
            " AND datname = current_database()"
        )
    return int(found or 0)


@pytest.mark.parametrize(
    ("rule", "heard_by"),
    [
        ("room.members.id ?= @request.auth.id", [0, 1, 2]),
        ("room.members.id ?= @request.auth.id && room.name = 'r'", [0, 1, 2]),
        ("room.members.id ?= @request.auth.id && room.name = 'x'", []),
        ("room.members.team ?= @request.auth.team", [0, 1, 2, 40]),
        ("@request.auth.id ?= room.members.id || team = @request.auth.team", [0, 1, 2, 40]),
        ("room.members.id = @request.auth.id", []),
        ("room.lead.id = @request.auth.id", [1]),
        ("room.seats_via_room.who ?= @request.auth.id", [3]),
    ],
)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_rule_over_relations_finds_its_accounts_among_many(rule: str, heard_by: list[int], kind: str) -> None:
    async def story(database: str) -> list[int]:
        async with Engine(database=database) as engine:
            make_rooms(engine, rule)
            accounts = [new_record(engine.of("people")) for _ in range(60)]
            for number, account in enumerate(accounts):
                account.values |= {"id": f"p{number:014d}", "team": {40: "t0"}.get(number, f"t{number}")}
                account.values["tokenKey"] = f"k{number}"
            store_room(engine, accounts)
            for number, account in enumerate(accounts):
                engine.connect(str(number))
                engine.subscribe(str(number), ["posts/*"], account)
            post = new_record(engine.of("posts"))
            post.values |= {"id": "a00000000000000", "room": "r00000000000000", "team": "t0"}
            with engine.storage.write() as tx:
                engine.records.save(tx, post, validate=False)
            await engine.settle()
            return [number for number in range(60) if engine.received(str(number))]

    database = postgres.new_database() if kind == "postgres" else ""
    assert asyncio.run(story(database)) == heard_by
    if database:
        postgres.drop_database(database)


def make_rooms(engine: Engine, rule: str) -> None:
    team = {"name": "team", "type": "text"}
    engine.collections.create({"name": "people", "type": "auth", "fields": [team]})
    person = {"type": "relation", "collectionId": engine.of("people").id}
    fields = [
        {"name": "name", "type": "text"},
        {**person, "name": "members", "maxSelect": 99},
        {**person, "name": "lead", "maxSelect": 1},
    ]
    engine.collections.create({"name": "rooms", "type": "base", "fields": fields})
    room = {"name": "room", "type": "relation", "collectionId": engine.of("rooms").id, "maxSelect": 1}
    engine.collections.create({"name": "seats", "type": "base", "fields": [room, {"name": "who", "type": "text"}]})
    engine.collections.create({"name": "posts", "type": "base", "fields": [room, team], "listRule": rule})


def store_room(engine: Engine, accounts: list[Record]) -> None:
    """Store a room of the first three accounts, which the second leads, and a seat of the fourth in it."""
    with engine.storage.write() as tx:
        for account in accounts[:3]:
            row = [account.id, f"{account.id}@example.com", account.text("tokenKey"), account.text("team")]
            tx.run('INSERT INTO people (id, email, "tokenKey", team) VALUES (?, ?, ?, ?)', row)
        room, seat = new_record(engine.of("rooms")), new_record(engine.of("seats"))
        room.values |= {"id": "r00000000000000", "name": "r", "members": [account.id for account in accounts[:3]]}
        room.values["lead"] = accounts[1].id
        seat.values |= {"id": "s00000000000000", "room": room.id, "who": accounts[3].id}
        engine.records.save(tx, room, validate=False)
        engine.records.save(tx, seat, validate=False)
