"""Leave events where the same transaction takes away what the rule read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from rowcast.credentials import hash_password
from rowcast.schema.record import Record
from rowcast.schema.rows import new_record
from tests.property import emptied
from tests.property.engine import Engine

TOPIC = "{}/*?options=%7B%22query%22%3A%7B%22leave%22%3A%22true%22%7D%7D"
HASH = hash_password("correct horse", 4)


def collection(
    name: str, *fields: Mapping[str, object], rule: str | None = "", kind: str = "base"
) -> dict[str, object]:
    return {"id": f"{name}0000000000000000"[:15], "name": name, "type": kind, "fields": list(fields), "listRule": rule}


def add(engine: Engine, name: str, **values: object) -> Record:
    record = new_record(engine.of(name))
    for key, value in values.items():
        record.set(key, value)
    if record.collection.is_auth:
        record.values["password"] = HASH
    with engine.storage.write() as tx:
        engine.records.save(tx, record)
    return record


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return ""
    url: str = request.getfixturevalue("postgres_database")
    emptied.empty(url)
    return url


async def actions(engine: Engine) -> list[str]:
    await engine.settle()
    return [frame["data"].rpartition('"action":')[2] for frame in engine.received("stream")]


def test_leave_is_told_when_the_related_record_is_deleted(database: str) -> None:
    async def play() -> list[str]:
        async with Engine(database=database) as engine:
            room = {"type": "relation", "name": "room", "collectionId": "rooms0000000000", "maxSelect": 1}
            rooms = collection("rooms", {"type": "text", "name": "title"})
            posts = collection("posts", room, rule='room.title = "open"')
            engine.collections.import_({"collections": [rooms, posts]})
            opened = add(engine, "rooms", title="open")
            add(engine, "posts", room=opened.id)
            await engine.settle()
            engine.connect("stream")
            engine.subscribe("stream", [TOPIC.format("posts")], None)
            with engine.storage.write() as tx:
                found = engine.records.find(tx, engine.of("rooms"), opened.id)
                assert found is not None
                engine.records.delete_record(tx, found)
            return await actions(engine)

    assert asyncio.run(play()) == ['"leave"}']


def test_leave_is_told_when_an_account_takes_its_own_right_away(database: str) -> None:
    async def play() -> list[str]:
        async with Engine(database=database) as engine:
            people = collection(
                "people", {"type": "bool", "name": "open"}, rule="@request.auth.open = true", kind="auth"
            )
            engine.collections.import_({"collections": [people]})
            ann = add(engine, "people", email="ann@example.com", open=True)
            await engine.settle()
            engine.connect("stream")
            engine.subscribe("stream", [TOPIC.format("people")], engine.find(engine.of("people"), ann.id))
            with engine.storage.write() as tx:
                found = engine.records.find(tx, engine.of("people"), ann.id)
                assert found is not None
                found.set("open", False)
                engine.records.save(tx, found)
            return await actions(engine)

    assert asyncio.run(play()) == ['"leave"}']
