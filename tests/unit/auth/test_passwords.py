from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rowcast.config import SMTPSettings
from rowcast.credentials import decoy_hash, hash_password
from rowcast.schema.collection import PasswordAuthOptions
from rowcast.schema.fields import PasswordField, TextField
from rowcast.schema.record import Record
from tests.unit.auth.world import HASH, INVALID, PASSWORD, REQUIRED, Refusal, World

WRONG: Refusal = (400, "Failed to authenticate.", {})
REFUSED: Refusal = (403, "The request doesn't satisfy the collection requirements to authenticate.", {})
TOO_LONG = {
    "code": "validation_length_out_of_range",
    "message": "The length must be between 1 and 255.",
    "params": {"max": 255, "min": 1},
}


def with_usernames(world: World, collation: str = "", first: str = "email") -> None:
    """Give users a unique field `username` by which they sign in too."""
    users = world.of("users")
    with world.storage.write() as tx:
        tx.run("ALTER TABLE users ADD COLUMN username TEXT DEFAULT '' NOT NULL")
    fields = ("email", "username") if first == "email" else ("username", "email")
    world.alter(
        "users",
        fields=(*users.fields, TextField(name="username")),
        indexes=(*users.indexes, f"CREATE UNIQUE INDEX `idx_username` ON `users` (`username` {collation})"),
        password_auth=PasswordAuthOptions(enabled=True, identity_fields=fields),
    )


def test_the_right_password_gives_record_and_token(world: World) -> None:
    user = world.user(name="Ann")
    answer = world.sign_in()
    assert list(answer) == ["record", "token"]
    assert answer["record"]["id"] == user.id
    assert answer["record"]["email"] == "a@example.com"
    assert not {"password", "tokenKey"} & set(answer["record"])
    assert world.authenticated(answer["token"]) == user.id


def test_hidden_fields_are_shown_to_superusers_alone(world: World) -> None:
    for name in ("users", "_superusers"):
        collection = world.of(name)
        with world.storage.write() as tx:
            tx.run(f"ALTER TABLE \"{name}\" ADD COLUMN note TEXT DEFAULT '' NOT NULL")
        world.alter(name, fields=(*collection.fields, TextField(name="note", hidden=True)))
    world.user(note="x")
    world.superuser()
    assert "note" not in world.sign_in()["record"]
    assert world.sign_in("root@example.com", collection="_superusers")["record"]["note"] == ""


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ({"identity": "", "password": ""}, {"identity": REQUIRED, "password": REQUIRED}),
        ({"identity": "x" * 256}, {"identity": TOO_LONG}),
        ({"identity": "ä" * 128}, {"identity": TOO_LONG}),
        ({"password": "x" * 256}, {"password": TOO_LONG}),
        (
            {"field": "created"},
            {"identityField": {"code": "validation_in_invalid", "message": "Must be a valid value."}},
        ),
        ({"field": "x" * 256}, {"identityField": TOO_LONG}),
    ],
)
def test_unusable_forms_are_refused(world: World, form: dict[str, Any], data: dict[str, object]) -> None:
    world.user()
    assert world.refusal(**form) == (400, INVALID, data)
    assert world.is_password.count == 0


@pytest.mark.parametrize(
    "form",
    [
        {"password": "wrong"},
        {"password": PASSWORD + " "},
        {"password": PASSWORD.upper()},
        {"identity": "b@example.com"},
        {"identity": "no address"},
        {"identity": "' OR 1=1 --"},
        {"identity": "%"},
        {"identity": "\x00"},
        {"identity": " a@example.com"},
        {"field": "email", "identity": "b@example.com"},
        {"collection": "_superusers"},
    ],
)
def test_wrong_credentials_all_look_alike(world: World, form: dict[str, Any]) -> None:
    world.user()
    assert world.refusal(**form) == WRONG
    assert world.is_password.count == 1


@pytest.mark.parametrize("stored", ["", "no hash", decoy_hash(4)])
def test_accounts_without_a_password_cost_one_comparison_too(world: World, stored: str) -> None:
    world.user()
    user = world.user("b@example.com")
    with world.storage.write() as tx:
        tx.run("UPDATE users SET password = ? WHERE id = ?", [stored, user.id])
    assert world.refusal(identity="b@example.com") == WRONG
    assert world.refusal(identity="b@example.com", password=stored or "x") == WRONG
    assert world.is_password.count == 2


def test_an_unknown_identity_is_compared_with_the_cost_of_a_known_one(world: World) -> None:
    compared: list[str] = []

    def is_password(plain: str, hashed: str) -> bool:
        compared.append(hashed)
        return True

    world.passwords._is_password = is_password
    users = world.of("users")
    fields = tuple(
        msgspec.structs.replace(field, cost=5) if isinstance(field, PasswordField) else field for field in users.fields
    )
    world.alter("users", fields=fields)
    # Whatever the comparison says, nobody is signed in who is not there.
    assert world.refusal() == WRONG
    user = world.user("b@example.com", password=hash_password(PASSWORD, 6))
    assert world.refusal() == WRONG
    assert compared == [decoy_hash(5), user.text("password")]


