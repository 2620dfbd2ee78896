"""What each stream should get of a change: asked one stream at a time, one question at a time.

Knows nothing of `rowcast.realtime`: topics are read again here, every rule and filter
is one SELECT of its own, and bodies are put together from rows. Follows
apis/realtime.go of the reference; where rowcast differs on purpose (the record is
judged as the change holds it, see `Asking._source`) it says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

from rowcast import filters
from rowcast.errors import FilterError
from rowcast.filters import Part, Scope
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.fields import RelationField
from rowcast.schema.record import Change, Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import from_row, select_columns, to_row
from rowcast.sql import Reader, SQLValue, quote

AccountKey = tuple[str, str]
"""The ids of a collection and of a record in it."""

Event = tuple[str, str]
"""The topic as it was submitted, and the data."""

_MOST_LEVELS = 6
_NEVER_SHOWN = {"password", "tokenKey"}


class ExpandError(Exception):
    """A path that can't be expanded."""


@dataclass(slots=True)
class Listener:
    """What is known of a stream: its topics and whose it is (None: a guest's)."""

    topics: list[str] = field(default_factory=list)
    account: AccountKey | None = None
    has_cursor: bool = False


@dataclass(slots=True)
class Shown:
    """A record on its way into an event."""

    collection: Collection
    row: Mapping[str, SQLValue]
    shows_email: bool = False
    expand: dict[str, Any] | None = None


class Asking:
    """The streams, the accounts as the changes so far left them, and the questions about one more change."""

    def __init__(self) -> None:
        self.listeners: dict[str, Listener] = {}
        self.accounts: dict[AccountKey, Record] = {}

    # -- accounts --------------------------------------------------------------

    def subscribe(self, name: str, topics: Sequence[str], account: Record | None) -> bool:
        """Give a stream topics and an account; False where it belongs to another account."""
        listener = self.listeners[name]
        key = None if account is None else (account.collection.id, account.id)
        if listener.account is not None and listener.account != key:
            return False
        if account is not None and key is not None:
            self.accounts[key] = account
        listener.topics, listener.account = [topic for topic in dict.fromkeys(topics) if topic], key
        return True

    def revoke(self, collection_id: str, record_id: str | None = None) -> None:
        """Make guests of the streams of an account, or of all accounts of a collection."""
        for listener in self.listeners.values():
            if listener.account and listener.account[0] == collection_id and record_id in {None, listener.account[1]}:
                listener.account = None

    def _follow(self, change: Change) -> None:
        record = change.record
        key = (record.collection.id, record.id)
        known = self.accounts.get(key)
        if known is None or change.action == "create":
            return
        if change.action == "delete" or known.values["tokenKey"] != record.values["tokenKey"]:
            self.revoke(*key)
        self.accounts[key] = record

    # -- events ----------------------------------------------------------------

    def events(
        self, changes: Sequence[Change], catalog: Catalog, before: Reader, after: Reader
    ) -> dict[str, list[list[Event]]]:
        """Return for each stream and each change of one commit the events, in any order inside of a change."""
        expected: dict[str, list[list[Event]]] = {name: [] for name in self.listeners}
        for change in changes:
            accounts = dict(self.accounts)
            if change.action == "update":
                self._follow(change)
            reader = before if change.action == "delete" else after
            for name, listener in self.listeners.items():
                now = View(catalog, reader, self._account(listener, catalog, self.accounts))
                earlier = View(catalog, before, self._account(listener, catalog, accounts))
                expected[name].append(events_for(listener.topics, change, now, earlier))
            if change.action == "delete":
                self._follow(change)
        return expected

    def replayed(self, name: str, changes: Sequence[Change], catalog: Catalog, now: Reader) -> list[list[Event]]:
        """Return the events of changes that a stream missed: judged by everything as it is now."""
        listener = self.listeners[name]
        view = View(catalog, now, self._account(listener, catalog, self.accounts))
        return [events_for(listener.topics, change, view, view) for change in changes]

    @staticmethod
    def _account(listener: Listener, catalog: Catalog, accounts: Mapping[AccountKey, Record]) -> Record | None:
        if listener.account is None:
            return None
        account = accounts[listener.account]
        return replace(account, collection=catalog.find(account.collection.id) or account.collection)


@dataclass(frozen=True, slots=True)
class View:
    """A state of the database and who looks at it."""

    catalog: Catalog
    reader: Reader
    account: Record | None


def events_for(topics: Sequence[str], change: Change, now: View, earlier: View) -> list[Event]:
    """Return the events that topics get of a change; `earlier` is what was there before an update."""
    collection = now.catalog.find(change.record.collection.id)
    assert collection is not None
    row = to_row(change.record)
    found = []
    for topic in topics:
        name, options = read_topic(topic)
        question = _question(now, options)
        before = _question(earlier, options)
        hears_leave = change.previous is not None and options["query"].get("leave") == "true"
        for rule in _guards(collection, change.record.id, name):
            if question.may_see(collection, row, rule):
                found.append((topic, question.data(collection, row, change.action)))
            elif hears_leave and before.may_see(collection, to_row(change.previous or change.record), rule):
                found.append((topic, _left(collection, change.record.id)))
    return found


