"""What the forms of several flows check in the same way, with the reference's codes and texts."""

from __future__ import annotations

from rowcast.auth.tokens import Tokens
from rowcast.credentials import TokenKind
from rowcast.errors import ErrorData, FieldError, InvalidFieldsError
from rowcast.schema import checks
from rowcast.schema.addresses import is_email
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.storage import Reader

_LONGEST = 255

_NO_EMAIL = FieldError("validation_is_email", "Must be a valid email address.")
_BAD_TOKEN = FieldError("validation_invalid_token", "Invalid or expired token.")
_FOREIGN_TOKEN = FieldError(
    "validation_token_collection_mismatch", "The provided token is for different auth collection."
)


def require_valid(**errors: FieldError | None) -> None:
    """Raise InvalidFieldsError where a field has an error."""
    if found := checks.collect(**errors):
        raise InvalidFieldsError(data=found)


def invalid(**errors: FieldError) -> InvalidFieldsError:
    """Return the error of fields that are known to be wrong."""
    return InvalidFieldsError(data=ErrorData(errors))


def text_error(text: str, longest: int = _LONGEST, *, shortest: int = 1) -> FieldError | None:
    """Return what is wrong with a required text; lengths count bytes."""
    return checks.first(checks.required(text), checks.length(text, shortest, longest))


def email_error(email: str) -> FieldError | None:
    """Return what is wrong with a required address."""
    return checks.first(text_error(email), None if is_email(email) else _NO_EMAIL)


def account_of(
    reader: Reader, tokens: Tokens, collection: Collection, token: str, kind: TokenKind
) -> Record | FieldError:
    """Return the account of a submitted token, or what is wrong with the token."""
    if not token:
        return checks.REQUIRED
    account = tokens.find(reader, token, kind)
    if account is None:
        return _BAD_TOKEN
    return account if account.collection.id == collection.id else _FOREIGN_TOKEN
