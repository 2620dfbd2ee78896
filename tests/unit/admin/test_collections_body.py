"""A submitted object is laid over a collection as Go lays JSON over a struct."""

from __future__ import annotations

from typing import Any

import pytest

from rowcast.admin.collections_body import BodyError, apply_body, named_kind
from rowcast.admin.collections_prepare import new_collection
from rowcast.schema.collection import AuthOptions, OAuth2Options, OAuth2Provider
from rowcast.schema.fields import TextField

POSTS = new_collection("base", "posts")
PROVIDERS = (
    OAuth2Provider(name="google", client_id="1", client_secret="s1"),
    OAuth2Provider(name="github", client_id="2", client_secret="s2", extra={"a": 1}),
)
USERS = new_collection("auth", "users").replaced(
    auth=AuthOptions(oauth2=OAuth2Options(providers=PROVIDERS), manage_rule="id != ''")
)


@pytest.mark.parametrize(
    ("body", "attribute", "expected"),
    [
        ({}, "name", "posts"),
        ({"name": "x"}, "name", "x"),
        ({"NAME": "x", "nAmE": "y"}, "name", "y"),
        ({"name": None}, "name", "posts"),
        ({"listRule": "id = 1"}, "list_rule", "id = 1"),
        ({"LISTRULE": ""}, "list_rule", ""),
        ({"system": True}, "system", True),
        ({"system": None}, "system", False),
        ({"indexes": ["a", None]}, "indexes", ("a", "")),
        ({"indexes": None}, "indexes", ()),
        ({"fields": None}, "fields", ()),
        ({"created": "2020-01-02"}, "created", "2020-01-02 00:00:00.000Z"),
        ({"created": "nonsense"}, "created", ""),
        ({"unknown": 1}, "name", "posts"),
        ({"type": "nonsense"}, "type", "nonsense"),
    ],
)
def test_values_of_the_collection(body: dict[str, object], attribute: str, expected: object) -> None:
    assert getattr(apply_body(POSTS, body), attribute) == expected


def test_a_rule_can_be_taken_back() -> None:
    assert apply_body(POSTS.replaced(list_rule=""), {"listRule": None}).list_rule is None


def test_fields_are_replaced_whole() -> None:
    changed = apply_body(POSTS, {"fields": [{"type": "text", "name": "a"}, {"Type": "text", "NAME": "b", "max": 5}]})
    assert [field.name for field in changed.fields] == ["a", "b"]
    assert changed.field("b") == TextField(id="text1908338681", name="b", max=5)
    assert changed.field("id") is None


def test_options_are_merged_deeply() -> None:
    auth = apply_body(USERS, {"otp": {"enabled": True}, "AUTHTOKEN": {"Duration": 7}, "mfa": None}).auth
    assert auth is not None
    assert (auth.otp.enabled, auth.auth_token.duration, auth.manage_rule) == (True, 7, "id != ''")


@pytest.mark.parametrize(
    ("providers", "expected"),
    [
        # Answers hide the secrets, so a client sends the list back without them.
        ([{"name": "google"}, {"clientId": "9"}], [("google", "1", "s1"), ("github", "9", "s2")]),
        ([{"name": "gitlab"}], [("gitlab", "1", "s1")]),
        ([{}, {}, {"name": "x"}], [("google", "1", "s1"), ("github", "2", "s2"), ("x", "", "")]),
        ([], []),
        (None, []),
    ],
)
def test_items_are_laid_over_the_items_before(providers: object, expected: list[tuple[str, str, str]]) -> None:
    auth = apply_body(USERS, {"oauth2": {"providers": providers}}).auth
    assert auth is not None
    assert [(p.name, p.client_id, p.client_secret) for p in auth.oauth2.providers] == expected


def test_objects_grow_and_pointers_can_be_null() -> None:
    auth = apply_body(
        USERS, {"manageRule": None, "oauth2": {"providers": [{"pkce": True}, {"extra": {"b": 2}, "pkce": None}]}}
    ).auth
    assert auth is not None
    assert auth.manage_rule is None
    assert [(p.pkce, p.extra) for p in auth.oauth2.providers] == [(True, None), (None, {"a": 1, "b": 2})]


def test_options_belong_to_their_type() -> None:
    assert apply_body(POSTS, {"viewQuery": "select 1", "otp": {"enabled": True}}).auth is None
    assert apply_body(USERS, {"type": "base"}).auth is None
    changed = apply_body(POSTS, {"type": "view", "viewQuery": "select 1"})
    assert changed.view is not None
    assert changed.view.view_query == "select 1"


@pytest.mark.parametrize(
    "body",
    [
        {"name": 5},
        {"system": "true"},
        {"listRule": 1},
        {"indexes": "a"},
        {"indexes": [1]},
        {"fields": {}},
        {"fields": [1]},
        {"fields": [{"name": "a"}]},
        {"fields": [{"type": "nope"}]},
        {"fields": [{"type": "text", "max": "x"}]},
        {"created": 5},
        {"otp": 5},
        {"otp": {"length": 1.5}},
        {"otp": {"length": True}},
        {"otp": {"duration": 2**63}},
        {"oauth2": {"providers": {}}},
        {"oauth2": {"providers": [5]}},
        {"oauth2": {"providers": [{"extra": []}]}},
        {"passwordAuth": {"identityFields": [{}]}},
        {"viewQuery": []},
    ],
)
def test_wrong_types_are_refused(body: dict[str, Any]) -> None:
    with pytest.raises(BodyError):
        apply_body(POSTS, body)


def test_what_a_new_collection_is_made_of() -> None:
    assert named_kind({"Type": "auth", "name": "x", "id": None}) == ("auth", "x", "")
    with pytest.raises(BodyError, match="type must be a text"):
        named_kind({"type": 1})
