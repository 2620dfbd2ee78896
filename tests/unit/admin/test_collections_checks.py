"""What a collection must be like to be saved, and how each mistake is answered."""

from __future__ import annotations

from typing import Any

import pytest

from rowcast.errors import BadRequestError
from tests.unit.admin.office import Office, codes, field

TITLE = field("text", "title", id="t1")

BAD: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("nothing", {}, {"name": "required"}),
    ("taken name", {"name": "Users"}, {"name": "collection_name_exists"}),
    ("name of a table", {"name": "_params"}, {"name": "collection_name_invalid"}),
    ("name that is an id", {"name": "_pb_users_auth_"}, {"name": "collection_name_id_duplicate"}),
    ("bad name", {"name": "a b"}, {"name": "match_invalid"}),
    ("name of a back relation", {"name": "a_Via_b"}, {"name": "found_via"}),
    ("long name", {"name": "x" * 256}, {"name": "length_out_of_range"}),
    ("taken id", {"name": "a", "id": "_pb_users_auth_"}, {"id": "invalid_or_existing_id"}),
    ("bad id", {"name": "a", "id": "a b"}, {"id": "match_invalid"}),
    ("same field id", {"name": "a", "fields": [TITLE, field("text", "b"), field("text", "title")]}, {}),
    ("same field name", {"name": "a", "fields": [TITLE, field("text", "Title", id="t2")]},
     {"fields.2.name": "duplicated_field_name"}),
    ("bad fields", {"name": "a", "fields": [field("text", ""), field("select", "s"), field("text", "expand")]},
     {"fields.1.name": "required", "fields.2.values": "required", "fields.3.name": "not_in_invalid"}),
    ("id of another kind", {"name": "a", "fields": [field("number", "id")]},
     {"fields.1.name": "duplicated_field_name"}),
    ("reserved names of accounts", {"name": "a", "type": "auth", "fields": [field("text", "oldPassword")]},
     {"fields.1.name": "reserved_field_name"}),
    ("unknown relation", {"name": "a", "fields": [field("relation", "r", collectionId="x")]},
     {"fields.1.collectionId": "field_relation_missing_collection"}),
    ("broken rules", {"name": "a", "listRule": "x =", "viewRule": "nope = 1", "deleteRule": "@request.auth.id = ''"},
     {"listRule": "invalid_rule", "viewRule": "invalid_rule"}),
    ("hidden field in a rule", {"name": "a", "fields": [field("text", "h", hidden=True)], "listRule": "h = ''"}, {}),
    ("broken index", {"name": "a", "indexes": ["create index"]}, {"indexes.0": "invalid_index_expression"}),
    ("index on nothing", {"name": "a", "indexes": ["create index i on a (x)"]},
     {"indexes.0": "invalid_index_expression"}),
    ("same index name", {"name": "a", "indexes": ["create index i on a (id)", "create unique index I on a (id)"]},
     {"indexes.1": "duplicated_index_name"}),
    ("same index", {"name": "a", "indexes": ["create index i on a (id)", "create index j on b ('id')"]},
     {"indexes.1": "duplicated_index_definition"}),
    ("index of another", {"name": "a", "indexes": ["create index IDX_email__pb_users_auth_ on a (id)"]},
     {"indexes.0": "existing_index_name"}),
    ("token options", {"name": "a", "type": "auth", "authToken": {"duration": 1}, "fileToken": {"secret": "x"}},
     {"authToken.duration": "min_greater_equal_than_required", "fileToken.secret": "length_out_of_range"}),
    ("one-time passwords", {"name": "a", "type": "auth", "otp": {"enabled": True, "length": 1, "duration": 0,
                                                                 "emailTemplate": {"body": ""}}},
     {"otp.length": "min_greater_equal_than_required", "otp.duration": "required",
      "otp.emailTemplate.body": "required"}),
    ("mfa alone", {"name": "a", "type": "auth", "mfa": {"enabled": True}}, {"mfa.enabled": "mfa_not_enough_auths"}),
    ("mfa rule", {"name": "a", "type": "auth", "mfa": {"enabled": True, "rule": "x"}, "otp": {"enabled": True}},
     {"mfa.rule": "invalid_rule"}),
    ("mfa duration", {"name": "a", "type": "auth", "mfa": {"enabled": True, "duration": 10**6}},
     {"mfa.duration": "max_less_equal_than_required"}),
    ("identity fields", {"name": "a", "type": "auth", "passwordAuth": {"identityFields": ["email", "x"]}},
     {"passwordAuth.identityFields": "missing_field"}),
    ("identity without index", {"name": "a", "type": "auth", "passwordAuth": {"identityFields": ["verified"]}},
     {"passwordAuth.identityFields": "missing_unique_constraint"}),
    ("no identity", {"name": "a", "type": "auth", "passwordAuth": {"identityFields": [""]}},
     {"passwordAuth.identityFields": "required"}),
    ("no identity, not asked", {"name": "a", "type": "auth", "passwordAuth": {"enabled": False, "identityFields": []}},
     {}),
    ("blank manage rule", {"name": "a", "type": "auth", "manageRule": ""}, {"manageRule": "nil_or_not_empty_required"}),
    ("auth rules", {"name": "a", "type": "auth", "manageRule": "x", "authRule": "y"},
     {"manageRule": "invalid_rule", "authRule": "invalid_rule"}),
    ("providers", {"name": "a", "type": "auth", "oauth2": {"enabled": True, "providers": [
        {"name": "nope", "clientId": "1", "clientSecret": "2", "authURL": "x y"}, {}]}},
     {"oauth2.providers.0.name": "missing_provider", "oauth2.providers.0.authURL": "is_url",
      "oauth2.providers.1.name": "required", "oauth2.providers.1.clientId": "required",
      "oauth2.providers.1.clientSecret": "required"}),
    ("same provider", {"name": "a", "type": "auth", "oauth2": {"enabled": True, "providers": [{"name": "x"}] * 2}},
     {"oauth2.providers.1.name": "duplicated_provider"}),
    ("providers, not asked", {"name": "a", "type": "auth", "oauth2": {"providers": [{"name": "x"}]}}, {}),
    ("templates", {"name": "a", "type": "auth", "verificationTemplate": {"subject": ""},
                   "authAlert": {"emailTemplate": {"body": ""}}},
     {"verificationTemplate.subject": "required", "authAlert.emailTemplate.body": "required"}),
    ("view without a query", {"name": "a", "type": "view"}, {"fields": "required", "viewQuery": "required"}),
    ("view that writes",
     {"name": "a", "type": "view", "viewQuery": "select 1 as id", "createRule": "", "deleteRule": ""},
     {"createRule": "nil", "deleteRule": "nil"}),
    ("view with indexes", {"name": "a", "type": "view", "viewQuery": "select 1 as id", "indexes": ["x"]},
     {"indexes": "indexes_not_supported"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_new_collection_is_checked(office: Office, body: dict[str, Any], expected: dict[str, str]) -> None:
    before = office.schema()
    if not expected:
        office.collections.create(body)
        return
    with pytest.raises(BadRequestError) as raised:
        office.collections.create(body)
    assert raised.value.message == "Failed to create collection."
    assert codes(raised.value) == expected
    assert office.schema() == before
    assert office.catalog.current.find("a") is None
    assert office.told == []


def test_errors_bring_their_parameters(office: Office) -> None:
    with pytest.raises(BadRequestError) as raised:
        office.create(
            "a", TITLE, field("text", "TITLE", id="x"), indexes=["create index `idx_email__pb_users_auth_` on a (id)"]
        )
    assert raised.value.data.to_json() == {
        "fields": {
            "2": {
                "name": {
                    "code": "validation_duplicated_field_name",
                    "message": "Duplicated or invalid field name TITLE.",
                    "params": {"fieldName": "TITLE"},
                }
            }
        },
        "indexes": {
            "0": {
                "code": "validation_existing_index_name",
                "message": "The index name is already used in users collection.",
                "params": {"usedTableName": "users"},
            }
        },
    }


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("posts", {"id": "x"}, {"id": "values_mismatch"}),
        ("posts", {"id": ""}, {"id": "required"}),
        ("posts", {"system": True}, {"system": "collection_system_flag_change"}),
        ("posts", {"type": "view", "viewQuery": "select 1 as id"}, {"type": "collection_type_change"}),
        ("posts", {"name": "users"}, {"name": "collection_name_exists"}),
        ("posts", {"fields": [{**TITLE, "type": "number"}]}, {"fields.1": "field_type_change"}),
        ("posts", {"fields": [field("text", "key", id="text3208210256")]}, {"fields": "missing_primary_key"}),
        ("_externalAuths", {"fields": [], "listRule": None, "viewRule": None, "deleteRule": None},
         {"fields": "system_field_change", "listRule": "collection_system_rule_change",
          "viewRule": "collection_system_rule_change", "deleteRule": "collection_system_rule_change"}),
        ("_superusers", {"name": "x", "listRule": "", "authRule": "id = ''"},
         {"name": "collection_system_name_change", "listRule": "collection_system_rule_change",
          "authRule": "collection_system_rule_change"}),
        ("_mfas", {"createRule": "", "indexes": []}, {"createRule": "collection_system_rule_change"}),
        ("_externalAuths", {"indexes": []}, {"indexes": "invalid_unique_system_field_index"}),
        ("users", {"indexes": ["create unique index i on x (email desc)", "create unique index j on x(tokenKey)"]}, {}),
        ("users", {"indexes": []}, {}),
    ],
)  # fmt: skip
def test_a_change_is_checked(office: Office, name: str, body: dict[str, Any], expected: dict[str, str]) -> None:
    office.create("posts", TITLE)
    if not expected:
        office.update(name, **body)
        return
    before = office.schema()
    with pytest.raises(BadRequestError) as raised:
        office.update(name, **body)
    assert raised.value.message == "Failed to update collection."
    assert codes(raised.value) == expected
    assert office.schema() == before
