"""Random collections with rules, and what is written to them: strategies, all in plain values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

AUTHS = ("people", "agents")
BASES = ("rooms", "posts", "notes")
NAMES = (*AUTHS, *BASES)

_RELATIONS = (
    ("people", "boss", "people"),
    ("people", "home", "rooms"),
    ("agents", "partner", "people"),
    ("rooms", "members", "people"),
    ("rooms", "lead", "agents"),
    ("posts", "owner", "people"),
    ("posts", "room", "rooms"),
    ("posts", "readers", "agents"),
    ("notes", "post", "posts"),
    ("notes", "parent", "notes"),
    ("notes", "author", "people"),
)
_PLAIN = (("text", "title"), ("text", "team"), ("number", "n"), ("bool", "open"), ("text", "secret"), ("email", "mail"))

TEXTS = ("a", "b", "", "a", "b", "A <c> & ü")
NUMBERS = (0, 1, 2, 2.5, -1)


@dataclass(frozen=True)
class Relation:
    """A relation field: where it leads and how many it holds."""

    source: str
    name: str
    target: str
    is_multiple: bool


@dataclass(frozen=True)
class Schema:
    """The collections of a world: their fields by name and kind, and their relations."""

    fields: Mapping[str, Mapping[str, str]]
    relations: tuple[Relation, ...]
    bodies: tuple[dict[str, Any], ...]

    def relations_of(self, name: str) -> list[Relation]:
        return [relation for relation in self.relations if relation.source == name]

    def relations_to(self, name: str) -> list[Relation]:
        return [relation for relation in self.relations if relation.target == name]


def collection_id(name: str) -> str:
    """Return the id of a collection."""
    return f"{name}0id0000000000"[:15]


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Draw collections without rules, as the import of collections takes them."""
    fields: dict[str, dict[str, str]] = {}
    bodies: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        chosen = draw(st.sets(st.sampled_from(_PLAIN), min_size=2))
        hidden = draw(st.sampled_from(("secret", "title", "team")))
        plain = [each for each in _PLAIN if each in chosen or each[1] == "team"]
        fields[name] = {field: kind for kind, field in plain}
        bodies[name] = {
            "id": collection_id(name),
            "name": name,
            "type": "auth" if name in AUTHS else "base",
            "fields": [{"type": kind, "name": field, "hidden": field == hidden} for kind, field in plain],
        }
    relations = []
    for source, field, target in _RELATIONS:
        if not draw(st.sampled_from((True, True, False))):
            continue
        relation = Relation(source, field, target, is_multiple=draw(st.booleans()))
        relations.append(relation)
        bodies[source]["fields"].append(
            {
                "type": "relation",
                "name": field,
                "collectionId": collection_id(target),
                "maxSelect": 9 if relation.is_multiple else 1,
                "cascadeDelete": draw(st.booleans()),
            }
        )
    return Schema(fields, tuple(relations), tuple(bodies.values()))


# -- rules ----------------------------------------------------------------------------------------


def _paths(schema: Schema, name: str, depth: int) -> Iterator[tuple[str, str, bool]]:
    """Yield (path, kind, leads to many) of what a rule of a collection can name; the kind of an id is "id"."""
    yield "id", "id", False
    for field, kind in schema.fields[name].items():
        yield field, kind, False
    if name in AUTHS:
        yield "email", "text", False
        yield "verified", "bool", False
    for relation in schema.relations_of(name):
        yield relation.name, "ids" if relation.is_multiple else "id", relation.is_multiple
        if depth:
            for path, kind, is_many in _paths(schema, relation.target, depth - 1):
                yield f"{relation.name}.{path}", kind, is_many or relation.is_multiple
    if depth:
        for relation in schema.relations_to(name):
            for path, kind, _ in _paths(schema, relation.source, depth - 1):
                yield f"{relation.source}_via_{relation.name}.{path}", kind, True


def _operands(kind: str, of_request: bool) -> list[str]:
    """Return what a path of a kind is compared with."""
    if kind == "number":
        return ["0", "1", "2", *(["@request.auth.n"] if of_request else [])]
    if kind == "bool":
        return ["true", "false"]
    if kind in {"id", "ids"}:
        return ['""', *(["@request.auth.id"] * 4 + ["@request.auth.boss", "@request.auth.home"] if of_request else [])]
    asked = ["@request.auth.team"] * 3 + ["@request.query.x", "@request.headers.x_k", "@request.auth.email"]
    return ['""', '"a"', '"b"', *(asked if of_request else [])]


