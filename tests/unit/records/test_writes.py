from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from rowcast.errors import BadRequestError, ForbiddenError, NotFoundError
from rowcast.schema.record import Record
from rowcast.schema.uploads import Upload, upload
from tests.unit.records.world import PASSWORD, World, failing

NEW_ACCOUNT: dict[str, object] = {
    "email": "new@example.com",
    "password": "12345678",
    "passwordConfirm": "12345678",
}


def data_of(error: Any) -> dict[str, Any]:
    found: dict[str, Any] = error.data.to_json()
    return found


# -- create --------------------------------------------------------------------------------------


def test_a_created_record_is_stored_and_announced(world: World) -> None:
    made = world.create("posts", {"title": "one", "n": 5, "tags": ["x", "z"], "data": {"b": 1, "a": [2]}})
    assert len(made["id"]) == 15
    assert len(made["slug"]) == 8
    assert made["created"] == made["updated"] != ""
    assert (made["n"], made["tags"], made["data"]) == (5, ["x", "z"], {"a": [2], "b": 1})
    assert "secret" not in made
    assert "expand" not in made
    assert made == world.view("posts", made["id"])
    change = world.changes[0]
    assert (len(world.changes), change.action, change.record.id, change.previous) == (1, "create", made["id"], None)


def test_a_null_create_rule_is_for_superusers(world: World) -> None:
    error = failing(lambda: world.create("closed", {"title": "a"}))
    assert isinstance(error, ForbiddenError)
    assert error.message == "Only superusers can perform this action."
    assert world.create("closed", {"title": "a"}, auth=world.superuser())["title"] == "a"


@pytest.mark.parametrize(
    ("rule", "body", "is_allowed"),
    [
        ("n > 3", {"title": "t", "n": 4}, True),
        ("n > 3", {"title": "t", "n": 3}, False),
        ("@request.body.n = 3", {"title": "t", "n+": 4, "n-": 1}, True),
        ("@request.body.n = 3", {"title": "t", "n+": 4}, False),
        ("@request.body.n:isset = true", {"title": "t", "n+": 4}, True),
        ("@request.body.secret:isset = false", {"title": "t", "secret": "x"}, True),
        ("tags:each != 'x'", {"title": "t", "tags": ["y", "z"]}, True),
        ("tags:each != 'x'", {"title": "t", "tags": ["y", "x"]}, False),
        ("@collection.posts.title != title", {"title": "t"}, True),
        ("id = ''", {"title": "t"}, False),
        ("created = ''", {"title": "t"}, True),
    ],
)
def test_the_create_rule_sees_the_new_record(
    world: World, rule: str, body: dict[str, object], *, is_allowed: bool
) -> None:
    world.alter("posts", create_rule=rule)
    if is_allowed:
        world.create("posts", body)
        assert world.count("posts") == 1
        return
    error = failing(lambda: world.create("posts", body))
    assert isinstance(error, BadRequestError)
    assert (error.message, data_of(error)) == ("Failed to create record.", {})
    assert world.count("posts") == 0
    assert world.changes == []


def test_a_broken_create_rule_lets_nobody_in(world: World) -> None:
    world.alter("posts", create_rule="missing = 1")
    assert isinstance(failing(lambda: world.create("posts", {"title": "t"})), BadRequestError)


def test_superusers_pass_every_rule_and_see_hidden_fields(world: World) -> None:
    world.alter("posts", create_rule="1 = 2")
    made = world.create("posts", {"title": "t", "secret": "s"}, auth=world.superuser())
    assert made["secret"] == "s"


def test_hidden_fields_of_a_body_are_dropped(world: World) -> None:
    made = world.create("posts", {"title": "t", "secret": "s"})
    assert (world.stored("posts", made["id"]) or {})["secret"] == ""


def test_bad_values_are_told_by_field(world: World) -> None:
    world.create("posts", {"title": "taken"})
    world.changes.clear()
    error = failing(lambda: world.create("posts", {"kind": "q", "author": "nobody", "contact": "x"}))
    assert set(data_of(error)) == {"title", "kind", "author", "contact"}
    error = failing(lambda: world.create("posts", {"title": "taken"}))
    assert data_of(error) == {"title": {"code": "validation_not_unique", "message": "Value must be unique."}}
    assert world.changes == []


def test_ids_are_checked(world: World) -> None:
    made = world.create("posts", {"title": "a", "id": "abcdefghij12345"})
    assert made["id"] == "abcdefghij12345"
    assert set(data_of(failing(lambda: world.create("posts", {"title": "b", "id": "short"})))) == {"id"}
    error = failing(lambda: world.create("posts", {"title": "b", "id": "abcdefghij12345"}))
    assert data_of(error)["id"]["code"] == "validation_not_unique"


