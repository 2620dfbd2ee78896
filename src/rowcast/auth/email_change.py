"""Another e-mail address, by a token that is mailed to it and the password.

Copies apis/record_auth_email_change_request.go and record_auth_email_change_confirm.go.
"""

from __future__ import annotations

from collections.abc import Callable

from rowcast import credentials
from rowcast.auth import changes
from rowcast.auth.forms import account_of, email_error, invalid, require_valid, text_error
from rowcast.auth.tokens import Tokens
from rowcast.config import SettingsRef
from rowcast.credentials import TokenKind, read_claims
from rowcast.errors import BadRequestError, FieldError
from rowcast.mail.outbox import Outbox
from rowcast.mail.render import render
from rowcast.records import Records
from rowcast.records.finding import find_unique
from rowcast.schema import checks
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.storage import Reader, Storage

REQUEST_FAILED = "Failed to request email change."

_KIND: TokenKind = "emailChange"
_LONGEST_PASSWORD = 100

_TAKEN = FieldError("validation_invalid_new_email", "Invalid new email address.")
_TAKEN_SINCE = FieldError("validation_invalid_token_email", "The new email address is invalid.")
_NO_NEW_EMAIL = FieldError("validation_invalid_token_payload", "Invalid token payload - newEmail must be set.")
_WRONG_PASSWORD = FieldError("validation_invalid_password", "Missing or invalid auth record password.")


class EmailChange:
    """Mails tokens and takes them back."""

    def __init__(
        self, storage: Storage, settings: SettingsRef, records: Records, tokens: Tokens, outbox: Outbox
    ) -> None:
        self._storage = storage
        self._settings = settings
        self._records = records
        self._tokens = tokens
        self._outbox = outbox

    def request(self, account: Record, new_email: str, report: Callable[[bool], None]) -> None:
        """Mail a token to a new address; `report` is called with whether the mail has left, from another thread.

        Raises BadRequestError for superusers and with `data` by field.
        """
        refuse_superusers(account.collection)
        email = account.text("email")
        error = email_error(new_email) or checks.none_of(new_email, [email])
        if error is None:
            with self._storage.read() as reader:
                found = find_unique(reader, account.collection, "email", new_email)
            error = _TAKEN if found is not None and found.id != account.id else None
        require_valid(newEmail=error)
        token = self._tokens.mint(account, _KIND, claims={"email": email, "newEmail": new_email})
        options = account.collection.auth
        if options is None:
            raise BadRequestError(REQUEST_FAILED)
        template = options.confirm_email_change_template
        message = render(self._settings.current.meta, account, template, {"TOKEN": token}, to=new_email)
        self._outbox.send(message, then=lambda: report(True), otherwise=lambda: report(False))

    def confirm(self, collection: Collection, token: str, password: str) -> None:
        """Give the account of a token its new address. Takes long; call it in a thread.

        Raises BadRequestError with `data` by field.
        """
        refuse_superusers(collection)
        with self._storage.read() as reader:
            found = self._check(reader, collection, token)
        require_valid(
            password=text_error(password, _LONGEST_PASSWORD) or _password_error(found, password),
            token=found if isinstance(found, FieldError) else None,
        )
        claims = read_claims(token)
        with self._storage.write() as tx:
            # Once more, because in the meantime the account may have got another password.
            account = self._check(tx, collection, token)
            if isinstance(account, FieldError):
                raise invalid(token=account)
            account.set("email", claims.new_email if claims is not None else "")
            account.set("verified", True)
            changes.save(self._records, tx, account, "Failed to confirm email change.")

    def _check(self, reader: Reader, collection: Collection, token: str) -> Record | FieldError:
        """Return the account of a token, or what is wrong with the token."""
        claims = read_claims(token)
        if token and (claims is None or not claims.new_email):
            return _NO_NEW_EMAIL
        account = account_of(reader, self._tokens, collection, token, _KIND)
        if isinstance(account, FieldError) or claims is None:
            return account
        if find_unique(reader, collection, "email", claims.new_email) is not None:
            return _TAKEN_SINCE
        return account


def _password_error(found: Record | FieldError, password: str) -> FieldError | None:
    if isinstance(found, FieldError) or not credentials.is_password(password, found.text("password")):
        return _WRONG_PASSWORD
    return None


def refuse_superusers(collection: Collection) -> None:
    """Raise BadRequestError for superusers."""
    if collection.name == "_superusers":
        raise BadRequestError("All superusers can change their emails directly.")