def _signs(kind: str, is_many: bool) -> list[str]:
    plain = ["=", "!=", ">", "<="] if kind == "number" else ["=", "=", "!="]
    if kind in {"text", "ids", "email"}:
        plain += ["~", "!~"]
    return plain if not is_many else [f"?{sign}" for sign in plain] * 2 + plain


def _modified(kind: str, path: str) -> list[str]:
    if kind == "text":
        return [path, path, f"{path}:lower"]
    if kind == "ids":
        return [path, path, f"{path}:each"]
    return [path]


_REQUEST = (
    '@request.auth.id != ""',
    '@request.auth.id = ""',
    '@request.auth.collectionName = "people"',
    "@request.auth.open = true",
    '@request.query.x = "1"',
    '@request.headers.x_k = "a"',
    "@request.query.x:isset = true",
    '@request.context = "realtime"',
    '@request.context != "expand"',
    '@request.method = "GET"',
    '@request.auth.home.title = "a"',
    '@request.auth.rooms_via_members.id ?!= ""',
)
_LOCAL = 10
"""As many of these read no row but that of the account."""


@st.composite
def conditions(draw: st.DrawFn, schema: Schema, name: str, *, of_request: bool, is_local: bool) -> str:
    """Draw one comparison over the records of a collection; with `is_local` it reads no other row."""
    if of_request and draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(_REQUEST[:_LOCAL] if is_local else _REQUEST))
    if of_request and not is_local and draw(st.integers(0, 4)) == 0:
        other = draw(st.sampled_from(NAMES))
        prefix = f"@collection.{other}{draw(st.sampled_from(('', f':x{other}')))}."
        path, kind, _ = draw(st.sampled_from(list(_paths(schema, other, 0))))
        own = [path for path, own_kind, _ in _paths(schema, name, 0) if own_kind == kind]
        right = draw(st.sampled_from(_operands(kind, of_request) + own))
        return f"{prefix}{path} {draw(st.sampled_from(_signs(kind, True)))} {right}"
    depth = 0 if is_local else draw(st.sampled_from((0, 0, 1, 1, 2)))
    path, kind, is_many = draw(st.sampled_from(list(_paths(schema, name, depth))))
    left = draw(st.sampled_from(_modified(kind, path)))
    sign = draw(st.sampled_from(_signs(kind, is_many)))
    right = draw(st.sampled_from(_operands(kind, of_request)))
    return f"{right} {sign} {left}" if sign == "=" and draw(st.booleans()) else f"{left} {sign} {right}"


def _of_account(schema: Schema, name: str, *, is_local: bool) -> list[str]:
    """Return comparisons of a record with the account that asks, as most rules make them."""
    found = ["id = @request.auth.id", "team = @request.auth.team", *_REQUEST[:3]]
    for relation in schema.relations_of(name):
        sign = "?=" if relation.is_multiple else "="
        if relation.target in AUTHS:
            found.append(f"{relation.name} {sign} @request.auth.id")
    if is_local:
        return found
    for relation in schema.relations_of(name):
        sign = "?=" if relation.is_multiple else "="
        if relation.target in AUTHS:
            found.append(f"@request.auth.id {sign} {relation.name}.id")
        found.append(f"{relation.name}.team {sign} @request.auth.team")
    for relation in schema.relations_to(name):
        if relation.source in AUTHS:
            found.append(f"{relation.source}_via_{relation.name}.id ?= @request.auth.id")
        found.append(f"{relation.source}_via_{relation.name}.team ?= @request.auth.team")
    return found


@st.composite
def texts(draw: st.DrawFn, schema: Schema, name: str, *, of_request: bool = True, is_local: bool = False) -> str:
    """Draw a rule or, without `of_request`, a filter that isn't empty."""
    part = conditions(schema, name, of_request=of_request, is_local=is_local)
    if of_request:
        part = st.one_of(st.sampled_from(_of_account(schema, name, is_local=is_local)), part)
    parts = draw(st.lists(part, min_size=1, max_size=3))
    shape = draw(st.sampled_from((" || ", " && ")))
    if len(parts) == 3 and draw(st.booleans()):
        other = " || " if shape == " && " else " && "
        return f"{parts[0]}{shape}({parts[1]}{other}{parts[2]})"
    return shape.join(parts)


