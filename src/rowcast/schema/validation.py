"""Is this record fit to be saved?

`account_errors` are the checks of the request's form, made first and reported
alone; `record_errors` are those of the fields. Both return every error that there
is, by field. Hashing and comparing passwords is the callers' work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rowcast.errors import ErrorData, FieldError
from rowcast.schema import checks
from rowcast.schema.casts import to_text
from rowcast.schema.fields import Lookup
from rowcast.schema.record import Record

NOT_UNIQUE = FieldError("validation_not_unique", "Value must be unique.")
DUPLICATE_ACCOUNT_ID = FieldError("validation_invalid_auth_id", "Invalid or duplicated auth record id.")
_WRONG_PASSWORD = FieldError("validation_invalid_old_password", "Missing or invalid old password.")


def record_errors(record: Record, lookup: Lookup) -> ErrorData:
    """Return what is wrong with the values of a record (core/record_model.go, onRecordValidate)."""
    errors = ErrorData()
    for field in record.collection.fields:
        error = field.validate_value(record, lookup)
        if error is not None:
            errors[field.name] = error
    return errors


@dataclass(frozen=True, slots=True)
class PasswordForm:
    """The password fields of a request body; "" where one was not sent."""

    password: str = ""
    confirm: str = ""
    old: str = ""

    @classmethod
    def from_body(cls, body: Mapping[str, object]) -> PasswordForm:
        """Read the fields of a body, whatever their types."""
        return cls(
            to_text(body.get("password")), to_text(body.get("passwordConfirm")), to_text(body.get("oldPassword"))
        )


def account_errors(
    record: Record,
    form: PasswordForm,
    *,
    may_manage: bool,
    is_password: Callable[[str], bool],
    checks_passwords: bool = True,
) -> ErrorData:
    """Return what a request may not change of an account, and what is wrong with its password fields.

    `may_manage` is for superusers and those whom the manage rule lets in;
    `is_password` says whether a text is the account's present password, and is asked
    only where that matters. `checks_passwords` is off where our own code set the
    password. Empty for records that aren't accounts. Copies forms/record_upsert.go,
    validateFormFields.
    """
    if not record.collection.is_auth:
        return ErrorData()
    errors = ErrorData()
    original = record.original
    if not record.is_new and not may_manage and record.text("email") != original.get("email", ""):
        errors["email"] = checks.MISMATCH
    if not may_manage and record.flag("verified") != bool(original.get("verified")):
        errors["verified"] = checks.MISMATCH
    if checks_passwords:
        errors.update(_password_errors(form, record.is_new, may_manage, is_password))
    return errors


def _password_errors(
    form: PasswordForm, is_new: bool, may_manage: bool, is_password: Callable[[str], bool]
) -> ErrorData:
    errors = ErrorData()
    if not form.password and (is_new or form.confirm or form.old):
        errors["password"] = checks.REQUIRED
    if not form.confirm and (is_new or form.password or form.old):
        errors["passwordConfirm"] = checks.REQUIRED
    elif form.confirm != form.password:
        errors["passwordConfirm"] = checks.MISMATCH
    if not is_new and not may_manage and (form.password or form.confirm):
        if not form.old:
            errors["oldPassword"] = checks.REQUIRED
        elif not is_password(form.old):
            errors["oldPassword"] = _WRONG_PASSWORD
    return errors


def refresh_rights(record: Record) -> None:
    """Give a changed account a new token key where its password or e-mail changed.

    To be called once before an update is written (core/record_model.go, onRecordSaveExecute).
    """
    if record.is_new or not record.collection.is_auth:
        return
    original = record.original
    if record.values["tokenKey"] != original.get("tokenKey"):
        return
    has_password = bool(record.passwords.get("password")) or record.values["password"] != original.get("password")
    if has_password or record.values["email"] != original.get("email"):
        record.refresh_token_key()