def _question(view: View, options: Mapping[str, Mapping[str, str]]) -> Question:
    headers = {_snake(header): value for header, value in options["headers"].items()}
    request = RequestInfo(auth=view.account, context="realtime", query=options["query"], headers=headers)
    return Question(view.catalog, view.reader, request)


def _left(collection: Collection, record_id: str) -> str:
    record = {"collectionId": collection.id, "collectionName": collection.name, "id": record_id}
    return json.dumps({"record": record, "action": "leave"}, separators=(",", ":"))


def _guards(collection: Collection, record_id: str, topic: str) -> list[str | None]:
    """Return the rule that guards a topic, or nothing where a change of the record does not concern it."""
    names = {collection.name, collection.id}
    if topic in {f"{name}/{record_id}" for name in names}:
        return [collection.view_rule]
    return [collection.list_rule] if topic in names | {f"{name}/*" for name in names} else []


def read_topic(text: str) -> tuple[str, dict[str, dict[str, str]]]:
    """Return the topic of a subscription string and its options."""
    topic, _, rest = text.partition("?")
    options = json.loads(parse_qs(rest)["options"][0]) if rest else {}
    return topic, {part: {k: str(v) for k, v in options.get(part, {}).items()} for part in ("query", "headers")}


def _snake(name: str) -> str:
    return name.lower().replace("-", "_")


