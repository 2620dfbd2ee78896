"""What the soak runs on: collections with rules of each kind, accounts, topics, and who may see what.

`tells` decides it again from the values in the log. The rights of some change while the soak runs: one
account changes its team, one its password, and one collection its rule (see `rights`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Set
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from tests.e2e.client import Api
from tests.soak.checker import Change, Client, Session
from tests.soak.rights import Rights, View

PASSWORD = "correct horse"
PEOPLE = {"ann": "red", "bob": "red", "cid": "blue", "dan": "blue", "eve": "red", "fay": "red"}
GUEST, ROOT = "guest", "root"
REVOKER, MOVER = "eve", "fay"
"""Who loses all tokens now and then, and who changes the team."""

ROOMS = {"hall": ("ann", "cid"), "attic": ("bob",), "cellar": ("ann", "bob", "dan")}
KINDS = ("a", "b")
TURNS = ("owner = @request.auth.id", "team = @request.auth.team", "@request.auth.id != ''", None)
"""The rules that `turns` has, one after the other."""

RULES = {
    "notes": "",
    "mine": "owner = @request.auth.id",
    "teams": "team = @request.auth.team && kind = 'a'",
    "halls": "@request.auth.id != '' && room.members.id ?= @request.auth.id",
    "turns": TURNS[0],
}
WRITTEN = tuple(RULES)


@dataclass(frozen=True, slots=True)
class Topic:
    """What a subscription string asks for."""

    collection: str
    filter_kind: str = ""
    hears_leave: bool = False

    @property
    def text(self) -> str:
        query = {"filter": f"kind = '{self.filter_kind}'"} if self.filter_kind else {}
        query |= {"leave": "true"} if self.hears_leave else {}
        return f"{self.collection}/*" + (f"?options={quote(json.dumps({'query': query}))}" if query else "")


_TOPICS = tuple(
    Topic(collection, kind, leave) for collection in WRITTEN for kind in ("", "a") for leave in (False, True)
)
TOPICS = {topic.text: topic for topic in _TOPICS}

CHOICES: tuple[tuple[str, ...], ...] = tuple(
    tuple(topic.text for topic in topics)
    for topics in (
        [Topic("notes")],
        [Topic("mine"), Topic("mine", hears_leave=True)],
        [Topic("teams", hears_leave=True), Topic("notes", "a")],
        [Topic("halls"), Topic("mine", "a", hears_leave=True)],
        [Topic("notes", "a", hears_leave=True), Topic("halls", hears_leave=True)],
        [Topic("turns", hears_leave=True), Topic("mine")],
        [Topic("turns"), Topic("teams", hears_leave=True), Topic("notes", "a")],
        [Topic(collection) for collection in WRITTEN],
    )
)
"""What clients listen to; some get several events of one change."""

_NOTHING: Set[str] = frozenset({""})


@dataclass(frozen=True, slots=True)
class World:
    """The ids of what was set up, a token for each account and since when it has it, and how rights have changed."""

    people: Mapping[str, str]
    rooms: Mapping[str, str]
    tokens: dict[str, str]
    signed_at: dict[str, float] = field(default_factory=dict)
    rights: Rights = field(default_factory=Rights)

    def tells(self, client: Client, session: Session, topic: str, change: Change, until: float) -> Set[str]:
        """Return what a topic may tell a client of a change up to a time (see `checker.Tells`)."""
        asked = TOPICS[topic]
        if change.collection != asked.collection:
            return _NOTHING
        account = client.account
        team = PEOPLE.get(account, "")
        views = list(self.rights.views(account, team, session.signed_at, change, until))
        sees = {self._sees(view, asked, change.row) for view in views}
        saw = {False}
        if asked.hears_leave and change.previous is not None:
            saw = {self._sees(view, asked, change.previous) for view in views}
        found = {change.action} if True in sees else set()
        if False in sees:
            found |= {"leave" if each else "" for each in saw}
        return found

    def _sees(self, view: View, asked: Topic, row: Mapping[str, Any]) -> bool:
        account = view.account
        if asked.filter_kind and row["kind"] != asked.filter_kind:
            return False
        if asked.collection == "notes" or account == ROOT:
            return True
        # Guests have the empty id and the empty team, which records may have as well.
        is_own, is_of_team = bool(row["owner"] == self.people.get(account, "")), bool(row["team"] == view.team)
        if asked.collection == "mine":
            return is_own
        if asked.collection == "teams":
            return is_of_team and bool(row["kind"] == "a")
        if asked.collection == "turns":
            return (is_own, is_of_team, account != GUEST, False)[view.variant]
        return any(row["room"] == self.rooms[room] and account in members for room, members in ROOMS.items())


def build(url: str) -> World:
    """Set up a new server."""
    api = Api(url)
    api.sign_in()
    api.ok("PATCH", "/api/settings", {"batch": {"enabled": True, "maxRequests": 50, "timeout": 10}})
    team, extra = {"name": "team", "type": "text"}, {"name": "extra", "type": "text"}
    own = [team, extra, {"name": "name", "type": "text"}]
    people_id = api.ok("POST", "/api/collections", {"name": "people", "type": "auth", "fields": own})["id"]
    members = {"name": "members", "type": "relation", "collectionId": people_id, "maxSelect": 9}
    rooms_id = api.ok("POST", "/api/collections", {"name": "rooms", "type": "base", "fields": [members]})["id"]
    fields = [
        {"name": "seq", "type": "number"},
        {"name": "kind", "type": "text"},
        {"name": "pad", "type": "text", "max": 1_000_000},
        {"name": "owner", "type": "relation", "collectionId": people_id, "maxSelect": 1},
        {"name": "room", "type": "relation", "collectionId": rooms_id, "maxSelect": 1},
        team,
        extra,
    ]
    open_to_all = dict.fromkeys(("createRule", "updateRule", "deleteRule"), "")
    origin: list[dict[str, Any]] = []
    for name, rule in RULES.items():
        # A record must be seen by who writes it.
        body = {"name": name, "type": "base", "fields": fields + origin, "listRule": rule, "viewRule": ""}
        made_id = api.ok("POST", "/api/collections", {**body, **open_to_all})["id"]
        if not origin:
            # The first is that of the notes: records of the others are deleted with one.
            origin = [{"name": "origin", "type": "relation", "collectionId": made_id, "cascadeDelete": True}]
    people = {}
    for name, color in PEOPLE.items():
        body = {"email": f"{name}@example.com", "password": PASSWORD, "passwordConfirm": PASSWORD, "team": color}
        people[name] = api.ok("POST", "/api/collections/people/records", body)["id"]
    rooms = {
        room: api.ok("POST", "/api/collections/rooms/records", {"members": [people[name] for name in names]})["id"]
        for room, names in ROOMS.items()
    }
    tokens = {GUEST: "", ROOT: api.token}
    for name in PEOPLE:
        person = Api(url)
        person.sign_in("people", (f"{name}@example.com", PASSWORD))
        tokens[name] = person.token
    return World(people, rooms, tokens)


Query = Callable[[str], list[tuple[Any, ...]]]
"""Asks the database of a run."""


def query_of(data_dir: Path, url: str) -> Query:
    """Return how to ask the database of a data directory, or the PostgreSQL database at `url`."""

    def sqlite(sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(data_dir / "data.db")) as database:
            return database.execute(sql).fetchall()

    def postgres(sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(url) as connection:
            return connection.execute(sql.encode()).fetchall()

    return postgres if url else sqlite


def last_position(query: Query) -> str:
    """Return the position of the last change in the log, whichever process has made it."""
    ((number, tag),) = query("SELECT number, tag FROM _rowcast_changes ORDER BY number DESC LIMIT 1")
    return f"{number}-{tag}"


def read_log(query: Query) -> tuple[list[Change], str]:
    """Return the log of changes, and where it begins. Nobody may write any more."""
    names: dict[str, str] = {}
    fields: dict[str, dict[str, str]] = {}
    for collection_id, name, listed in query("SELECT id, name, fields FROM _collections"):
        names[collection_id] = name
        fields[collection_id] = {field["id"]: field["name"] for field in json.loads(listed)}
    changes, first = [], ""
    for number, tag, at, action, collection, record, row, previous in query(
        'SELECT number, tag, at, action, collection, record, "row", previous FROM _rowcast_changes ORDER BY number'
    ):
        if action == "start":
            first = f"{number}-{tag}"
            continue
        known = fields[collection]
        values = {known[key]: value for key, value in json.loads(row).items()}
        earlier = values | {known[key]: value for key, value in json.loads(previous).items()}
        previous_values = earlier if action == "update" else None
        changes.append(Change(number, tag, action, names[collection], record, values, previous_values, int(at) / 1000))
    return changes, first or changes[0].position


def read_tables(query: Query) -> dict[tuple[str, str], int]:
    """Return what is in the collections: the number of each record, by collection and id."""
    return {
        (collection, record): int(seq)
        for collection in WRITTEN
        for record, seq in query(f"SELECT id, seq FROM {collection}")
    }
