"""What holds for all filters: both back-ends agree, every statement runs, hidden columns stay out of reach."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rowcast import filters
from rowcast.errors import FilterError
from rowcast.filters import Part
from rowcast.schema.request import RequestInfo
from rowcast.sql import SQLValue
from tests.unit.filters.world import world

pytestmark = pytest.mark.property

SIGNS = ("=", "!=", "~", "!~", "<", "<=", ">", ">=")
TEXTS = ("", "a", "A", "abc", "5", "5.0", "5.5", " 5", "5e0", "%", "a%", "_", "\\", "x y", "Ü", "true", "null", "[1,2]")
NUMBERS = ("0", "1", "5", "5.5", "-3", "100", "2.25", "-.5")
JSONS = (
    "null",
    '""',
    '"a"',
    "5",
    "5.0",
    "true",
    '{"a":1}',
    ' {"a" : [1, "b"], "a":2}',
    "[1,2]",
    '["a"]',
    "[]",
    "a",
    "{",
    "",
)
GEOS = ('{"lon":0,"lat":0}', '{"lon":23.3,"lat":42.7}', '{"lon":-70.5,"lat":10}')
LISTS = ("[]", '["a"]', '["a","b"]', "", "a")
USERS = ("", "u00000000000000", "u01000000000000", "dangling")
FIELDS: dict[str, tuple[SQLValue, ...]] = {
    "title": TEXTS,
    "body": TEXTS,
    "n": (0, 1, 5, 5.5, -3, 100, 2.25),
    "flag": (0, 1),
    "kind": TEXTS,
    "day": ("", "2024-01-01 00:00:00.000Z", "2030-01-01 00:00:00.000Z"),
    "tags": LISTS,
    "teams": LISTS,
    "owner": USERS,
    "team": ("", "t00", "t01"),
    "data": JSONS,
    "geo": GEOS,
}
LOCAL = (
    *FIELDS,
    *(
        "title:lower",
        "tags:length",
        "kind:length",
        "teams:lower",
        "data:lower",
        "data.a",
        "data.a.0",
        "data.0",
        "data.b.c",
    ),
    *("geo.lon", "geo.lat", "n:lower", "owner.id", "title:isset"),
)
GIVEN = (
    *("@request.auth.id", "@request.auth.name", "@request.auth.age", "@request.auth.verified", "@request.auth.team"),
    *("@request.auth.email", "@request.auth.role:lower", "@request.auth.tags:length", "@request.auth.meta.a"),
    *("@request.auth.collectionName", "@request.auth.nope", "@request.query.a", "@request.query.a:lower"),
    *("@request.query.a:isset", "@request.query.n", "@request.headers.a", "@request.method", "@request.context"),
    *("@request.body.title", "@request.body.title:lower", "@request.body.title:isset", "@request.body.title:changed"),
    *(
        "@request.body.n",
        "@request.body.n:changed",
        "@request.body.flag",
        "@request.body.tags",
        "@request.body.tags:length",
    ),
    *("@request.body.data", "@request.body.data.a", "@request.body.data:changed", "@request.body.owner:changed"),
    *("@year", "@todayStart", "null", "true", "false"),
)
FAR = (
    *(
        "owner.name",
        "owner.email",
        "teams.name",
        "teams.members.name",
        "teams:each",
        "tags:each",
        "parent.title",
        "related.n",
    ),
    *(
        "related.tags:each",
        "related.data.a",
        "comments_via_post.text",
        "comments_via_posts.score",
        "owner.team.lead.age",
    ),
    *("posts_via_parent.title", "@collection.teams.name", "@collection.teams:x.id", "@request.auth.team.name"),
    *("@request.auth.friends.name", "@request.body.owner.name", "@request.body.teams.name", "@request.body.tags:each"),
    *(
        "@request.auth.posts_via_owner.n",
        "strftime('%Y', day)",
        "strftime('%Y', related.day)",
        "owner.secret",
        "secret",
    ),
    *("hiddenrel.name", "owner.password", "owner.tokenKey", "locked_via_user.name", "owner.locked_via_user.name"),
)


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def distances(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    place = st.sampled_from((*names, *NUMBERS, "null"))
    return st.lists(place, min_size=4, max_size=4).map(lambda places: f"geoDistance({','.join(places)})")


def operands(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.sampled_from(names),
        st.sampled_from(names),
        st.sampled_from(TEXTS).map(quoted),
        st.sampled_from(NUMBERS),
        distances(("geo.lon", "geo.lat", "n", "title")),
    )


def texts(names: tuple[str, ...]) -> st.SearchStrategy[str]:
    signs = st.sampled_from([any_of + sign for any_of in ("", "?") for sign in SIGNS])
    comparison = st.tuples(operands(names), signs, operands(names)).map(" ".join)
    return st.recursive(
        comparison,
        lambda inner: st.tuples(inner, st.sampled_from(("&&", "||")), inner).map(lambda x: f"({' '.join(x)})"),
        max_leaves=4,
    )


def some(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


BODIES = st.fixed_dictionaries(
    {},
    optional={
        "title": some(TEXTS),
        "n": some((0, 5, 5.5, -3)),
        "flag": st.booleans(),
        "tags": some(([], ["a"], ["a", "b"])),
        "data": some(JSONS[:-3]),
        "owner": some(USERS),
        "teams": some(([], ["t00"], ["t00", "t01"])),
    },
)
REQUESTS = st.builds(
    lambda auth, query, headers, body: world().request(auth, query=query, headers=headers, body=prepared(body)),
    some((None, "u00000000000000", "u01000000000000", "u03000000000000")),
    st.dictionaries(some(("a", "n")), some(TEXTS)),
    st.dictionaries(some(("a",)), some(TEXTS)),
    BODIES,
)
ROWS = st.fixed_dictionaries({name: some(values) for name, values in FIELDS.items()})


def prepared(body: dict[str, Any]) -> dict[str, object]:
    """Return a body as records have it when rules are asked: in the form of the fields."""
    fields = world().find("posts").by_name
    return {name: fields[name].prepare(value) for name, value in body.items()}


@contextmanager
def stored(row: dict[str, SQLValue]) -> Iterator[dict[str, SQLValue]]:
    """Add a row to the table for a while; gives it as read back: columns change the types of what is put into them."""
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    db = world().db
    db.execute("SAVEPOINT trial")
    try:
        db.execute(f"INSERT INTO posts (id, {names}) VALUES ('trial', {marks})", tuple(row.values()))
        yield next(found for found in world().rows("posts") if found["id"] == "trial")
    finally:
        db.execute("ROLLBACK TO trial")
        db.execute("RELEASE trial")


@settings(max_examples=400)
@given(texts(LOCAL + GIVEN), ROWS, REQUESTS, st.booleans())
def test_closure_and_sql_agree(text: str, row: dict[str, SQLValue], request: RequestInfo, is_new: bool) -> None:
    scope = world().scope("posts", request, is_new=is_new)
    closure = filters.closure(text, scope)
    if closure is None:
        assert "~ geoDistance" in text
        return
    with stored(row) as found:
        if is_new:
            passes = world().passes(text, scope, found, request)
        else:
            passes = "trial" in world().ids("posts", Part(text, allow_hidden=True), request=request)
    assert closure(found, request) is passes


@settings(max_examples=300)
@given(texts(LOCAL + GIVEN), REQUESTS)
def test_table_and_row_image_agree(text: str, request: RequestInfo) -> None:
    scope = world().scope("posts", request)
    found = world().ids("posts", Part(text, allow_hidden=True), request=request)
    assert found == [r["id"] for r in world().rows("posts") if world().passes(text, scope, r, request)]


@settings(max_examples=400)
@given(
    texts(LOCAL + GIVEN + FAR), REQUESTS, st.booleans(), st.sampled_from(("", "-title", "owner.email", "teams.name,-n"))
)
def test_every_statement_runs(text: str, request: RequestInfo, allow_hidden: bool, sort: str) -> None:
    try:
        found = world().ids("posts", Part(text, allow_hidden=allow_hidden), request=request, sort=sort)
    except FilterError:
        return
    assert len(found) == len(set(found)) or sort


@settings(max_examples=300)
@given(texts(LOCAL + FAR))
def test_hidden_columns_do_not_reach_the_sql(text: str) -> None:
    try:
        program = filters.compile((Part(text),), world().scope("posts"))
    except FilterError:
        return
    found = program.bind(RequestInfo())
    names = set(re.findall(r'"([^"]*)"', f"{found.where} {found.joins}"))
    assert not names & {"secret", "hiddenrel", "password", "tokenKey", "locked"}
    known = {collection.name for collection in world().catalog}
    known |= {field.name for collection in world().catalog for field in collection.fields}
    assert all(name in known or re.fullmatch(r"@\d+", name) for name in names)


@given(st.text(max_size=30), st.sampled_from(("title = {}", "{} = 1", "{}", "data.{} = 1", "@request.query.{} = 1")))
def test_any_text_compiles_or_is_a_filter_error(text: str, template: str) -> None:
    assume("\x00" not in text)
    for found in (template.format(text), template.format(quoted(text))):
        try:
            world().ids("posts", Part(found, is_client=True))
        except FilterError:
            continue


@given(st.text(max_size=40))
def test_any_sort_compiles_or_is_a_filter_error(text: str) -> None:
    try:
        filters.compile((), world().scope("posts"), text)
    except FilterError as error:
        assert 0 <= error.start <= error.end <= len(text)


ACCOUNTS = st.lists(REQUESTS.filter(lambda request: request.auth is not None), min_size=1, max_size=4)


@settings(max_examples=200)
@given(texts(LOCAL + GIVEN + FAR), ACCOUNTS, st.sampled_from(("p00", "p03", "p07", "p12")))
def test_many_requests_at_once_are_answered_as_one_by_one(text: str, requests: list[RequestInfo], post: str) -> None:
    assume("secret" not in text and "strftime" not in text)
    scope = world().scope("posts", requests[0])
    row = next(found for found in world().rows("posts") if found["id"] == post)
    try:
        program = filters.compile((Part(text, allow_hidden=True),), scope)
    except FilterError:
        return
    source, params = filters.row_image(scope, row)
    passed = set()
    for places, found in program.bind_sets(requests):
        sql = f"{found.table} SELECT DISTINCT {found.number} FROM {source} {found.joins} WHERE {found.where}"
        numbers = world().db.execute(sql, [*found.table_params, *params, *found.params])
        passed |= {places[int(str(number[0]))] for number in numbers}
    assert passed == {place for place, one in enumerate(requests) if world().passes(text, scope, row, one)}