def test_views_take_no_writes(world: World) -> None:
    for call in (
        lambda: world.create("titles", {"title": "x"}),
        lambda: world.update("titles", "x", {"title": "x"}),
        lambda: world.delete("titles", "x"),
    ):
        error = failing(call)
        assert (type(error), error.message) == (BadRequestError, "Unsupported collection type.")


def test_fields_that_cannot_be_read_are_refused_before_anything_is_written(world: World) -> None:
    assert isinstance(
        failing(lambda: world.create("posts", {"title": "a"}, query={"fields": "title:nope"})), BadRequestError
    )
    assert world.count("posts") == 0


# -- update --------------------------------------------------------------------------------------


@pytest.fixture
def post(world: World) -> Record:
    return world.add("posts", title="one", n=5, tags=["x"], secret="s", data={"a": 1})


def test_an_update_changes_what_is_sent_and_nothing_else(world: World, post: Record) -> None:
    before = dict(post.values)
    made = world.update("posts", post.id, {"n": 6, "unknown": 1, "created": "2000-01-01"})
    stored = world.stored("posts", post.id) or {}
    assert made["n"] == stored["n"] == 6
    assert {name for name in stored if stored[name] != before[name]} <= {"n", "updated"}
    change = world.changes[0]
    assert change.action == "update"
    assert change.previous is not None
    assert (change.previous.values["n"], change.record.values["n"]) == (5, 6)


def test_an_update_that_changes_nothing_is_announced(world: World, post: Record) -> None:
    world.update("posts", post.id, {})
    assert [change.action for change in world.changes] == ["update"]


@pytest.mark.parametrize(
    ("body", "name", "expected"),
    [
        ({"n+": 2}, "n", 7),
        ({"n-": 2}, "n", 3),
        ({"n": 1, "n+": 2}, "n", 3),
        ({"tags+": "y"}, "tags", ["x", "y"]),
        ({"+tags": ["z", "y"]}, "tags", ["z", "y", "x"]),
        ({"tags-": "x"}, "tags", []),
        ({"tags+": ["y", "z"], "tags-": ["y"]}, "tags", ["x", "z"]),
    ],
)
def test_modifiers_start_from_the_stored_value(
    world: World, post: Record, body: dict[str, object], name: str, expected: object
) -> None:
    assert world.update("posts", post.id, body)[name] == expected