class Question:
    """One account that asks for one topic about one state of the database."""

    def __init__(self, catalog: Catalog, reader: Reader, request: RequestInfo) -> None:
        self._catalog = catalog
        self._reader = reader
        self._request = request

    def may_see(self, collection: Collection, row: Mapping[str, SQLValue], rule: str | None) -> bool:
        """Whether the rule and the filter of the client let the request see a row (realtimeCanAccessRecord)."""
        request = self._request
        if not request.is_superuser and (rule is None or (rule and not self._holds(collection, row, rule))):
            return False
        text = request.query.get("filter", "")
        if not text:
            return True
        told = f"{text} {request.query.get('sort', '')}"
        if not request.is_superuser and ("@collection." in told or "@request." in told):
            return False
        return self._holds(collection, row, text, is_filter=True)

    def _holds(
        self, collection: Collection, row: Mapping[str, SQLValue], text: str, *, is_filter: bool = False
    ) -> bool:
        auth = self._request.auth
        scope = Scope(
            self._catalog, collection, auth.collection if auth is not None else None, dialect=self._reader.dialect
        )
        try:
            program = filters.compile((Part(text, allow_hidden=not is_filter),), scope)
        except FilterError:
            return False
        bound = program.bind(self._request)
        source, params = self._source(scope, row)
        found = self._reader.row(
            f'SELECT 1 FROM {source} {bound.joins} WHERE {quote(collection.name)}."id" = ? AND ({bound.where}) LIMIT 1',
            [*params, *bound.join_params, row["id"], *bound.params],
        )
        return found is not None

    def _source(self, scope: Scope, row: Mapping[str, SQLValue]) -> tuple[str, list[SQLValue]]:
        """Return the table, or where the stored row is another one by now, the row as the change holds it.

        The latter happens where one transaction writes a record more than once.
        """
        if self.stored(scope.collection, str(row["id"])) == row:
            return quote(scope.collection.name), []
        return filters.row_image(scope, row)

    def stored(self, collection: Collection, record_id: str) -> dict[str, SQLValue] | None:
        """Return a stored row."""
        table = quote(collection.name)
        row = self._reader.row(f'SELECT {select_columns(collection)} FROM {table} WHERE "id" = ?', [record_id])
        return None if row is None else to_row(from_row(collection, row))

    # -- what is shown ---------------------------------------------------------

    def data(self, collection: Collection, row: Mapping[str, SQLValue], action: str) -> str:
        """Return the data of an event as JSON."""
        query = self._request.query
        shown = Shown(collection, row)
        for path in _longest(query.get("expand", "")):
            try:
                self._expand([shown], path.split("."), 1)
            except ExpandError:
                continue
        shown.shows_email = self._shows_email(collection, row)
        value = self._values(shown)
        if query.get("fields"):
            _pick(value, {path.strip() for path in query["fields"].split(",")})
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return _html_safe(f'{{"record":{text},"action":"{action}"}}')

    def _shows_email(self, collection: Collection, row: Mapping[str, SQLValue]) -> bool:
        auth = self._request.auth
        if collection.auth is None:
            return False
        if auth is not None and (auth.collection.id, auth.id) == (collection.id, row["id"]):
            return True
        if self._request.is_superuser:
            return True
        rule = collection.auth.manage_rule
        return bool(rule) and self._holds(collection, row, rule or "")

    def _values(self, shown: Shown) -> dict[str, Any]:
        collection = shown.collection
        values: dict[str, Any] = {"collectionId": collection.id, "collectionName": collection.name}
        for each in collection.fields:
            value = shown.row[each.name]
            if collection.is_auth and each.name in _NEVER_SHOWN:
                continue
            if each.hidden and not self._request.is_superuser:
                continue
            is_address = collection.is_auth and each.name == "email"
            if is_address and not shown.shows_email and not shown.row["emailVisibility"]:
                continue
            if each.kind == "bool":
                values[each.name] = bool(value)
            elif each.kind == "number":
                values[each.name] = int(value) if float(value or 0).is_integer() else value  # type: ignore[arg-type]
            else:
                values[each.name] = json.loads(str(value)) if each.is_multiple else value
        if shown.expand is not None:
            values["expand"] = {
                name: [self._values(one) for one in found] if isinstance(found, list) else self._values(found)
                for name, found in shown.expand.items()
            }
        return values

    # -- expanding -------------------------------------------------------------

    def _expand(self, records: list[Shown], path: list[str], level: int) -> None:
        """Expand one path (core/record_query_expand.go, expandRecords). Raises ExpandError."""
        if level > _MOST_LEVELS or not records:
            return
        name, below = path[0], path[1:]
        target, is_multiple, related = self._related(records, name)
        found = self._fetch(target, dict.fromkeys(one for ids in related for one in ids))
        if below:
            self._expand(list(found.values()), below, level + 1)
        for record, ids in zip(records, related, strict=True):
            record.expand = record.expand or {}
            here = [found[one] for one in ids if one in found]
            if not here:
                continue
            earlier = record.expand.get(name, [])
            _merge(here, earlier if isinstance(earlier, list) else [earlier])
            record.expand[name] = here if is_multiple else here[0]

    def _related(self, records: list[Shown], name: str) -> tuple[Collection, bool, list[list[str]]]:
        collection = records[0].collection
        if "_via_" not in name:
            relation = collection.field(name)
            if not isinstance(relation, RelationField):
                raise ExpandError
            target = self._catalog.find(relation.collection_id)
            if target is None:
                raise ExpandError
            return target, relation.is_multiple, [_ids(record.row[name], relation) for record in records]
        source_name, _, field_name = name.partition("_via_")
        source = self._catalog.find(source_name)
        relation = source.field(field_name) if source is not None else None
        if source is None or not isinstance(relation, RelationField) or relation.collection_id != collection.id:
            raise ExpandError
        pointing = []
        for record in records:
            table = quote(source.name)
            order = self._reader.dialect.row_number.format(table)
            rows = self._reader.rows(f'SELECT "id", {quote(field_name)} FROM {table} ORDER BY {order}')
            pointing.append([str(one) for one, value in rows if record.row["id"] in _ids(value, relation)])
        return source, True, pointing

    def _fetch(self, target: Collection, ids: Mapping[str, None]) -> dict[str, Shown]:
        """Return the rows that may be seen, judged by the view rule (apis/record_helpers.go, expandFetch)."""
        one = Question(self._catalog, self._reader, replace(self._request, context="expand"))
        is_superuser = self._request.is_superuser
        if target.view_rule is None and not is_superuser:
            raise ExpandError
        found = {}
        for record_id in ids:
            row = self.stored(target, record_id)
            if row is None or (not is_superuser and target.view_rule and not one._holds(target, row, target.view_rule)):
                continue
            found[record_id] = Shown(target, row, shows_email=one._shows_email(target, row))
        return found


def _ids(value: SQLValue, relation: RelationField) -> list[str]:
    if relation.is_multiple:
        return list(json.loads(str(value)))
    return [str(value)] if value else []


def _merge(records: list[Shown], earlier: list[Shown]) -> None:
    """Keep what an earlier path expanded below the same records."""
    for old in earlier:
        for record in records:
            if record.row["id"] == old.row["id"] and old.expand is not None:
                record.expand = {**old.expand, **(record.expand or {})}


def _longest(text: str) -> list[str]:
    paths = list(dict.fromkeys(path for path in text.split(",") if path))
    return [path for path in paths if not any(other.startswith(path + ".") for other in paths)]


def _pick(value: Any, fields: set[str]) -> None:
    """Drop what `fields` do not name (tools/picker/pick.go)."""
    if isinstance(value, list):
        for item in value:
            _pick(item, fields)
        return
    if not isinstance(value, dict):
        return
    if "*" in fields:
        fields = fields | {key for key in value if not any(f"{path}.".startswith(f"{key}.") for path in fields)}
    for key in list(value):
        below = {path for path in fields if f"{path}.".startswith(f"{key}.")}
        if not below:
            del value[key]
        elif key not in below:
            _pick(value[key], {path[len(key) + 1 :] for path in below})


def _html_safe(text: str) -> str:
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