@st.composite
def rules(draw: st.DrawFn, schema: Schema, name: str, *, is_local: bool = False) -> str | None:
    """Draw a rule: empty, null, or a text."""
    kind = draw(st.integers(0, 7))
    if kind < 2:
        return None if kind else ""
    return draw(texts(schema, name, is_local=is_local))


# -- topics ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Topic:
    """A subscription string whose record is known by its place only."""

    collection: str
    form: str
    place: int
    options: Mapping[str, Mapping[str, str]]

    def text(self, ids: Mapping[str, list[str]]) -> str:
        known = ids[self.collection]
        record = known[self.place % len(known)] if known else "none"
        topic = self.form.format(name=self.collection, id=collection_id(self.collection), record=record)
        return topic + ("?options=" + quote(json.dumps(self.options)) if self.options else "")


_FORMS = (
    *["{name}/*"] * 8, *["{id}/*"] * 3, *["{name}/{record}"] * 3,
    "{id}/{record}", "{name}", "{id}", "{name}/", "none/*",
)  # fmt: skip
_FIELDS = ("id", "*", "id,title", "*,expand.owner.id", "collectionName,n,expand", "expand.*.title,id")


def _expands(schema: Schema, name: str) -> list[str]:
    steps = [(each.name, each.target) for each in schema.relations_of(name)]
    steps += [(f"{each.source}_via_{each.name}", each.source) for each in schema.relations_to(name)]
    deeper = [f"{step}.{each.name}" for step, target in steps for each in schema.relations_of(target)]
    return [step for step, _ in steps] + deeper + ["missing"]


@st.composite
def topics(
    draw: st.DrawFn, schema: Schema, rules: Mapping[str, Mapping[str, str | None]], *, is_local: bool = False
) -> Topic:
    """Draw what a stream may ask for; a filter may be the text of a rule."""
    name = draw(st.sampled_from((*NAMES, *BASES)))
    query: dict[str, str] = {}
    if draw(st.integers(0, 4)) == 0:
        own = [rule for rule in rules[name].values() if rule]
        new = texts(schema, name, of_request=False, is_local=is_local)
        query["filter"] = draw(st.one_of(st.sampled_from(own or ["id != ''"]), new))
    if not is_local and draw(st.integers(0, 3)) == 0:
        query["expand"] = ",".join(draw(st.lists(st.sampled_from(_expands(schema, name)), min_size=1, max_size=2)))
    if draw(st.integers(0, 4)) == 0:
        query["fields"] = draw(st.sampled_from(_FIELDS))
    if draw(st.integers(0, 2)) == 0:
        query["x"] = draw(st.sampled_from(("1", "a", "")))
    if draw(st.integers(0, 2)) == 0:
        query["leave"] = "true"
    headers = {"X-K": draw(st.sampled_from(("a", "b")))} if draw(st.integers(0, 3)) == 0 else {}
    options = {part: given for part, given in (("query", query), ("headers", headers)) if given}
    return Topic(name, draw(st.sampled_from(_FORMS)), draw(st.integers(0, 5)), options)


# -- writes ---------------------------------------------------------------------------------------

SEEDS = 6**8
"""A seed below this is eight small numbers that values are made of; one draw is cheaper than eight."""


def values(schema: Schema, name: str, seed: int, ids: Mapping[str, list[str]]) -> dict[str, object]:
    """Return the values of a record; relations lead to records that are there."""
    # Drawn numbers tend to be small ones; spread, they still begin with none.
    spread = seed * 1_234_567 % SEEDS
    drawn = [spread // 6**place % 6 for place in range(8)]
    found: dict[str, object] = {}
    for place, (field, kind) in enumerate(schema.fields[name].items()):
        chosen = drawn[place % len(drawn)]
        if kind == "number":
            found[field] = NUMBERS[chosen % len(NUMBERS)]
        elif kind == "bool":
            found[field] = chosen % 2 == 0
        elif kind == "email":
            found[field] = ("", "m@example.com")[chosen % 2]
        else:
            found[field] = TEXTS[chosen % len(TEXTS)]
    for place, relation in enumerate(schema.relations_of(name)):
        known = ids[relation.target]
        first, second = drawn[place % len(drawn)], drawn[(place + 1) % len(drawn)]
        related = [known[chosen % len(known)] for chosen in (first, second) if chosen and known]
        found[relation.name] = list(dict.fromkeys(related)) if relation.is_multiple else "".join(related[:1])
    if name in AUTHS:
        found["emailVisibility"] = drawn[0] % 2 == 1
        found["verified"] = drawn[1] % 2 == 1
    return found
