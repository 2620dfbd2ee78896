from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcast.errors import FilterError
from rowcast.rules import RuleReads
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import new_record, to_row
from rowcast.storage import Reader
from tests.unit.records.world import World, asking, failing


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("rules") / "data")
    yield world
    world.close()


@pytest.fixture(scope="module")
def accounts(shared: World) -> dict[str, Record]:
    return {
        "ann": shared.account(email="ann@example.com", team="red"),
        "bob": shared.account(email="bob@example.com", team="blue"),
        "root": shared.superuser(),
    }


@pytest.mark.parametrize(
    ("rule", "who", "expected"),
    [
        (None, None, False),
        (None, "ann", False),
        (None, "root", True),
        ("", None, True),
        ("n = 1", None, True),
        ("n = 2", None, False),
        ("n = 2", "root", True),
        ("author = @request.auth.id", "ann", True),
        ("author = @request.auth.id", "bob", False),
        ("author = @request.auth.id", None, False),
        ("author.team = @request.auth.team", "ann", True),
        ("author.team = @request.auth.team", "bob", False),
        ("secret = 's'", None, True),
        ("@collection.users.id ?= author", None, True),
        ("missing = 1", "root", True),
    ],
)
def test_a_rule_is_null_empty_or_asked(
    shared: World, accounts: dict[str, Record], rule: str | None, who: str | None, *, expected: bool
) -> None:
    record = new_record(shared.of("posts"))
    record.values |= {"title": "t", "n": 1, "author": accounts["ann"].id, "secret": "s"}
    with shared.storage.read() as reader:
        auth = accounts[who] if who else None
        assert shared.rules.allows(reader, rule, record, asking(auth)) is expected
        assert shared.rules.allows(reader, rule, record, asking(auth), is_new=True, row=to_row(record)) is expected


@pytest.mark.parametrize("rule", ["missing = 1", "n =", "n = 1 &&"])
def test_broken_rules_are_errors(shared: World, rule: str) -> None:
    record = new_record(shared.of("posts"))
    with shared.storage.read() as reader:
        assert isinstance(failing(lambda: shared.rules.allows(reader, rule, record, asking())), FilterError)


def test_a_filter_of_a_client_names_no_hidden_field_and_asks_superusers_too(
    shared: World, accounts: dict[str, Record]
) -> None:
    record = new_record(shared.of("posts"))
    record.values["n"] = 1
    request = asking(accounts["root"])
    with shared.storage.read() as reader:
        assert shared.rules.matches(reader, "", record, request)
        assert shared.rules.matches(reader, "n = 1", record, request)
        assert not shared.rules.matches(reader, "n = 2", record, request)
        assert isinstance(failing(lambda: shared.rules.matches(reader, "secret = ''", record, request)), FilterError)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n = 1", RuleReads(auth=False, options=False, rows=False)),
        ("author = @request.auth.id", RuleReads(auth=True, options=False, rows=False)),
        ("author.team = @request.auth.team", RuleReads(auth=True, options=False, rows=True)),
        ("title = @request.query.t", RuleReads(auth=False, options=True, rows=False)),
        ("title = @request.headers.t && @request.auth.id != ''", RuleReads(auth=True, options=True, rows=False)),
        ("created < @now", RuleReads(auth=False, options=False, rows=False)),
    ],
)
def test_what_a_rule_reads_is_known(shared: World, text: str, expected: RuleReads) -> None:
    assert shared.rules.reads(text, shared.of("posts"), shared.of("users")) == expected


def test_a_changed_collection_is_compiled_again(shared: World) -> None:
    record = new_record(shared.of("posts"))
    with shared.storage.read() as reader:
        assert shared.rules.allows(reader, "n = 0", record, asking())
        fields = tuple(field for field in shared.of("posts").fields if field.name != "n")
        before = shared.catalog.current
        try:
            changed = shared.alter("posts", fields=fields)
            changed_record = new_record(changed)
            error = failing(lambda: shared.rules.allows(reader, "n = 0", changed_record, asking()))
            assert isinstance(error, FilterError)
        finally:
            shared.catalog.current = before


RULES = (
    "n = 1",
    "n > 0 && is_open = true",
    "title ~ 'a' || title !~ 'b'",
    "title = @request.auth.team",
    "author = @request.auth.id",
    "author != ''",
    "author.team = 'red'",
    "author.team != 'red'",
    "readers.team ?= 'red'",
    "readers.team = 'red'",
    "readers:length > 1",
    "readers:each != ''",
    "tags:each = 'x'",
    "tags:each ?= 'x'",
    "tags ~ 'x'",
    "kind ?= 'a' && tags:length < 2",
    "data.a = 1",
    "day > '2020-01-01'",
    "@request.query.q = title",
    "@collection.users.team ?= title",
    "@collection.users.team = title",
    "readers.id ?= author",
    "title:lower = 'a'",
    "n = '1'",
    "title = 1",
    "is_open = 1",
    "n != null",
    "kind = ''",
    "id = ''",
    "contact = link",
)


def is_listed(world: World, rule: str, record: Record, request: RequestInfo) -> bool:
    world.alter("posts", list_rule=rule)
    page = world.records.list(request, world.of("posts"))
    return f'"id":"{record.id}"'.encode() in page


def answers(world: World, reader: Reader, rule: str, record: Record, request: RequestInfo) -> list[bool]:
    """Return what the ways to judge a stored record say."""
    rules = world.rules
    return [
        rules.allows(reader, rule, record, request),
        rules.holds(reader, rule, record.collection, record.id, request, row=to_row(record)),
        is_listed(world, rule, record, request),
    ]


@pytest.mark.property
@settings(max_examples=150)
@given(
    rule=st.sampled_from(RULES),
    values=st.fixed_dictionaries({
        "title": st.sampled_from(["", "a", "A", "ab", "red", "1", "1.0"]),
        "n": st.sampled_from([0, 1, 1.5, -1]),
        "is_open": st.booleans(),
        "kind": st.sampled_from(["", "a", "b"]),
        "tags": st.lists(st.sampled_from(["x", "y", "z"]), unique=True),
        "data": st.sampled_from([None, 1, {"a": 1}, {"a": "1"}, [1]]),
        "day": st.sampled_from(["", "2019-01-01 00:00:00.000Z", "2021-01-01 00:00:00.000Z"]),
        "author": st.sampled_from(["", "ann", "bob", "gone"]),
        "readers": st.lists(st.sampled_from(["ann", "bob", "gone"]), unique=True),
    }),
    who=st.sampled_from(["", "ann", "bob"]),
    query=st.sampled_from([{}, {"q": "a"}]),
)  # fmt: skip
def test_every_way_to_judge_says_the_same(
    shared: World,
    accounts: dict[str, Record],
    rule: str,
    values: dict[str, object],
    who: str,
    query: dict[str, str],
) -> None:
    ids = {name: account.id for name, account in accounts.items()} | {"": "", "gone": "gone0gone0gone0"}
    before = shared.catalog.current
    with shared.storage.write() as tx:
        tx.run("DELETE FROM posts")
        readers = values["readers"]
        assert isinstance(readers, list)
        record = shared.add_unchecked(
            tx, "posts", values | {"author": ids[str(values["author"])], "readers": [ids[name] for name in readers]}
        )
    request = asking(accounts[who] if who else None, query=query)
    try:
        with shared.storage.read() as reader:
            said = answers(shared, reader, rule, record, request)
    finally:
        shared.catalog.current = before
    assert said in ([True] * 3, [False] * 3)