def test_concurrent_modifiers_lose_nothing(world: World, post: Record) -> None:
    threads = [
        threading.Thread(target=lambda: [world.update("posts", post.id, {"n+": 1}) for _ in range(25)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (world.stored("posts", post.id) or {})["n"] == 105
    assert [change.record.values["n"] for change in world.changes] == list(range(6, 106))


@pytest.mark.parametrize(
    ("rule", "body", "is_allowed"),
    [
        ("n = 5", {"n": 9}, True),
        ("n = 9", {"n": 9}, False),
        ("@request.body.n = 9", {"n+": 4}, True),
        ("@request.body.n = 9", {"n+": 3}, False),
        ("tags:each = 'x'", {"n": 1}, True),
        ("tags:length > 1", {"tags+": "y"}, False),
        ("@request.body.tags:length > 1", {"tags+": "y"}, True),
        ("@request.body.n:changed = false", {"n": 5}, True),
        ("missing = 1", {"n": 5}, False),
    ],
)
def test_the_update_rule_sees_the_stored_record_and_the_resolved_body(
    world: World, post: Record, rule: str, body: dict[str, object], *, is_allowed: bool
) -> None:
    world.alter("posts", update_rule=rule)
    if is_allowed:
        world.update("posts", post.id, body)
    else:
        assert type(failing(lambda: world.update("posts", post.id, body))) is NotFoundError
        assert world.changes == []


def test_what_is_not_there_is_not_found(world: World) -> None:
    for call in (
        lambda: world.update("posts", "missing", {}),
        lambda: world.delete("posts", "missing"),
        lambda: world.update("posts", "", {}),
    ):
        assert type(failing(call)) is NotFoundError


def test_the_id_cannot_be_changed(world: World, post: Record) -> None:
    error = failing(lambda: world.update("posts", post.id, {"id": "abcdefghij12345"}))
    assert data_of(error)["id"]["code"] == "validation_pk_change"


def test_hidden_fields_keep_their_values(world: World, post: Record) -> None:
    world.update("posts", post.id, {"secret": "new", "n": 1})
    assert (world.stored("posts", post.id) or {})["secret"] == "s"


# -- accounts ------------------------------------------------------------------------------------


def test_an_account_needs_its_password_twice(world: World) -> None:
    error = failing(lambda: world.create("users", {"email": "a@example.com"}))
    assert set(data_of(error)) == {"password", "passwordConfirm"}
    made = world.create("users", {"email": "a@example.com", "password": "12345678", "passwordConfirm": "12345678"})
    assert "password" not in made
    assert "tokenKey" not in made
    assert "email" not in made
    stored = world.stored("users", made["id"]) or {}
    assert stored["password"].startswith("$2")
    assert len(stored["tokenKey"]) >= 30


def test_nobody_verifies_himself(world: World) -> None:
    body = NEW_ACCOUNT | {"verified": True}
    assert set(data_of(failing(lambda: world.create("users", body)))) == {"verified"}
    manager = world.account("staff", email="m@example.com")
    assert set(data_of(failing(lambda: world.create("users", body, auth=manager)))) == {"verified"}
    assert world.create("staff", body, auth=manager)["verified"] is True


def test_a_manage_rule_cannot_rely_on_what_is_claimed(world: World) -> None:
    options = world.of("staff").auth
    assert options is not None
    world.alter("staff", auth=msgspec.structs.replace(options, manage_rule="verified = true"))
    user = world.account("users")
    body = NEW_ACCOUNT | {"verified": True}
    assert set(data_of(failing(lambda: world.create("staff", body, auth=user)))) == {"verified"}


def test_a_new_password_needs_the_old_one(world: World) -> None:
    user = world.account("users", email="a@example.com")
    body: dict[str, object] = {"password": "12345678", "passwordConfirm": "12345678"}
    error = failing(lambda: world.update("users", user.id, body, auth=user))
    assert data_of(error) == {"oldPassword": {"code": "validation_required", "message": "Cannot be blank."}}
    error = failing(lambda: world.update("users", user.id, body | {"oldPassword": "wrong"}, auth=user))
    assert data_of(error)["oldPassword"]["code"] == "validation_invalid_old_password"
    world.update("users", user.id, body | {"oldPassword": PASSWORD}, auth=user)
    stored = world.stored("users", user.id) or {}
    assert stored["tokenKey"] != user.values["tokenKey"]


def test_a_password_ends_what_was_begun_with_the_old_one(world: World) -> None:
    user = world.account("users", email="a@example.com")
    other = world.account("users", email="b@example.com")
    for account in (user, other):
        reference = {"collectionRef": "users", "recordRef": account.id}
        world.add("_authOrigins", fingerprint="f", **reference)
        world.add("_mfas", method="password", **reference)
        world.add("_otps", password="x", sentTo="a", **reference)
        world.add("_externalAuths", provider="google", providerId=account.id, **reference)
    body: dict[str, object] = {"password": "12345678", "passwordConfirm": "12345678", "oldPassword": PASSWORD}
    world.update("users", user.id, body, auth=user)
    assert [world.count(name) for name in ("_authOrigins", "_mfas", "_otps", "_externalAuths")] == [1, 1, 1, 2]
    assert [(c.action, c.record.collection.name) for c in world.changes] == [
        ("update", "users"),
        ("delete", "_otps"),
        ("delete", "_mfas"),
        ("delete", "_authOrigins"),
    ]


def test_an_address_that_gets_verified_cuts_older_links(world: World) -> None:
    user = world.account("users", email="a@example.com")
    world.add("_externalAuths", provider="google", providerId="1", collectionRef="users", recordRef=user.id)
    root = world.superuser()
    world.update("users", user.id, {"verified": True}, auth=root)
    assert world.count("_externalAuths") == 0
    assert (world.stored("users", user.id) or {})["tokenKey"] != user.values["tokenKey"]


def test_verifying_without_links_keeps_the_tokens(world: World) -> None:
    user = world.account("users", email="a@example.com")
    world.update("users", user.id, {"verified": True}, auth=world.superuser())
    assert (world.stored("users", user.id) or {})["tokenKey"] == user.values["tokenKey"]


def test_a_new_address_ends_tokens(world: World) -> None:
    user = world.account("users", email="a@example.com")
    assert set(data_of(failing(lambda: world.update("users", user.id, {"email": "b@example.com"}, auth=user)))) == {
        "email"
    }
    world.update("users", user.id, {"email": "b@example.com"}, auth=world.superuser())
    assert (world.stored("users", user.id) or {})["tokenKey"] != user.values["tokenKey"]


def test_the_ids_of_accounts_are_unique_over_all_collections(world: World) -> None:
    user = world.account("users")
    error = failing(lambda: world.create("staff", NEW_ACCOUNT | {"id": user.id}))
    assert data_of(error)["id"]["code"] == "validation_invalid_auth_id"


def test_superusers_are_always_verified_and_never_all_gone(world: World) -> None:
    root = world.superuser()
    assert root.values["verified"] is True
    error = failing(lambda: world.delete("_superusers", root.id, auth=root))
    assert (type(error), error.message) == (BadRequestError, "You can't delete the only existing superuser.")
    second = world.account("_superusers", email="b@example.com")
    world.delete("_superusers", second.id, auth=root)
    assert world.count("_superusers") == 1


def test_the_installer_goes_with_the_first_superuser(world: World) -> None:
    world.account("_superusers", email="__pbinstaller@example.com")
    world.superuser()
    assert world.count("_superusers") == 1


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"collectionRef": "", "recordRef": "x"}, "collectionRef"),
        ({"collectionRef": "missing", "recordRef": "x"}, "collectionRef"),
        ({"collectionRef": "posts", "recordRef": "x"}, "collectionRef"),
        ({"collectionRef": "users", "recordRef": "x"}, "recordRef"),
    ],
)
def test_references_of_system_records_are_checked(world: World, values: dict[str, object], field: str) -> None:
    root = world.superuser()
    error = failing(lambda: world.create("_mfas", values | {"method": "m"}, auth=root))
    assert set(data_of(error)) == {field}


