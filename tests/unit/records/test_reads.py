from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rowcast.errors import BadRequestError, ForbiddenError, NotFoundError
from rowcast.records.finding import find_all, find_unique
from rowcast.schema.record import Record
from tests.unit.records.world import World, asking, failing


@pytest.fixture
def posts(world: World) -> list[Record]:
    return [world.add("posts", title=f"post {n}", n=n, secret="s", tags=["x"] if n % 2 else []) for n in range(5)]


def titles(page: dict[str, Any]) -> list[str]:
    return [item["title"] for item in page["items"]]


# -- list ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "count", "rest"),
    [
        ({}, 5, {"page": 1, "perPage": 30, "totalItems": 5, "totalPages": 1}),
        ({"perPage": "2"}, 2, {"page": 1, "perPage": 2, "totalItems": 5, "totalPages": 3}),
        ({"perPage": "2", "page": "3"}, 1, {"page": 3, "perPage": 2, "totalItems": 5, "totalPages": 3}),
        ({"perPage": "2", "page": "9"}, 0, {"page": 9, "perPage": 2, "totalItems": 5, "totalPages": 3}),
        ({"perPage": "5"}, 5, {"page": 1, "perPage": 5, "totalItems": 5, "totalPages": 1}),
        ({"perPage": "-1", "page": "-7"}, 5, {"page": 1, "perPage": 30, "totalItems": 5, "totalPages": 1}),
        ({"perPage": "9999"}, 5, {"page": 1, "perPage": 1000, "totalItems": 5, "totalPages": 1}),
        ({"page": "9223372036854775807"}, 0, {"perPage": 30, "totalItems": 5}),
        ({"skipTotal": "1"}, 5, {"totalItems": -1, "totalPages": -1}),
        ({"skipTotal": "false"}, 5, {"totalItems": 5}),
        ({"filter": "n > 2"}, 2, {"totalItems": 2, "totalPages": 1}),
        ({"filter": "n > 2", "perPage": "1"}, 1, {"totalItems": 2, "totalPages": 2}),
        ({"filter": "n > 20"}, 0, {"page": 1, "totalItems": 0, "totalPages": 0}),
    ],
)
def test_pages_are_cut_and_counted(
    world: World, posts: list[Record], query: dict[str, str], count: int, rest: dict[str, int]
) -> None:
    page = world.list("posts", query=query)
    assert list(page) == ["items", "page", "perPage", "totalItems", "totalPages"]
    assert len(page["items"]) == count
    assert {name: page[name] for name in rest} == rest


@pytest.mark.parametrize(
    "query",
    [
        {"page": "x"},
        {"page": "1.5"},
        {"perPage": "10_0"},
        {"perPage": "99999999999999999999"},
        {"skipTotal": "yes"},
        {"filter": "missing = 1"},
        {"filter": "n ="},
        {"filter": "secret = 's'"},
        {"filter": "n = 1" + " " * 4000},
        {"sort": "missing"},
        {"sort": "secret"},
        {"sort": ",".join(["n"] * 9)},
        {"fields": "n:lower"},
    ],
)
def test_bad_queries_are_refused(world: World, posts: list[Record], query: dict[str, str]) -> None:
    error = failing(lambda: world.list("posts", query=query))
    assert type(error) is BadRequestError
    if "fields" not in query:
        assert error.message == "Something went wrong while processing your request."


def test_superusers_filter_and_sort_by_hidden_fields(world: World, posts: list[Record]) -> None:
    page = world.list("posts", auth=world.superuser(), query={"filter": "secret = 's'", "sort": "-secret,-n"})
    assert titles(page) == [f"post {n}" for n in range(4, -1, -1)]
    assert page["items"][0]["secret"] == "s"


@pytest.mark.parametrize("name", ["filter", "sort"])
@pytest.mark.parametrize("field", ["@collection.", "@request."])
def test_only_superusers_ask_about_others(world: World, name: str, field: str) -> None:
    error = failing(lambda: world.list("posts", query={name: f"{field}posts.id = ''"}))
    assert (type(error), error.message) == (ForbiddenError, f"Only superusers can filter by {field}")


def test_the_list_rule_leaves_out_what_it_does_not_allow(world: World, posts: list[Record]) -> None:
    user = world.account()
    world.alter("posts", list_rule="n > 1 && @request.auth.id != ''")
    assert world.list("posts")["items"] == []
    assert titles(world.list("posts", auth=user, query={"filter": "n < 4 || n = 0", "sort": "-n"})) == [
        "post 3",
        "post 2",
    ]
    assert len(world.list("posts", auth=world.superuser())["items"]) == 5


def test_a_rule_may_name_hidden_fields_that_a_filter_may_not(world: World, posts: list[Record]) -> None:
    world.alter("posts", list_rule="secret = 's'")
    assert len(world.list("posts")["items"]) == 5


def test_a_null_list_rule_is_for_superusers(world: World) -> None:
    assert type(failing(lambda: world.list("closed"))) is ForbiddenError
    assert world.list("closed", auth=world.superuser())["items"] == []


def test_a_broken_list_rule_lists_nothing(world: World, posts: list[Record]) -> None:
    world.alter("posts", list_rule="missing = 1")
    assert type(failing(lambda: world.list("posts"))) is BadRequestError