def test_the_password_is_compared_outside_of_transactions(world: World) -> None:
    world.user()

    def is_password(plain: str, hashed: str) -> bool:
        with world.storage.write() as tx:
            # A transaction that is open already would be nested, and see this one's changes.
            assert tx.changes == []
            tx.run("UPDATE users SET name = 'x'")
        return True

    world.passwords._is_password = is_password
    assert world.sign_in()["token"]


def test_email_counts_before_other_identity_fields(world: World) -> None:
    with_usernames(world, first="username")
    user = world.user(username="ann")
    other = world.user("b@example.com", username="a@example.com")
    assert world.sign_in("a@example.com")["record"]["id"] == user.id
    assert world.sign_in("a@example.com", field="username")["record"]["id"] == other.id
    assert world.sign_in("ann")["record"]["id"] == user.id
    assert world.refusal(identity="ann", field="email") == WRONG


def test_a_username_that_looks_like_an_address_is_found(world: World) -> None:
    with_usernames(world)
    user = world.user(username="c@example.com")
    assert world.sign_in("c@example.com")["record"]["id"] == user.id


@pytest.mark.parametrize(("collation", "is_found"), [("COLLATE NOCASE", True), ("", False)])
def test_letter_case_counts_as_the_index_says(world: World, collation: str, is_found: bool) -> None:
    with_usernames(world, collation)
    world.user(username="Ann")
    if is_found:
        assert world.sign_in("aNN")["record"]["username"] == "Ann"
    else:
        assert world.refusal(identity="aNN") == WRONG


def test_a_field_without_a_unique_index_identifies_nobody(world: World) -> None:
    world.user(name="Ann")
    world.alter("users", password_auth=PasswordAuthOptions(enabled=True, identity_fields=("name", "email")))
    assert world.refusal(identity="Ann") == WRONG
    assert world.refusal(identity="Ann", field="name") == WRONG
    assert world.sign_in()["token"]


@pytest.mark.parametrize(
    ("rule", "is_allowed"), [("", True), ("verified = true", False), (None, False), ("no such field = 1", False)]
)
def test_the_auth_rule_decides(world: World, rule: str | None, is_allowed: bool) -> None:
    world.user()
    world.alter("users", auth_rule=rule)
    if is_allowed:
        assert world.sign_in()["token"]
    else:
        assert world.refusal() == REFUSED


def test_the_auth_rule_sees_how_one_signs_in(world: World) -> None:
    world.user()
    world.alter("users", auth_rule='@request.context = "password" && @request.query.from = "page"')
    assert world.refusal() == REFUSED
    assert world.sign_in(query={"from": "page"})["token"]


def test_superusers_may_sign_in_to_any_account(world: World) -> None:
    world.user()
    world.alter("users", auth_rule=None)
    assert world.sign_in(auth=world.superuser())["token"]


@pytest.mark.parametrize(
    ("allowed", "is_allowed"),
    [((), True), (("127.0.0.1",), True), (("127.0.0.0/8",), True), (("10.0.0.1",), False), (("nonsense",), False)],
)
def test_superusers_sign_in_from_listed_addresses(world: World, allowed: tuple[str, ...], is_allowed: bool) -> None:
    world.superuser()
    world.user()
    world.settings.current = msgspec.structs.replace(world.settings.current, superuser_ips=allowed)
    if is_allowed:
        assert world.sign_in("root@example.com", collection="_superusers")["token"]
    else:
        refusal = world.refusal(identity="root@example.com", collection="_superusers")
        assert refusal == (403, "You are not allowed to perform this request.", {})
    assert world.sign_in()["token"]


def test_relations_are_expanded_as_the_new_account_sees_them(world: World) -> None:
    user = world.user()
    assert "expand" not in world.sign_in(query={"expand": "_mfas_via_recordRef,missing"})["record"]
    assert world.sign_in(query={"expand": ""})["record"]["id"] == user.id


def test_fields_that_can_not_be_read_are_refused_before_anything_happens(world: World) -> None:
    world.user()
    status, message, _ = world.refusal(query={"fields": "id:nonsense()"})
    assert (status, message.startswith("Invalid fields")) == (400, True)
    assert world.rows("_authOrigins") == []


def test_disabled_mail_does_not_matter(world: World) -> None:
    world.settings.current = msgspec.structs.replace(world.settings.current, smtp=SMTPSettings())
    assert isinstance(world.user(password=HASH), Record)
    assert world.sign_in()["token"]
