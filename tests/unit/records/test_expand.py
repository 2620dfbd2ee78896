from __future__ import annotations

from typing import Any

import pytest

from rowcast.records import expand
from rowcast.records.expand import parse_paths
from rowcast.schema.record import Record
from tests.unit.records.world import World


@pytest.fixture
def tree(world: World) -> dict[str, Record]:
    ann = world.account(email="ann@example.com")
    bob = world.account(email="bob@example.com", friend=ann.id, emailVisibility=True)
    one = world.add("posts", title="one", author=ann.id, readers=[bob.id, ann.id])
    two = world.add("posts", title="two")
    first = world.add("comments", post=one.id, text="first", likes=[bob.id])
    second = world.add("comments", post=one.id, text="second")
    return {"ann": ann, "bob": bob, "one": one, "two": two, "first": first, "second": second}


def shape(value: Any) -> Any:
    """Return the expanded part of records, with their ids."""
    if isinstance(value, list):
        return [shape(item) for item in value]
    expand = value.get("expand")
    return value["id"] if expand is None else {value["id"]: {name: shape(item) for name, item in expand.items()}}


def test_single_and_multiple_relations_are_expanded(world: World, tree: dict[str, Record]) -> None:
    found = world.view("posts", tree["one"].id, query={"expand": "author,readers.friend"})
    ann, bob = tree["ann"].id, tree["bob"].id
    assert shape(found) == {tree["one"].id: {"author": ann, "readers": [{bob: {"friend": ann}}, {ann: {}}]}}
    assert list(found["expand"]) == ["author", "readers"]


def test_what_is_empty_leaves_an_empty_expand(world: World, tree: dict[str, Record]) -> None:
    assert world.view("posts", tree["two"].id, query={"expand": "author"})["expand"] == {}


@pytest.mark.parametrize(
    "expand", ["missing", "title", "author.missing", "readers.friend.missing", "closed_via_title", ".", " , "]
)
def test_what_cannot_be_expanded_is_left_out(world: World, tree: dict[str, Record], expand: str) -> None:
    assert "expand" not in world.view("posts", tree["one"].id, query={"expand": expand})


def test_one_broken_path_does_not_stop_another(world: World, tree: dict[str, Record]) -> None:
    found = world.view("posts", tree["one"].id, query={"expand": "author.missing,author.friend,readers"})
    assert shape(found["expand"]["author"]) == {tree["ann"].id: {}}
    assert len(found["expand"]["readers"]) == 2


def test_back_relations_are_expanded(world: World, tree: dict[str, Record]) -> None:
    found = world.view("posts", tree["one"].id, query={"expand": "comments_via_post.likes"})
    assert [item["text"] for item in found["expand"]["comments_via_post"]] == ["first", "second"]
    assert shape(found["expand"]["comments_via_post"][0]) == {tree["first"].id: {"likes": [tree["bob"].id]}}
    found = world.view("users", tree["bob"].id, query={"expand": "comments_via_likes,posts_via_readers"})
    assert shape(found)[tree["bob"].id] == {
        "comments_via_likes": [tree["first"].id],
        "posts_via_readers": [tree["one"].id],
    }


def test_a_back_relation_over_a_unique_index_is_single(world: World, tree: dict[str, Record]) -> None:
    world.alter("comments", indexes=("CREATE UNIQUE INDEX i ON comments (post)",))
    found = world.view("posts", tree["one"].id, query={"expand": "comments_via_post"})
    assert found["expand"]["comments_via_post"]["text"] == "first"


def test_at_most_1000_back_relations_are_expanded(world: World, tree: dict[str, Record]) -> None:
    with world.storage.write() as tx:
        for number in range(1200):
            tx.run(
                "INSERT INTO comments (id, text, post, likes) VALUES (?, ?, ?, '[]')",
                [f"c{number}", "", tree["two"].id],
            )
    page = world.list("posts", query={"expand": "comments_via_post", "sort": "title"})
    assert [len(item["expand"]["comments_via_post"]) for item in page["items"]] == [2, 1000]


