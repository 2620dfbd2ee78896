"""Importing a whole set of collections."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rowcast import encoding
from rowcast.errors import BadRequestError
from tests.unit.admin.office import Office, codes, field

TITLE = field("text", "title", id="t1")
FAILURE = "collections_import_failure"


def names(office: Office) -> list[str]:
    return [collection.name for collection in office.catalog.current if not collection.system]


def fields(office: Office, name: str) -> list[tuple[str, str]]:
    return [(one.name, one.id) for one in office.found(name).fields]


def test_creates_what_is_new_and_views_last(office: Office) -> None:
    office.import_(
        {"name": "wall", "type": "view", "viewQuery": "select id, title from posts"},
        {"name": "posts", "fields": [TITLE], "indexes": ["create index i on x (title)"]},
        {"name": "people", "type": "auth"},
        {"name": "own", "id": "own_id", "type": "auth"},
    )
    assert names(office) == ["users", "posts", "people", "own", "wall"]
    assert fields(office, "posts") == [("id", "text3208210256"), ("title", "t1")]
    assert office.found("people").auth is not None
    assert office.found("own").indexes[0] == "CREATE UNIQUE INDEX `idx_tokenKey_own_id` ON `own` (`tokenKey`)"
    assert fields(office, "wall")[0] == ("id", "text3208210256")


def test_lays_values_over_what_is_there(office: Office) -> None:
    id = office.create("posts", TITLE, field("text", "b"), listRule="")["id"]
    office.run("INSERT INTO posts (id, title) VALUES ('1', 'a')")
    office.import_({"id": id, "name": "notes", "viewRule": "", "fields": [{**TITLE, "name": "text"}]})
    found = office.found("notes")
    assert (found.id, found.list_rule, found.view_rule) == (id, "", "")
    assert [name for name, _ in fields(office, "notes")] == ["text", "id", "b"]
    assert office.rows("SELECT text FROM notes") == [("a",)]


def test_a_field_without_id_takes_the_column_of_its_name(office: Office) -> None:
    office.create("posts", TITLE)
    office.run("INSERT INTO posts (id, title) VALUES ('1', 'a')")
    office.import_({"name": "posts", "fields": [field("text", "title"), field("text", "new")]})
    assert fields(office, "posts") == [("title", "t1"), ("new", "text1810056261"), ("id", "text3208210256")]
    assert office.rows("SELECT title FROM posts") == [("a",)]


def test_deletes_what_is_missing_where_asked(office: Office) -> None:
    office.create("posts", TITLE, field("text", "b"))
    office.create("notes", field("relation", "r", collectionId="_pb_users_auth_"))
    office.import_({"name": "posts", "fields": [field("text", "b")]}, {"name": "users2"}, deletes=True)
    assert names(office) == ["posts", "users2"]
    assert [name for name, _ in fields(office, "posts")] == ["b", "id"]
    assert not office.has_table("notes")
    assert not office.has_table("users")
    assert office.catalog.current.find("_superusers") is not None
    assert sorted(event.before.name for event in office.told if event.after is None) == ["notes", "users"]


def test_fields_that_are_left_out_are_deleted_with_what_is_missing(office: Office) -> None:
    office.create("posts", TITLE)
    office.import_({"name": "posts"}, {"name": "users"}, deletes=True)
    assert [name for name, _ in fields(office, "posts")] == ["id"]
    assert [name for name, _ in fields(office, "users")][-2:] == ["emailVisibility", "verified"]


def test_a_deleted_name_can_be_used_again(office: Office) -> None:
    office.create("posts", TITLE)
    office.import_({"name": "posts", "id": "other"}, deletes=True)
    assert office.found("posts").id == "other"


def test_collections_can_refer_to_each_other(office: Office) -> None:
    office.import_(
        {"id": "a_id", "name": "a", "fields": [field("relation", "b", collectionId="b_id")]},
        {
            "id": "b_id",
            "name": "b",
            "fields": [field("relation", "a", collectionId="a_id")],
            "listRule": "a.b.id != ''",
        },
    )
    assert names(office) == ["users", "a", "b"]


def test_errors_of_a_collection_are_told_as_one_text(office: Office) -> None:
    with pytest.raises(BadRequestError) as raised:
        office.import_({"name": "a"}, {"name": "b", "fields": [field("text", "expand")]})
    assert raised.value.message == "Failed to import collections."
    assert raised.value.data.to_json() == {
        "collections": {
            "code": "validation_collections_import_failure",
            "message": 'Data validations failed for collection "b" (pbc_1271597769):\n'
            '{\n  "fields": {\n    "1": {\n      "name": "must not be in list"\n    }\n  }\n}.',
        }
    }


BAD: list[tuple[str, list[Any], str]] = [
    ("wrong type", [{"name": 5}], "name must be a text"),
    ("no fields", [{"name": "a", "fields": "x"}], "fields must be a list"),
    ("another id", [{"id": "USERS", "name": "x"}], 'failed to save collection "x": the collection doesn\'t exist'),
    ("broken view", [{"name": "v", "type": "view", "viewQuery": "select 1"}],
     'failed to save collection "v": missing required id column'),
    ("same name", [{"name": "a"}, {"name": "a"}], 'save collection "a": constraint failed: UNIQUE constraint'),
    ("rename of a system collection", [{"id": "_pb_users_auth_", "type": "base"}], "Data validations failed"),
    ("change of a system rule", [{"name": "_superusers", "listRule": ""}], "System collection API rule"),
]  # fmt: skip


@pytest.mark.sqlite
@pytest.mark.parametrize(("items", "text"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_nothing_stays_of_a_failed_import(office: Office, items: list[Any], text: str) -> None:
    before, catalog = office.schema(), office.catalog.current
    with pytest.raises(BadRequestError) as raised:
        office.import_({"name": "first"}, *items, deletes=True)
    assert codes(raised.value) == {"collections": FAILURE}
    message = str(raised.value.data.to_json()["collections"]["message"])  # type: ignore[index]
    assert text in message
    assert office.schema() == before
    assert office.catalog.current is catalog
    assert office.told == []


def test_errors_of_indexes_keep_their_form(office: Office) -> None:
    with pytest.raises(BadRequestError) as raised:
        office.import_({"name": "a", "indexes": ["create index i on a (nope)"]})
    assert codes(raised.value) == {"indexes.0": "invalid_index_expression"}


@pytest.mark.parametrize(
    ("body", "message", "expected"),
    [
        (None, "An error occurred while validating the submitted data.", {"collections": "required"}),
        ({"collections": []}, "An error occurred while validating the submitted data.", {"collections": "required"}),
        ({"collections": 5}, "An error occurred while loading the submitted data.", {}),
        ({"collections": [5]}, "An error occurred while loading the submitted data.", {}),
        ({"collections": [{}], "deleteMissing": 1}, "An error occurred while loading the submitted data.", {}),
        (5, "An error occurred while loading the submitted data.", {}),
    ],
)
def test_there_must_be_something_to_import(
    office: Office, body: object, message: str, expected: dict[str, str]
) -> None:
    with pytest.raises(BadRequestError) as raised:
        office.collections.import_(body)
    assert (raised.value.message, codes(raised.value)) == (message, expected)


def test_an_export_can_be_imported_again(office: Office) -> None:
    office.create("posts", TITLE, field("select", "s", values=["a"]), indexes=["create index i on posts (title)"])
    office.create("wall", type="view", viewQuery="select id, title from posts")
    exported = msgspec.json.decode(encoding.encode(office.collections.list({})["items"]))
    before = {one["name"]: one for one in exported}
    office.import_(*exported, deletes=True)
    after = msgspec.json.decode(encoding.encode(office.collections.list({})["items"]))
    for one in after:
        assert {**one, "updated": "", "fields": len(one["fields"])} == {
            **before[one["name"]], "updated": "", "fields": len(before[one["name"]]["fields"])
        }  # fmt: skip
