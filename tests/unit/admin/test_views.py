"""View collections: fields, ids, trial runs, and what happens when the tables behind them change."""

from __future__ import annotations

from typing import Any

import pytest

from rowcast.admin.views import ViewError, infer_fields, with_text_id
from rowcast.errors import BadRequestError
from tests.unit.admin.office import Office, codes, field


@pytest.fixture
def posts(office: Office) -> Office:
    office.create("posts", field("text", "title"), field("number", "n"), field("file", "paper"))
    office.run("INSERT INTO posts (id, title, n) VALUES ('p1', 'a', 1), ('p2', 'b', 2)")
    return office


def kinds(collection: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["type"] for one in collection["fields"]}


@pytest.mark.sqlite
def test_fields_come_in_the_order_of_the_columns(posts: Office) -> None:
    query = (
        "select n, title as T, posts.id, count(posts.id) as c, posts.id as again, paper, u.email "
        "from posts left join users u on 1=0 group by posts.id"
    )
    created = posts.create("wall", field("text", "ignored"), type="view", viewQuery=query)
    assert kinds(created) == {
        "n": "number", "T": "text", "id": "text", "c": "number", "again": "relation", "paper": "file", "email": "email"
    }  # fmt: skip
    assert created["viewQuery"] == query


@pytest.mark.sqlite
def test_a_view_has_the_sql_of_the_reference(posts: Office) -> None:
    posts.create("wall", type="view", viewQuery="select (row_number() over()) as id, title as t from posts;")
    assert posts.rows("SELECT sql FROM sqlite_schema WHERE name = 'wall'") == [
        (
            "CREATE VIEW `wall` AS SELECT * FROM (SELECT CAST(`id` as TEXT) `id`,`t` FROM "
            "(select (row_number() over()) as id, title as t from posts))",
        )
    ]
    assert posts.rows("SELECT id, t FROM wall") == [("1", "a"), ("2", "b")]


def test_a_view_with_text_ids_is_taken_as_it_is(posts: Office) -> None:
    with posts.storage.write() as transaction:
        assert with_text_id(transaction, " select id, title from posts; ") == "select id, title from posts"


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("select * from posts", "wildcard columns (*) are not supported - manually type the collection field names "
                                "you want the view query to have"),
        ("select title from posts", "missing required id column (you can use `(ROW_NUMBER() OVER()) as id` if you "
                                    "don't have one)"),
        ("select id from nope", "SQL logic error: no such table: main.nope (1)"),
        ("select id, nope from posts", "SQL logic error: no such column: nope (1)"),
        ("delete from posts", 'SQL logic error: near "delete": syntax error (1)'),
        ("select 1 as id; drop table posts", "multiple statements are not supported"),
        ("select 1 as id) union select * from (select 2", "multiple statements are not supported"),
        ("select id, (title from posts", 'unbalanced parenthesis or quoted expression: "(title from posts"'),
        ("select id, title x y z from posts", "invalid identifier parts [title x y z]"),
        ("select id, title of y from posts", 'invalid identifier part - expected "as", got of'),
        ("select id, title as `a b` from posts", 'invalid field "a b" (1): name: must be in a valid format.'),
        ("select 'a' as id union all select 'a'", None),
        ("select '' as id", "the query could return records with empty or invalid ids"),
        ("select 1 as id from posts", "the query could return records with non-unique ids"),
    ],
)  # fmt: skip
def test_broken_queries_are_refused_and_leave_nothing(posts: Office, query: str, reason: str | None) -> None:
    before = posts.schema()
    with pytest.raises(BadRequestError) as raised:
        posts.create("wall", type="view", viewQuery=query)
    error: Any = raised.value.data.to_json()["viewQuery"]
    assert error["code"] == "validation_invalid_view_query"
    if reason is not None:
        assert error["message"].removeprefix("Invalid query - ").rstrip(".") == reason.rstrip(".")
    with pytest.raises(BadRequestError) as raised:
        posts.collections.dry_run_view({"query": query})
    assert raised.value.message.startswith("Invalid view query. Raw error: \n")
    assert posts.schema() == before


