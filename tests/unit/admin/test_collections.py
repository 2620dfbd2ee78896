"""List, view, create, update, delete and truncate collections."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from rowcast.config import RateLimitRule, RateLimitsSettings, Settings
from rowcast.errors import ApiError, BadRequestError, NotFoundError
from rowcast.schema.catalog import Catalog
from rowcast.storage.catalog_rows import load_catalog
from rowcast.storage.settings_rows import load_settings
from tests.unit.admin.office import Office, codes, field

TITLE = field("text", "title", id="t1")


# -- answers -------------------------------------------------------------------


def test_an_answer_has_its_keys_in_the_order_of_the_reference(office: Office) -> None:
    assert list(office.create("posts")) == [
        "id", "listRule", "viewRule", "createRule", "updateRule", "deleteRule", "name", "type", "fields", "indexes",
        "created", "updated", "system",
    ]  # fmt: skip
    assert list(office.create("people", type="auth"))[13:] == [
        "authRule", "manageRule", "authAlert", "oauth2", "passwordAuth", "mfa", "otp", "authToken",
        "passwordResetToken", "emailChangeToken", "verificationToken", "fileToken", "verificationTemplate",
        "resetPasswordTemplate", "confirmEmailChangeTemplate",
    ]  # fmt: skip
    assert list(office.create("wall", type="view", viewQuery="select id from posts"))[13:] == ["viewQuery"]


def test_the_keys_of_a_field_are_in_alphabetical_order(office: Office) -> None:
    created = office.create("posts", field("number", "n", min=1, max=2.5))
    assert [list(one) == sorted(one) for one in created["fields"]] == [True, True]
    assert created["fields"][1] == {
        "help": "", "hidden": False, "id": "number2013832146", "max": 2.5, "min": 1, "name": "n", "onlyInt": False,
        "presentable": False, "required": False, "system": False, "type": "number",
    }  # fmt: skip


def test_secrets_never_leave(office: Office) -> None:
    providers = [{"name": "google", "clientId": "1", "clientSecret": "hush"}]
    created = office.create("people", type="auth", oauth2={"enabled": True, "providers": providers})
    assert created["authToken"] == {"duration": 432000}
    assert "clientSecret" not in created["oauth2"]["providers"][0]
    auth = office.found("people").auth
    assert auth is not None
    assert auth.oauth2.providers[0].client_secret == "hush"
    assert len(auth.auth_token.secret) == 50


def test_scaffolds_are_blank_collections_of_each_type(office: Office) -> None:
    scaffolds: Any = office.collections.scaffolds()
    assert list(scaffolds) == ["auth", "base", "view"]
    assert {(s["id"], s["name"], s["created"]) for s in scaffolds.values()} == {("", "", "")}
    assert [f["name"] for f in scaffolds["auth"]["fields"]] == [
        "id", "password", "tokenKey", "email", "emailVisibility", "verified"
    ]  # fmt: skip
    assert scaffolds["view"]["fields"] == []
    assert scaffolds["auth"]["indexes"][0].startswith("CREATE UNIQUE INDEX `idx_tokenKey_")


def test_every_oauth2_provider_has_a_name_and_a_drawing(office: Office) -> None:
    providers = office.collections.oauth2_providers()
    assert [provider["name"] for provider in providers][-3:] == ["oidc", "oidc2", "oidc3"]
    assert all(provider["displayName"] and provider["logo"].startswith("<svg ") for provider in providers)


# -- list and view -------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["_mfas", "_otps", "_externalAuths", "_authOrigins", "_superusers", "users"]),
        ({"sort": "-name", "perPage": "2"}, ["users", "_superusers"]),
        ({"sort": "name", "perPage": "2", "page": "3"}, ["_superusers", "users"]),
        ({"sort": "-@rowid", "perPage": "1"}, ["users"]),
        ({"filter": "type = 'auth'"}, ["_superusers", "users"]),
        ({"filter": "system = false"}, ["users"]),
        ({"filter": "name ~ 'uth' && created < @now"}, ["_externalAuths", "_authOrigins"]),
        ({"page": "9"}, []),
        ({"page": "-1", "perPage": "0", "sort": "-type,name"}, ["_authOrigins", "_externalAuths", "_mfas", "_otps",
                                                              "_superusers", "users"]),
    ],
)  # fmt: skip
def test_lists_with_filter_sort_and_pages(office: Office, params: dict[str, str], names: list[str]) -> None:
    page: Any = office.collections.list(params)
    assert list(page) == ["items", "page", "perPage", "totalItems", "totalPages"]
    found = [item["name"] for item in page["items"]]
    assert found == names or (params.get("page") == "-1" and sorted(found) == sorted(names))


def test_totals(office: Office) -> None:
    page = office.collections.list({"perPage": "4"})
    assert (page["page"], page["perPage"], page["totalItems"], page["totalPages"]) == (1, 4, 6, 2)
    page = office.collections.list({"perPage": "5000", "skipTotal": "1"})
    assert (page["perPage"], page["totalItems"], page["totalPages"]) == (1000, -1, -1)


@pytest.mark.parametrize(
    "params",
    [
        {"filter": "nope = 1"},
        {"filter": "name ="},
        {"filter": "name = @request.body.x"},
        {"filter": "@collection.users.id = 'x'"},
        {"filter": "options ~ 'secret'"},
        {"filter": "x" * 4000},
        {"sort": "options"},
        {"sort": ",".join(["name"] * 9)},
        {"page": "x"},
        {"perPage": "1.5"},
        {"skipTotal": "maybe"},
    ],
)
def test_refuses_what_can_not_be_asked_of_the_list(office: Office, params: dict[str, str]) -> None:
    with pytest.raises(BadRequestError) as raised:
        office.collections.list(params)
    assert raised.value.message == "Something went wrong while processing your request."


def test_views_by_name_and_id_in_any_letter_case(office: Office) -> None:
    assert office.collections.view("USERS") == office.collections.view("_pb_users_auth_")
    with pytest.raises(NotFoundError):
        office.collections.view("missing")


# -- create --------------------------------------------------------------------


def test_a_new_collection_gets_ids_and_a_table(office: Office) -> None:
    created = office.create("posts", field("text", "title"))
    assert (created["id"], created["type"], created["system"]) == ("pbc_1125843985", "base", False)
    assert [f["id"] for f in created["fields"]] == ["text3208210256", "text724990059"]
    assert created["created"] == created["updated"] != ""
    assert office.rows("SELECT count(*) FROM posts") == [(0,)]
    assert office.catalog.current.find("posts") is not None


def test_a_taken_default_id_gets_a_number_and_indexes_follow(office: Office) -> None:
    first = office.create("people", type="auth")
    office.update("people", name="folk")
    second = office.create("people", type="auth")
    assert second["id"] == first["id"] + "2"
    assert second["indexes"][0] == f"CREATE UNIQUE INDEX `idx_tokenKey_{second['id']}` ON `people` (`tokenKey`)"


def test_an_own_id_is_kept(office: Office) -> None:
    assert office.create("posts", id="my_id")["id"] == "my_id"


def test_system_fields_of_accounts_are_filled_in_and_enforced(office: Office) -> None:
    created = office.create("people", field("text", "tokenKey", min=10), field("bool", "email"), type="auth")
    found = {f["name"]: f for f in created["fields"]}
    assert list(found) == ["id", "tokenKey", "email", "password", "emailVisibility", "verified"]
    assert (found["tokenKey"]["hidden"], found["tokenKey"]["required"], found["tokenKey"]["min"]) == (True, True, 10)
    assert (found["email"]["type"], found["email"]["id"]) == ("email", "bool3885137012")


def test_fields_without_an_id_replace_those_of_their_name(office: Office) -> None:
    created = office.create("posts", field("text", "a", max=1), field("number", "a"), field("text", "b", id="x"))
    assert [(f["name"], f["type"], f["id"]) for f in created["fields"][1:]] == [
        ("a", "number", "text3904355907"),
        ("b", "text", "x"),
    ]


def test_indexes_are_moved_to_the_table(office: Office) -> None:
    created = office.create(
        "posts", TITLE, indexes=["create index i on posts (title)", "create index j on x (id, title)"]
    )
    assert created["indexes"] == [
        "create index i on posts (title)",
        "CREATE INDEX `j` ON `posts` (\n  `id`,\n  `title`\n)",
    ]


def test_an_unknown_type_is_an_error_of_its_field(office: Office) -> None:
    with pytest.raises(BadRequestError) as raised:
        office.collections.create({"name": "posts", "type": "nope"})
    assert codes(raised.value) == {"type": "in_invalid"}
    assert office.create("posts", type="")["type"] == "base"


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": 5}, "Failed to load the collection type data due to invalid formatting."),
        ([], "Failed to load the collection type data due to invalid formatting."),
        ({"name": "a", "fields": 5}, "Failed to load the submitted data due to invalid formatting."),
        ({"name": "a", "fields": [{"type": "x"}]}, "Failed to load the submitted data due to invalid formatting."),
        (
            {"name": "sqlite_x"},
            "Failed to create collection. Raw error: \n"
            "SQL logic error: object name reserved for internal use: sqlite_x (1).",
        ),
    ],
)
def test_what_is_no_collection_is_refused(office: Office, body: object, message: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        office.collections.create(body)
    assert raised.value.message == message
    assert raised.value.data == {}


# -- update --------------------------------------------------------------------


def test_what_is_left_out_stays(office: Office) -> None:
    before = office.create("posts", TITLE, listRule="", indexes=["create index i on posts (title)"])
    after = office.update("posts", viewRule="id != ''")
    assert {**before, "viewRule": "id != ''", "updated": ""} == {**after, "updated": ""}
    assert after["created"] == before["created"]


def test_renaming_keeps_rows_and_moves_indexes(office: Office) -> None:
    office.create("posts", TITLE, indexes=["create index i on posts (title)"])
    office.run("INSERT INTO posts (id, title) VALUES ('1', 'a')")
    after = office.update(
        "posts", name="notes", fields=[{**TITLE, "name": "text"}], indexes=["create index i on x (text)"]
    )
    assert after["indexes"] == ["CREATE INDEX `i` ON `notes` (`text`)"]
    assert office.rows("SELECT text FROM notes") == [("a",)]
    assert office.catalog.current.find("posts") is None


def test_leaving_the_id_field_out_keeps_it(office: Office) -> None:
    office.create("posts", TITLE)
    after = office.update("posts", fields=[])
    assert [f["name"] for f in after["fields"]] == ["id"]


def test_the_old_state_is_what_readers_see_until_the_commit(office: Office) -> None:
    office.create("posts", TITLE)
    seen: list[Catalog] = []
    before = office.catalog.current

    def read_elsewhere() -> None:
        thread = threading.Thread(target=lambda: seen.append(office.catalog.current))
        thread.start()
        thread.join()

    with office.storage.write() as transaction:
        office.update("posts", name="notes")
        read_elsewhere()
        transaction.on_commit(read_elsewhere)
    assert seen[0] is before
    assert seen[1].find("notes") is not None
    assert [(event.before.name, event.after and event.after.name) for event in office.told] == [("posts", "notes")]


def test_a_rolled_back_change_tells_nobody(office: Office) -> None:
    office.create("posts", TITLE)
    with pytest.raises(RuntimeError), office.storage.write():
        office.update("posts", name="notes")
        raise RuntimeError
    assert office.found("posts").name == "posts"
    assert office.told == []


def test_there_must_be_something_to_update(office: Office) -> None:
    with pytest.raises(NotFoundError):
        office.update("missing")


def test_a_new_auth_rule_ends_all_tokens(office: Office) -> None:
    def secret() -> str:
        auth = office.found("_pb_users_auth_").auth
        assert auth is not None
        return auth.auth_token.secret

    first = secret()
    office.update("users", name="folk")
    office.update("folk", authRule=None)
    assert secret() == first
    office.update("folk", authRule="verified = true")
    assert secret() != first


def test_mapped_fields_that_are_gone_are_forgotten(office: Office) -> None:
    after = office.update("users", oauth2={"mappedFields": {"id": "nope", "name": "name"}})
    assert after["oauth2"]["mappedFields"] == {"id": "", "name": "name", "username": "", "avatarURL": "avatar"}


def test_superusers_keep_their_passwords(office: Office) -> None:
    after = office.update(
        "_superusers",
        passwordAuth={"enabled": False},
        otp={"enabled": True},
        oauth2={"enabled": True, "providers": [{"name": "google", "clientId": "1", "clientSecret": "2"}]},
    )
    assert (after["passwordAuth"]["enabled"], after["mfa"]["enabled"]) == (True, True)
    assert (after["oauth2"]["enabled"], len(after["oauth2"]["providers"])) == (False, 0)


def test_rate_limits_follow_a_renamed_collection(office: Office) -> None:
    rules = (RateLimitRule(label="users:create"), RateLimitRule(label="users"), RateLimitRule(label="xusers:create"))
    office.settings.current = Settings(rate_limits=RateLimitsSettings(rules=rules))
    office.update("users", name="folk")
    with office.storage.read() as reader:
        stored = load_settings(reader)
    assert stored == office.settings.current
    assert [rule.label for rule in office.settings.current.rate_limits.rules] == [
        "folk:create",
        "users",
        "xusers:create",
    ]


# -- delete --------------------------------------------------------------------


def test_delete_takes_table_row_and_files(office: Office) -> None:
    created = office.create("posts", field("file", "paper"))
    office.blobs.save(f"{created['id']}/1/a.txt", b"x")
    office.blobs.save(f"{created['id']}2/1/a.txt", b"x")
    office.collections.delete("POSTS")
    assert not office.has_table("posts")
    assert [blob.key for blob in office.blobs.list()] == [f"{created['id']}2/1/a.txt"]
    assert [(event.before.name, event.after) for event in office.told] == [("posts", None)]
    with pytest.raises(NotFoundError):
        office.collections.delete("posts")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("_mfas", "Failed to delete collection."),
        ("users", "Failed to delete collection probably due to existing reference in a, b."),
        ("base", "Failed to delete collection."),
    ],
)
def test_what_others_need_is_not_deleted(office: Office, name: str, message: str) -> None:
    for other in ("a", "b"):
        office.create(other, field("relation", "r", collectionId="_pb_users_auth_"))
    office.create("base", TITLE)
    office.create("wall", type="view", viewQuery="select id, title from base")
    before = office.schema()
    with pytest.raises(BadRequestError) as raised:
        office.collections.delete(name)
    assert (raised.value.message, raised.value.data) == (message, {})
    assert office.schema() == before


def test_a_relation_to_itself_is_no_reference(office: Office) -> None:
    id = office.create("posts")["id"]
    office.update("posts", fields=[field("relation", "parent", collectionId=id)])
    office.collections.delete("posts")


def test_what_is_kept_of_accounts_goes_with_their_collection(office: Office) -> None:
    for owner in ("_pb_users_auth_", "other"):
        columns = '"collectionRef", "recordRef", fingerprint'
        office.run(f"INSERT INTO \"_authOrigins\" ({columns}) VALUES ('{owner}', 'r', 'f')")
    office.collections.delete("users")
    assert office.rows('SELECT "collectionRef" FROM "_authOrigins"') == [("other",)]
    assert [(change.action, change.record.collection.name) for change in office.changes] == [("delete", "_authOrigins")]


# -- truncate ------------------------------------------------------------------


def test_truncate_deletes_every_record_with_its_cascades(office: Office) -> None:
    posts = office.create("posts", TITLE)["id"]
    office.create("notes", field("relation", "post", collectionId=posts, cascadeDelete=True))
    office.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 501)"
        " INSERT INTO posts (id, title) SELECT 'p' || i, 'a' FROM n"
    )
    office.run("INSERT INTO notes (id, post) VALUES ('n1', 'p7'), ('n2', '')")
    office.collections.truncate("posts")
    assert office.rows("SELECT count(*) FROM posts") == [(0,)]
    assert office.rows("SELECT id FROM notes") == [("n2",)]
    assert len(office.changes) == 502


def test_truncate_is_all_or_nothing(office: Office) -> None:
    posts = office.create("posts", TITLE)["id"]
    office.create("notes", field("relation", "post", collectionId=posts, required=True))
    office.run("INSERT INTO posts (id) VALUES ('p1'), ('p2')")
    office.run("INSERT INTO notes (id, post) VALUES ('n1', 'p2')")
    with pytest.raises(BadRequestError) as raised:
        office.collections.truncate("posts")
    assert raised.value.message == (
        "Failed to truncate collection (most likely due to required cascade delete record references)."
    )
    assert office.rows("SELECT count(*) FROM posts") == [(2,)]


def test_views_have_nothing_to_truncate(office: Office) -> None:
    office.create("wall", type="view", viewQuery="select id from users")
    with pytest.raises(BadRequestError, match="View collections cannot be truncated"):
        office.collections.truncate("wall")


# -- the data directory --------------------------------------------------------


def test_what_is_saved_is_what_is_in_force(office: Office) -> None:
    office.create("posts", field("select", "s", values=["a"], maxSelect=1), field("date", "d", min="2020-01-01"))
    office.create("people", type="auth", listRule="")
    office.create("wall", type="view", viewQuery="select id, s, d from posts")
    office.update("posts", fields=[field("select", "s", values=["a", "b"], maxSelect=2), field("date", "d")])
    with office.storage.read() as reader:
        stored = load_catalog(reader)
    kept = [office.collections.view(collection.id) for collection in stored]
    office.catalog.current = stored
    assert [office.collections.view(collection.id) for collection in stored] == kept


def test_errors_of_the_api_are_api_errors(office: Office) -> None:
    bodies: tuple[object, ...] = (5, "x", [], {"name": {"a": 1}}, {"name": "a", "indexes": {}})
    for body in bodies:
        for call in (office.collections.create, lambda body: office.collections.update("users", body)):
            with pytest.raises(ApiError):
                call(body)
