"""What an answer shows of a record."""

from __future__ import annotations

from rowcast import encoding
from rowcast.schema.public import public_values
from rowcast.schema.record import Record
from rowcast.schema.rows import new_record
from tests.unit.schema.samples import POSTS, accounts

ACCOUNTS = accounts()


def post() -> Record:
    record = new_record(POSTS)
    for name, value in {"id": "r1", "title": "Hi", "secret": "s", "tags": ["b"], "data": '{ "a": "<" }'}.items():
        record.set(name, value)
    return record


def account(**values: object) -> Record:
    record = new_record(ACCOUNTS)
    record.values |= {"id": "u1", "email": "a@b.co", "password": "$2a$", "tokenKey": "key", **values}
    return record


def test_keys_are_sorted_and_hidden_fields_missing() -> None:
    assert encoding.encode(public_values(post())) == (
        b'{"collectionId":"pbc_1","collectionName":"posts","data":{"a":"\\u003c"},"id":"r1",'
        b'"place":{"lon":0,"lat":0},"tags":["b"],"title":"Hi"}'
    )


def test_hidden_fields_on_request() -> None:
    record = post()
    record.shows_hidden = True
    shown = public_values(record)
    assert shown["secret"] == "s"
    assert list(shown) == sorted(shown)


def test_credentials_are_never_shown() -> None:
    record = account()
    record.shows_hidden = record.shows_email = True
    shown = public_values(record)
    assert "password" not in shown
    assert "tokenKey" not in shown
    assert shown["email"] == "a@b.co"


def test_email_needs_consent_or_right() -> None:
    assert "email" not in public_values(account())
    assert public_values(account(emailVisibility=True))["email"] == "a@b.co"
    managed = account()
    managed.shows_email = True
    assert public_values(managed)["email"] == "a@b.co"


def test_expanded_records_have_rights_of_their_own() -> None:
    record = post()
    seen = account()
    seen.shows_email = True
    record.expand = {"owner": seen, "likes": [account(), post()]}
    shown = public_values(record)["expand"]
    assert isinstance(shown, dict)
    assert list(shown) == ["likes", "owner"]
    assert shown["owner"]["email"] == "a@b.co"
    assert "email" not in shown["likes"][0]
    assert "secret" not in shown["likes"][1]


def test_what_is_no_field_is_not_shown() -> None:
    record = post()
    record.values["leftover"] = "x"
    record.shows_hidden = True
    assert "leftover" not in public_values(record)