# -- files ---------------------------------------------------------------------------------------


def files(world: World) -> list[str]:
    return [info.key for info in world.blobs.list()]


def papers(*contents: bytes) -> list[Upload]:
    return [upload(f"paper{number}.txt", content) for number, content in enumerate(contents)]


def test_uploads_are_stored_and_named(world: World) -> None:
    made = world.create("posts", {"title": "a"}, uploads={"papers": papers(b"1", b"2"), "cover": papers(b"3")})
    assert len(made["papers"]) == 2
    assert sorted(files(world)) == sorted(f"posts/{made['id']}/{name}" for name in [*made["papers"], made["cover"]])
    assert world.blobs.info(f"posts/{made['id']}/{made['cover']}").content_type == "text/plain; charset=utf-8"


def test_files_are_added_kept_and_removed(world: World) -> None:
    made = world.create("posts", {"title": "a"}, uploads={"papers": papers(b"1", b"2")})
    first, second = made["papers"]
    updated = world.update("posts", made["id"], {"papers-": [first]}, uploads={"papers+": papers(b"3")})
    assert updated["papers"][0] == second
    assert sorted(files(world)) == sorted(f"posts/{made['id']}/{name}" for name in updated["papers"])
    merged = world.update("posts", made["id"], {"papers": [second]}, uploads={"papers": papers(b"4")})
    assert merged["papers"][0] == second
    assert len(merged["papers"]) == len(files(world)) == 2
    assert world.update("posts", made["id"], {"papers": []})["papers"] == []
    assert files(world) == []


def test_a_deleted_record_takes_its_files_along(world: World) -> None:
    made = world.create("posts", {"title": "a"}, uploads={"papers": papers(b"1")})
    world.delete("posts", made["id"])
    assert files(world) == []


@pytest.mark.parametrize("body", [{"title": "taken"}, {"title": ""}, {"title": "b", "kind": "q"}])
def test_a_failed_create_leaves_no_files(world: World, body: dict[str, object]) -> None:
    world.add("posts", title="taken")
    failing(lambda: world.create("posts", body, uploads={"papers": papers(b"1")}))
    assert files(world) == []


@pytest.mark.parametrize("body", [{"title": "taken"}, {"title": "x" * 99}])
def test_a_failed_update_leaves_the_old_files_alone(world: World, body: dict[str, object]) -> None:
    world.add("posts", title="taken")
    made = world.create("posts", {"title": "a"}, uploads={"papers": papers(b"1"), "cover": papers(b"2")})
    before = files(world)
    uploads = {"papers": papers(b"3"), "cover": papers(b"4")}
    failing(lambda: world.update("posts", made["id"], body, uploads=uploads))
    assert files(world) == before


def test_a_rolled_back_transaction_leaves_no_files(world: World) -> None:
    made = world.create("posts", {"title": "a"}, uploads={"papers": papers(b"1")})
    before = files(world)

    def both() -> None:
        with world.storage.write():
            world.update("posts", made["id"], {}, uploads={"papers": papers(b"2")})
            world.create("posts", {"title": "b"}, uploads={"papers": papers(b"3")})
            raise KeyError

    assert isinstance(failing(both), KeyError)
    assert files(world) == before
    assert world.count("posts") == 1


def test_an_id_that_is_taken_costs_its_owner_no_files(world: World) -> None:
    made = world.create("posts", {"title": "a"}, uploads={"papers": papers(b"1")})
    before = files(world)
    failing(lambda: world.create("posts", {"title": "b", "id": made["id"]}, uploads={"papers": papers(b"2")}))
    assert files(world) == before


def test_names_of_foreign_files_are_refused(world: World) -> None:
    error = failing(lambda: world.create("posts", {"title": "a", "papers": ["../x.txt"]}))
    assert data_of(error)["papers"]["code"] == "validation_invalid_file"


def test_uploads_under_other_names_are_ignored(world: World) -> None:
    made = world.create("posts", {"title": "a"}, uploads={"title": papers(b"1"), "nope": papers(b"2")})
    assert made["title"] == "a"
    assert files(world) == []
