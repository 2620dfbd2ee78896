"""Lists and views that SQLite writes are the same, byte for byte, as those that Python writes."""

from __future__ import annotations

import string
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcast import encoding
from rowcast.records import pick
from rowcast.records.finding import find, find_all
from rowcast.schema.fields import Field
from rowcast.schema.public import public_values
from rowcast.schema.request import RequestInfo
from rowcast.sql import SQLValue, quote
from tests.unit.records.world import POST_FIELDS, World, asking

pytestmark = pytest.mark.property

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
# SQLite spells numbers of more than 15 digits with 17, Python as short as it can: the same numbers.
DECIMALS = st.integers(-(10**14), 10**14).map(lambda number: number / 1000)
DEGREES = st.integers(-90_00000, 90_00000).map(lambda number: number / 100_000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | DECIMALS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | DECIMALS
VALUES: dict[str, st.SearchStrategy[object]] = {
    "text": TEXTS,
    "editor": TEXTS | st.just("<p>a & b</p>\u2028"),
    "email": TEXTS,
    "url": TEXTS,
    "number": NUMBERS,
    "bool": st.booleans(),
    "date": st.just("") | st.datetimes().map(str),
    "select": st.lists(st.sampled_from(["x", "y", "z"]), max_size=4),
    "relation": st.lists(TEXTS, max_size=3),
    "file": st.lists(st.text(string.ascii_letters + "._", max_size=9), max_size=3),
    "json": JSON | st.sampled_from(['{"b": 1,\n "a": [ 2 ]}', "[1 ,2]", "1.50", '"x"', "<&>", " {}"]),
    "geoPoint": st.fixed_dictionaries({"lon": DEGREES, "lat": DEGREES}),
}

WHO = ("guest", "owner", "root")
FIELDS = ("", "*", "id,title,data", "title,n,tags,day", "id,expand,email", "place.lon,tags", "text:excerpt(3)")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("same") / "data")
    yield world
    world.close()


def written_by_python(world: World, request: RequestInfo, collection: str, record_id: str) -> bytes:
    with world.storage.read() as reader:
        record = find(reader, world.of(collection), record_id)
        assert record is not None
        return world.output.encode(reader, record, request, fields=request.query.get("fields", ""))


def check_both(world: World, collection: str, record_id: str, request: RequestInfo) -> None:
    expected = written_by_python(world, request, collection, record_id)
    assert world.records.view(request, world.of(collection), record_id) == expected
    items = world.records.list(request, world.of(collection)).partition(b'],"page"')[0]
    assert items == b'{"items":[' + expected


def rows(
    strategies: dict[str, st.SearchStrategy[object]], fields: tuple[Field, ...]
) -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries({field.name: strategies[field.kind] for field in fields if field.kind in strategies})


@settings(max_examples=120)
@given(sent=rows(VALUES, POST_FIELDS), who=st.sampled_from(WHO), fields=st.sampled_from(FIELDS))
def test_what_was_sent_is_written_alike(shared: World, sent: dict[str, object], who: str, fields: str) -> None:
    with shared.storage.write() as tx:
        tx.run("DELETE FROM posts")
        record = shared.add_unchecked(tx, "posts", sent)
    auth = shared.known()["root"] if who == "root" else None
    check_both(shared, "posts", record.id, asking(auth, query={"fields": fields} if fields else {}))


RAW: st.SearchStrategy[SQLValue] = (
    st.none()
    | st.integers(-(2**53), 2**53)
    | st.integers(-(10**9), 10**9).map(lambda number: number / 1000)
    | TEXTS
    | st.sampled_from(
        ["[]", '["x"]', '["x","x",1,null,""]', "[1", "{}", "null", "true", '"x"', "2022-01-01", "1e5", "0"]
    )
)


@settings(max_examples=120)
@given(row=st.fixed_dictionaries({f.name: RAW for f in POST_FIELDS}))
def test_what_somebody_put_into_the_table_is_written_alike(shared: World, row: dict[str, SQLValue]) -> None:
    columns = {name: value for name, value in row.items() if value is not None}
    names = ",".join(map(quote, columns))
    with shared.storage.write() as tx:
        tx.run("DELETE FROM posts")
        marks = ",".join("?" * (len(columns) + 1))
        tx.run(f'INSERT INTO posts ("id",{names}) VALUES ({marks})' if names else "INSERT INTO posts (id) VALUES (?)",
               ["abcdefghij12345", *columns.values()])  # fmt: skip
    check_both(shared, "posts", "abcdefghij12345", asking(shared.known()["root"]))


@settings(max_examples=60)
@given(
    visible=st.lists(st.booleans(), min_size=1, max_size=4),
    who=st.sampled_from(WHO),
    fields=st.sampled_from(FIELDS),
)
def test_accounts_are_written_alike(shared: World, visible: list[bool], who: str, fields: str) -> None:
    with shared.storage.write() as tx:
        tx.run("DELETE FROM users")
        accounts = [
            shared.add_unchecked(tx, "users", {"email": f"{n}@example.com", "emailVisibility": shows})
            for n, shows in enumerate(visible)
        ]
    auth = {"guest": None, "owner": accounts[-1], "root": shared.known()["root"]}[who]
    request = asking(auth, query={"fields": fields} if fields else {})
    with shared.storage.read() as reader:
        found = find_all(reader, shared.of("users"), {})
        shared.output.enrich(reader, found, request)
    text = encoding.encode([public_values(record) for record in found])
    if (picked := pick.parse(fields)) is not None:
        text = picked.apply_json(text)
    page = shared.records.list(request, shared.of("users"))
    assert page.partition(b',"page"')[0] == b'{"items":' + text
    for account in accounts:
        expected = written_by_python(shared, request, "users", account.id)
        assert shared.records.view(request, shared.of("users"), account.id) == expected
