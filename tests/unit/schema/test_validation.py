"""Whole records, and what requests may do to accounts."""

from __future__ import annotations

import pytest

from rowcast.schema.record import Record
from rowcast.schema.rows import from_row, new_record, to_row
from rowcast.schema.validation import PasswordForm, account_errors, record_errors, refresh_rights
from tests.unit.schema.samples import POSTS, Known, accounts

ACCOUNTS = accounts()


def saved_account(**changes: object) -> Record:
    record = new_record(ACCOUNTS)
    record.values |= {"id": "u1", "email": "a@b.co", "password": "$2a$old", "tokenKey": "key" * 10}
    saved = from_row(ACCOUNTS, tuple(to_row(record).values()))
    saved.values |= changes
    return saved


def test_every_error_of_a_record_by_field() -> None:
    record = new_record(POSTS)
    record.set("tags", "z")
    record.set("place", {"lat": 100})
    errors = record_errors(record, Known())
    assert {name: error.to_json()["code"] for name, error in errors.items()} == {
        "id": "validation_required",
        "title": "validation_required",
        "tags": "validation_invalid_value",
        "place": "validation_invalid_latitude",
    }


def form_codes(
    record: Record, form: PasswordForm, *, may_manage: bool = False, checks: bool = True
) -> dict[str, object]:
    errors = account_errors(
        record, form, may_manage=may_manage, is_password=lambda plain: plain == "right", checks_passwords=checks
    )
    return {name: error.to_json()["code"] for name, error in errors.items()}


REQUIRED, MISMATCH = "validation_required", "validation_values_mismatch"


@pytest.mark.parametrize(
    ("is_new", "manager", "form", "expected"),
    [
        (True, False, ("", "", ""), {"password": REQUIRED, "passwordConfirm": REQUIRED}),
        (True, False, ("a", "", ""), {"passwordConfirm": REQUIRED}),
        (True, False, ("a", "b", ""), {"passwordConfirm": MISMATCH}),
        (True, False, ("a", "a", ""), {}),
        (False, False, ("", "", ""), {}),
        (False, False, ("a", "a", ""), {"oldPassword": REQUIRED}),
        (False, False, ("a", "a", "wrong"), {"oldPassword": "validation_invalid_old_password"}),
        (False, False, ("a", "a", "right"), {}),
        (False, False, ("", "", "right"), {"password": REQUIRED, "passwordConfirm": REQUIRED}),
        (False, False, ("", "a", "right"), {"password": REQUIRED, "passwordConfirm": MISMATCH}),
        (False, True, ("a", "a", ""), {}),
        (False, True, ("a", "", ""), {"passwordConfirm": REQUIRED}),
    ],
)
def test_password_fields(is_new: bool, manager: bool, form: tuple[str, str, str], expected: dict[str, str]) -> None:
    record = new_record(ACCOUNTS) if is_new else saved_account()
    assert form_codes(record, PasswordForm(*form), may_manage=manager) == expected


def test_email_and_verified_need_the_right_to_manage() -> None:
    changed = saved_account(email="new@b.co", verified=True)
    assert form_codes(changed, PasswordForm()) == {"email": MISMATCH, "verified": MISMATCH}
    assert form_codes(changed, PasswordForm(), may_manage=True) == {}
    created = new_record(ACCOUNTS)
    created.values |= {"email": "new@b.co", "verified": True}
    assert form_codes(created, PasswordForm("a", "a")) == {"verified": MISMATCH}


def test_checks_of_passwords_can_be_left_out() -> None:
    assert form_codes(new_record(ACCOUNTS), PasswordForm(), checks=False) == {}


def test_other_records_have_no_form() -> None:
    assert form_codes(new_record(POSTS), PasswordForm("a")) == {}


def test_forms_read_anything() -> None:
    body = {"password": 123, "passwordConfirm": None, "oldPassword": [1]}
    assert PasswordForm.from_body(body) == PasswordForm("123", "", "")


@pytest.mark.parametrize(
    ("changes", "plain", "is_refreshed"),
    [
        ({}, "", False),
        ({"verified": True}, "", False),
        ({"email": "new@b.co"}, "", True),
        ({"password": "$2a$new"}, "", True),
        ({}, "secret123", True),
        ({"email": "new@b.co", "tokenKey": "mine" * 10}, "", False),
    ],
)
def test_changed_credentials_end_the_tokens(changes: dict[str, object], plain: str, is_refreshed: bool) -> None:
    record = saved_account(**changes)
    if plain:
        record.passwords["password"] = plain
    before = record.text("tokenKey")
    refresh_rights(record)
    assert (record.text("tokenKey") != before) is is_refreshed
    assert len(record.text("tokenKey")) in (30, 40, 50)


def test_new_records_and_others_keep_their_keys() -> None:
    record = new_record(ACCOUNTS)
    refresh_rights(record)
    assert record.text("tokenKey") == ""
    refresh_rights(Record(POSTS, {}, is_new=False))
    Record(POSTS, {}).refresh_token_key()