def test_a_trial_run_shows_fields_and_records(posts: Office) -> None:
    result: Any = posts.collections.dry_run_view({"Query": "select id, title, n from posts order by id desc"})
    assert list(result) == ["fields", "sample"]
    assert [one["name"] for one in result["fields"]] == ["id", "title", "n"]
    (first, second) = result["sample"]
    assert first | {"collectionId": "", "collectionName": ""} == {
        "collectionId": "", "collectionName": "", "id": "p2", "n": 2, "title": "b"
    }  # fmt: skip
    assert first["collectionName"].startswith("temp_view_")
    assert second["id"] == "p1"


def test_a_trial_run_shows_ten_records_and_hides_hidden_fields(office: Office) -> None:
    query = (
        "with recursive c as (select 1 as i union all select i + 1 from c where i < 20) "
        "select c.i as id, u.password, u.tokenKey from c left join users u on 1=0"
    )
    result: Any = office.collections.dry_run_view({"query": query})
    assert len(result["sample"]) == 10
    assert set(result["sample"][0]) == {"collectionId", "collectionName", "id"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [({}, {"query": "required"}), ({"query": "x" * 5001}, {"query": "length_too_long"}), ({"query": 5}, {}), ([], {})],
)
def test_a_trial_run_needs_a_query(office: Office, body: object, expected: dict[str, str]) -> None:
    with pytest.raises(BadRequestError) as raised:
        office.collections.dry_run_view(body)
    assert codes(raised.value) == expected


def test_views_follow_the_fields_that_they_select(posts: Office) -> None:
    posts.create("wall", type="view", viewQuery="select id, title from posts")
    posts.create("top", type="view", viewQuery="select w.id, w.title as t from wall w")
    (title, n, paper) = posts.collections.view("posts")["fields"][1:]  # type: ignore[index]
    posts.told.clear()
    posts.update("posts", fields=[{**title, "max": 7}, n, paper])
    assert [posts.found(name).fields[1].max for name in ("wall", "top")] == [7, 7]  # type: ignore[attr-defined]
    assert [event.before.name for event in posts.told] == ["posts", "wall", "top"]


def test_views_that_are_not_touched_stay_as_they_are(posts: Office) -> None:
    before = posts.create("wall", type="view", viewQuery="select id, title from posts")
    posts.update("posts", listRule="")
    assert posts.collections.view("wall") == before


def test_a_broken_view_stops_no_change_and_no_other_view(posts: Office) -> None:
    posts.create("old", type="view", viewQuery="select id from users")
    posts.create("wall", type="view", viewQuery="select id, title from posts")
    posts.update("users", name="folk")
    (title, n, paper) = posts.collections.view("posts")["fields"][1:]  # type: ignore[index]
    posts.update("posts", fields=[{**title, "max": 7}, n, paper])
    assert posts.found("wall").fields[1].max == 7  # type: ignore[attr-defined]


@pytest.mark.sqlite
def test_a_renamed_view_leaves_nothing_behind(posts: Office) -> None:
    posts.create("wall", type="view", viewQuery="select id from posts")
    posts.update("wall", name="board", viewQuery="select id, title from posts")
    assert posts.rows("SELECT name FROM sqlite_schema WHERE type = 'view'") == [("board",)]
    assert kinds(posts.collections.view("board")) == {"id": "text", "title": "text"}


def test_a_query_is_read_again_at_every_change(posts: Office) -> None:
    posts.create("wall", type="view", viewQuery="select id, title from posts")
    with pytest.raises(BadRequestError) as raised:
        posts.update("wall", viewQuery="select 'x' as title", listRule="n > 1")
    assert codes(raised.value) == {
        "fields": "missing_primary_key", "listRule": "invalid_rule", "viewQuery": "invalid_view_query"
    }  # fmt: skip


def test_what_was_found_of_a_query_comes_with_the_error(posts: Office) -> None:
    with posts.storage.write() as transaction, pytest.raises(ViewError) as raised:
        infer_fields(transaction, "select title, n from posts", posts.catalog.current)
    assert [one.name for one in raised.value.fields] == ["title", "n"]