def test_the_view_rule_of_the_target_decides(world: World, tree: dict[str, Record]) -> None:
    query = {"expand": "author,comments_via_post"}
    world.alter("users", view_rule="id = @request.auth.id")
    world.alter("comments", view_rule='@request.context = "expand" && text = "first"')
    found = world.view("posts", tree["one"].id, query=query)
    assert shape(found) == {tree["one"].id: {"comments_via_post": [tree["first"].id]}}
    found = world.view("posts", tree["one"].id, query=query, auth=tree["ann"])
    assert found["expand"]["author"]["email"] == "ann@example.com"
    world.alter("users", view_rule=None)
    assert "author" not in world.view("posts", tree["one"].id, query=query, auth=tree["ann"])["expand"]
    assert "author" in world.view("posts", tree["one"].id, query=query, auth=world.superuser())["expand"]


def test_hidden_fields_and_addresses_stay_hidden_below(world: World, tree: dict[str, Record]) -> None:
    query = {"expand": "post.author"}
    found = world.view("comments", tree["first"].id, query=query)
    assert "secret" not in found["expand"]["post"]
    assert "email" not in found["expand"]["post"]["expand"]["author"]
    found = world.view("comments", tree["first"].id, query=query, auth=world.superuser())
    assert "secret" in found["expand"]["post"]
    assert "email" in found["expand"]["post"]["expand"]["author"]


def test_expansion_stops_after_six_levels(world: World, tree: dict[str, Record]) -> None:
    world.update("users", tree["ann"].id, {"friend": tree["bob"].id})
    found = world.view("users", tree["ann"].id, query={"expand": ".".join(["friend"] * 9)})
    levels = 0
    while "friend" in found.get("expand", {}):
        found, levels = found["expand"]["friend"], levels + 1
    assert levels == 6


def test_a_step_that_would_show_too_many_records_is_left_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expand, "_MOST_SHOWN", 100)
    people = [world.account().id for _ in range(9)]
    post, *_ = [world.add("posts", title=str(number), readers=people).id for number in range(9)]
    found = world.view("posts", post, query={"expand": "readers.posts_via_readers"})
    assert [len(one["expand"]["posts_via_readers"]) for one in found["expand"]["readers"]] == [9] * 9
    # Each of 81 posts would come with nine readers.
    deep = {"expand": "author,readers.posts_via_readers.readers"}
    assert world.view("posts", post, query=deep)["expand"] == {}
    monkeypatch.setattr(expand, "_MOST_SHOWN", 8)
    assert "expand" not in world.view("posts", post, query={"expand": "readers"})
    assert "expand" not in world.view("users", people[0], query={"expand": "posts_via_readers"})


def test_a_deleted_target_is_left_out(world: World, tree: dict[str, Record]) -> None:
    with world.storage.write() as tx:
        tx.run("DELETE FROM users WHERE id = ?", [tree["bob"].id])
    found = world.view("posts", tree["one"].id, query={"expand": "readers"})
    assert shape(found)[tree["one"].id] == {"readers": [tree["ann"].id]}


def test_writes_answer_with_expanded_records(world: World, tree: dict[str, Record]) -> None:
    made = world.create("comments", {"post": tree["one"].id}, query={"expand": "post", "fields": "expand.post.title"})
    assert made == {"expand": {"post": {"title": "one"}}}
    changed = world.update("comments", made_id(world), {"post": tree["two"].id}, query={"expand": "post"})
    assert changed["expand"]["post"]["title"] == "two"


def made_id(world: World) -> str:
    return world.changes[-1].record.id


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", {"a": {}}),
        ("a.b.c, a.b, a,b", {"a": {"b": {"c": {}}}, "b": {}}),
        (" a . b ,, .c. ", {"a": {"b": {}}, "c": {}}),
        ("", {}),
    ],
)
def test_paths_make_a_tree(text: str, expected: object) -> None:
    assert parse_paths(text) == expected
