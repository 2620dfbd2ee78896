"""Carries out a scenario on the engine and compares what streams got with what asking says."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Set
from dataclasses import replace
from itertools import zip_longest

import msgspec
import pytest

from rowcast.credentials import hash_password
from rowcast.errors import ApiError, ForbiddenError
from rowcast.realtime.changelog import parse_position
from rowcast.schema.record import Change, Position, Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import new_record, to_row
from rowcast.sql import quote
from rowcast.storage import Reader, Transaction
from tests.property.asking import Asking, Event, Listener, Question
from tests.property.engine import Engine, record_ids
from tests.property.scenarios import (
    SUPERUSERS,
    Burst,
    Commit,
    Leave,
    NewRule,
    NewSecret,
    Resume,
    Scenario,
    Subscribe,
    Write,
)
from tests.property.worlds import NAMES, collection_id, values

HASH = hash_password("correct horse", 4)

Told = tuple[list[Change], dict[str, list[list[Event]]]]
"""The changes of some commits and, for each stream and each of them, the events."""


async def play(scenario: Scenario, database: str = "") -> int:
    """Carry out a scenario and return how many events streams got."""
    async with Engine(budget_s=scenario.budget_s, database=database) as engine:
        one = Play(engine, scenario)
        await one.run()
        return one.told


class Play:
    """Carries out a scenario and compares."""

    def __init__(self, engine: Engine, scenario: Scenario) -> None:
        self.engine = engine
        self.scenario = scenario
        self.asking = Asking()
        self.told = 0
        self.history: list[Change] = []
        # By stream with a cursor: the positions from which it may resume, the latest first.
        self.positions: dict[str, list[Position]] = {}

    async def run(self) -> None:
        self._build()
        await self.engine.settle()
        for step in self.scenario.steps:
            match step:
                case Commit():
                    await self._settle_and_compare([self._commit(step)])
                case Burst():
                    await self._burst(step)
                case Subscribe():
                    self._subscribe(step)
                case Leave():
                    self._leave(f"stream {step.stream}")
                case Resume():
                    await self._resume(f"stream {step.stream}", step.place)
                case NewRule():
                    self.engine.collections.update(step.collection, {step.name: step.rule})
                case NewSecret():
                    self._renew_secret(step)
            await self.engine.settle()
            for name in self.asking.listeners:
                self._compare(name, [], [])
            self._check_connections()

    def _check_connections(self) -> None:
        """States before writes are connections where there is a server, of which there are few: none is left behind."""
        pool = self.engine.storage.connections().get("snapshots")
        assert pool is None or pool.busy == 0

    def _build(self) -> None:
        bodies = [dict(body) for body in self.scenario.schema.bodies]
        self.engine.collections.import_({"collections": bodies, "deleteMissing": False})
        ruled = [{**body, **self.scenario.rules[body["name"]]} for body in bodies]
        self.engine.collections.import_({"collections": ruled, "deleteMissing": False})
        with self.engine.storage.write() as tx:
            root = new_record(self.engine.of(SUPERUSERS))
            root.set("email", "root@example.com")
            root.values["password"] = HASH
            self.engine.records.save(tx, root)
        for write in self.scenario.records:
            with self.engine.storage.write() as tx:
                self._write(tx, write)
        self.engine.committed.clear()

    def _ids(self) -> dict[str, list[str]]:
        return {name: self.engine.ids(name) for name in NAMES}

    def _commit(self, step: Commit) -> Told:
        engine = self.engine
        with engine.storage.read() as before:
            # The first read takes the snapshot.
            before.value("SELECT count(*) FROM _collections")
            try:
                with engine.storage.write() as tx:
                    for write in step.writes:
                        self._write(tx, write)
            except ApiError:
                assert engine.committed == []
            changes, engine.committed = engine.committed, []
            with engine.storage.read() as after:
                self._check_last_images(changes, Question(engine.catalog.current, after, RequestInfo()))
                told = [self._as_told(change, after) for change in changes]
                expected = self.asking.events(told, engine.catalog.current, before, after)
        self.history += changes
        return changes, expected

    def _as_told(self, change: Change, after: Reader) -> Change:
        """Return a change as the hub hears of it: the log says of an account which key it has when that is read."""
        record = change.record
        if self.engine.follower is None or change.action != "update" or not record.collection.is_auth:
            return change
        key = after.value(f'SELECT "tokenKey" FROM {quote(record.collection.name)} WHERE "id" = ?', [record.id])
        return msgspec.structs.replace(change, record=replace(record, values={**record.values, "tokenKey": key or ""}))

    async def _burst(self, step: Burst) -> None:
        """Make all commits before, or while, the hub tells them."""
        accounts = {name: listener.account for name, listener in self.asking.listeners.items()}

        def make() -> list[Told]:
            told = []
            for part in step.parts:
                if isinstance(part, Commit):
                    told.append(self._commit(part))
                else:
                    self._renew_secret(part)
            return told

        told = await asyncio.to_thread(make) if step.in_thread else make()
        ended = {name for name, listener in self.asking.listeners.items() if listener.account != accounts[name]}
        # Where the log is read, that a token has ended may be known before the change that ended it is told.
        await self._settle_and_compare(told, ended if self.engine.follower is not None else set())

    async def _settle_and_compare(self, told: list[Told], ended: Set[str] = frozenset()) -> None:
        await self.engine.settle()
        changes = [change for part, _ in told for change in part]
        for name in ended:
            self.engine.received(name)
        for name in self.asking.listeners.keys() - ended:
            self._compare(name, changes, [events for _, expected in told for events in expected[name]])

    def _renew_secret(self, step: NewSecret) -> None:
        self.engine.collections.update(step.collection, {"authToken": {"secret": os.urandom(25).hex()}})
        self.asking.revoke(collection_id(step.collection))

    def _check_last_images(self, changes: list[Change], after: Question) -> None:
        """The changes of a commit say what it left behind."""
        last = {(change.record.collection.id, change.record.id): change for change in changes}
        for change in last.values():
            stored = after.stored(change.record.collection, change.record.id)
            assert stored == (None if change.action == "delete" else to_row(change.record))

    def _write(self, tx: Transaction, write: Write) -> None:
        engine = self.engine
        collection = engine.of(write.collection)
        ids = {name: record_ids(tx, name) for name in NAMES}
        if write.kind == "create":
            record = new_record(collection)
            if collection.is_auth:
                record.set("email", f"{len(ids[write.collection])}-{os.urandom(3).hex()}@example.com")
                record.values["password"] = HASH
        else:
            known = ids[write.collection]
            found = engine.records.find(tx, collection, known[write.place % len(known)]) if known else None
            if found is None:
                return
            record = found
        if write.kind == "delete":
            engine.records.delete_record(tx, record)
            return
        if write.kind == "rekey":
            if collection.is_auth:
                record.refresh_token_key()
        else:
            for name, value in values(self.scenario.schema, write.collection, write.seed, ids).items():
                record.set(name, value)
        engine.records.save(tx, record)

    def _subscribe(self, step: Subscribe) -> None:
        name = f"stream {step.stream}"
        if name not in self.asking.listeners:
            start = self.engine.log.start(None)[0] if step.has_cursor else None
            self.engine.connect(name, start)
            self.positions[name] = [start] if start is not None else []
            self.asking.listeners[name] = Listener(has_cursor=step.has_cursor)
        account = self._account(step.who, step.place)
        ids = self._ids()
        texts = [topic.text(ids) for topic in step.topics]
        if self.asking.subscribe(name, texts, account):
            self.engine.subscribe(name, texts, account)
        else:
            with pytest.raises(ForbiddenError):
                self.engine.subscribe(name, texts, account)

    def _leave(self, name: str) -> None:
        if name in self.asking.listeners:
            stream, _ = self.engine.streams.pop(name)
            self.engine.hub.disconnect(stream)
            del self.asking.listeners[name]

    async def _resume(self, name: str, place: int) -> None:
        listener = self.asking.listeners.get(name)
        if listener is None or not listener.has_cursor:
            return
        topics, key = listener.topics, listener.account
        self._leave(name)
        known = self.positions[name]
        asked = known[-1 - place % len(known)]
        start, is_resumed = self.engine.log.start(asked)
        assert is_resumed
        assert start == asked
        self.engine.connect(name, start)
        self.asking.listeners[name] = Listener(has_cursor=True)
        account = self.engine.find(self.engine.of(key[0]), key[1]) if key is not None else None
        self.asking.subscribe(name, topics, account)
        self.engine.subscribe(name, topics, account)
        missed = [change for change in self.history if change.position and change.position.number > start.number]
        with self.engine.storage.read() as now:
            expected = self.asking.replayed(name, missed, self.engine.catalog.current, now)
        await self.engine.settle()
        self._compare(name, missed, expected)

    def _account(self, who: str, place: int) -> Record | None:
        if who == "guest":
            return None
        ids = self.engine.ids(who)
        return self.engine.find(self.engine.of(who), ids[place % len(ids)]) if ids else None

    def _compare(self, name: str, changes: list[Change], expected: list[list[Event]]) -> None:
        frames = [frame for frame in self.engine.received(name) if frame["event"] != "PB_CURSOR"]
        stream, _ = self.engine.streams[name]
        got = [(frame["event"], frame["data"]) for frame in frames]
        self.told += len(got)
        if self.asking.listeners[name].has_cursor:
            got = self._without_cursors(name, frames, changes, expected)
        else:
            assert all(frame["id"] == stream.id for frame in frames)
        rest = list(got)
        for change, events in zip(changes, expected, strict=True):
            here, rest = rest[: len(events)], rest[len(events) :]
            assert sorted(here) == sorted(events), self._told(name, change, got)
        assert rest == [], self._told(name, None, got)

    def _without_cursors(
        self, name: str, frames: list[Mapping[str, str]], changes: list[Change], expected: list[list[Event]]
    ) -> list[Event]:
        """Return the events as a plain stream would get them; checks ids and cursors."""
        told_by = [change.position for change, events in zip(changes, expected, strict=True) for _ in events]
        found, behind = [], 0
        for frame, position, following in zip_longest(frames, told_by, told_by[1:]):
            assert frame is not None, f"{name} did not get the event of {position}"
            assert position is not None, self._told(name, None, [(frame["event"], frame["data"])])
            data, _, cursor = frame["data"].rpartition(',"cursor":')
            assert cursor == f'"{position}"}}'
            found.append((frame["event"], data + "}"))
            resumes_from = parse_position(frame["id"])
            assert resumes_from is not None
            if following == position:
                # A cut here must bring the change again, and none before it.
                assert behind <= resumes_from.number < position.number
            else:
                assert resumes_from == position
                behind = position.number
            self.positions[name].append(resumes_from)
        return found

    def _told(self, name: str, change: Change | None, got: list[Event]) -> str:
        listener = self.asking.listeners[name]
        what = f"{change.action} of {change.record.collection.name} {change.record.values}" if change else "nothing"
        return f"{name} of {listener.account} with {listener.topics} got {got} at {what}"