def test_records_that_match_twice_are_listed_once(world: World, posts: list[Record]) -> None:
    for _ in range(3):
        world.add("comments", post=posts[0].id, text="same")
    query = {"filter": "comments_via_post.text ?= 'same'", "sort": "title", "perPage": "2"}
    page = world.list("posts", auth=world.superuser(), query=query)
    assert (titles(page), page["totalItems"]) == (["post 0"], 1)


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ("id,title", ["id", "title"]),
        ("title", ["title"]),
        ("title,secret,collectionName", ["collectionName", "title"]),
        ("data", ["data"]),
        ("nothing", []),
    ],
)
def test_fields_are_picked_from_items(world: World, posts: list[Record], fields: str, keys: list[str]) -> None:
    page = world.list("posts", query={"fields": fields})
    assert all(list(item) == keys for item in page["items"])
    assert page["totalItems"] == 5


def test_lists_of_views_are_read_like_others(world: World, posts: list[Record]) -> None:
    page = world.list("titles", query={"sort": "-title", "perPage": "1"})
    assert (titles(page), page["totalItems"]) == (["post 4"], 5)
    assert page["items"][0]["collectionName"] == "titles"


# -- view ----------------------------------------------------------------------------------------


def test_a_record_is_shown_to_whom_the_view_rule_allows(world: World, posts: list[Record]) -> None:
    world.alter("posts", view_rule="n = 1")
    assert world.view("posts", posts[1].id)["title"] == "post 1"
    assert type(failing(lambda: world.view("posts", posts[2].id))) is NotFoundError
    assert world.view("posts", posts[2].id, auth=world.superuser())["secret"] == "s"


@pytest.mark.parametrize("rule", ["missing = 1", "n = 99"])
def test_what_may_not_be_seen_is_not_found(world: World, posts: list[Record], rule: str) -> None:
    world.alter("posts", view_rule=rule)
    for query in ({}, {"expand": "author"}):
        error = failing(lambda query=query: world.view("posts", posts[0].id, query=query))  # type: ignore[misc]
        assert (type(error), error.message) == (NotFoundError, "The requested resource wasn't found.")


def test_a_null_view_rule_is_for_superusers(world: World) -> None:
    assert type(failing(lambda: world.view("closed", "x"))) is ForbiddenError


def test_a_record_that_is_not_there_is_not_found(world: World) -> None:
    for query in ({}, {"expand": "author"}):
        assert type(failing(lambda query=query: world.view("posts", "x' OR 1=1", query=query))) is NotFoundError  # type: ignore[misc]


def test_html_is_escaped(world: World) -> None:
    made = world.add("posts", title="<b>&\u2028", data={"<": ">"})
    request = asking(query={})
    text = world.records.view(request, world.of("posts"), made.id)
    assert b'"title":"\\u003cb\\u003e\\u0026\\u2028"' in text
    assert b'"data":{"\\u003c":"\\u003e"}' in text
    assert text in world.records.list(request, world.of("posts"))


# -- e-mails -------------------------------------------------------------------------------------


@pytest.fixture
def people(world: World) -> dict[str, Record]:
    return {
        "open": world.account("staff", email="open@example.com", emailVisibility=True),
        "shy": world.account("staff", email="shy@example.com"),
        "user": world.account("users", email="user@example.com"),
        "root": world.superuser(),
    }


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        (None, {"open@example.com"}),
        ("user", {"open@example.com"}),
        ("shy", {"open@example.com", "shy@example.com"}),
        ("root", {"open@example.com", "shy@example.com"}),
    ],
)
@pytest.mark.parametrize("manage", ['@request.auth.collectionName = "staff"', "id = @request.auth.id", None])
@pytest.mark.parametrize("query", [{}, {"expand": "nothing"}, {"fields": "*"}, {"fields": "email"}])
def test_an_address_is_seen_by_owner_manager_and_superuser(
    world: World, people: dict[str, Record], who: str | None, seen: set[str], manage: str | None, query: dict[str, str]
) -> None:
    options = world.of("staff").auth
    assert options is not None
    world.alter("staff", auth=msgspec.structs.replace(options, manage_rule=manage))
    auth = people[who] if who else None
    page = world.list("staff", auth=auth, query=query)
    assert {item["email"] for item in page["items"] if "email" in item} == seen
    shy = world.view("staff", people["shy"].id, auth=auth, query=query)
    assert ("email" in shy) == ("shy@example.com" in seen)
    assert "password" not in shy
    assert "tokenKey" not in shy


def test_a_broken_manage_rule_shows_no_address(world: World, people: dict[str, Record]) -> None:
    options = world.of("staff").auth
    assert options is not None
    world.alter("staff", auth=msgspec.structs.replace(options, manage_rule="missing = 1"))
    assert "email" not in world.view("staff", people["shy"].id, auth=people["user"])


# -- without rules -------------------------------------------------------------------------------


def test_records_are_found_by_values(world: World, posts: list[Record]) -> None:
    with world.storage.read() as reader:
        found = find_all(reader, world.of("posts"), {"secret": "s", "n": 3})
        assert [record.id for record in found] == [posts[3].id]
        assert world.records.find_first(reader, world.of("posts"), "title", "post 2") is not None
        assert world.records.find_first(reader, world.of("posts"), "title", "missing") is None
        assert isinstance(failing(lambda: find_all(reader, world.of("posts"), {'nope" OR 1': 1})), ValueError)


@pytest.mark.parametrize(("collation", "is_found"), [("", False), (" COLLATE NOCASE", True)])
def test_a_unique_field_is_found_as_its_index_compares(world: World, collation: str, *, is_found: bool) -> None:
    user = world.account(email="Ann@example.com")
    world.alter("users", indexes=(f"CREATE UNIQUE INDEX i ON users (email{collation}) WHERE email != ''",))
    with world.storage.read() as reader:
        found = find_unique(reader, world.of("users"), "email", "ann@EXAMPLE.com")
        assert (found is not None and found.id == user.id) == is_found
