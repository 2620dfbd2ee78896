"""A new password for who lost the old one, by a token that is mailed.

Copies apis/record_auth_password_reset_request.go and record_auth_password_reset_confirm.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from rowcast.auth import changes
from rowcast.auth.forms import account_of, email_error, invalid, require_valid, text_error
from rowcast.auth.pauses import Resends
from rowcast.auth.tokens import Tokens
from rowcast.config import SettingsRef
from rowcast.credentials import TokenKind, read_claims
from rowcast.errors import BadRequestError, FieldError
from rowcast.mail.outbox import Outbox
from rowcast.mail.render import render
from rowcast.records import Records
from rowcast.records.finding import find_unique
from rowcast.schema import checks
from rowcast.schema.collection import AuthOptions, Collection
from rowcast.schema.fields import PasswordField
from rowcast.storage import Storage

_KIND: TokenKind = "passwordReset"

_INSTALLER = "__pbinstaller@example.com"


@dataclass(frozen=True, slots=True)
class NewPasswordForm:
    """What is submitted with a token."""

    token: str = ""
    password: str = ""
    confirm: str = ""


class PasswordReset:
    """Mails tokens and takes them back."""

    def __init__(
        self,
        storage: Storage,
        settings: SettingsRef,
        records: Records,
        tokens: Tokens,
        outbox: Outbox,
        resends: Resends,
    ) -> None:
        self._storage = storage
        self._settings = settings
        self._records = records
        self._tokens = tokens
        self._outbox = outbox
        self._resends = resends

    def request(self, collection: Collection, email: str) -> None:
        """Mail a token to an account. Whether there is one is told to nobody.

        It is looked up in the background, so that the time tells nobody either. Raises
        BadRequestError for an unusable form, and where nobody has a password.
        """
        options = require_enabled(collection)
        require_valid(email=email_error(email))
        self._outbox.later(lambda: self._mail(collection, options, email))

    def confirm(self, collection: Collection, form: NewPasswordForm) -> None:
        """Give the account of a token a new password. Takes long; call it in a thread.

        An address that got the mail is verified by it. Raises BadRequestError with `data` by field.
        """
        with self._storage.read() as reader:
            found = account_of(reader, self._tokens, collection, form.token, _KIND)
        require_valid(
            password=text_error(form.password, shortest=_shortest(collection)),
            passwordConfirm=checks.first(
                checks.required(form.confirm), checks.MISMATCH if form.confirm != form.password else None
            ),
            token=found if isinstance(found, FieldError) else None,
        )
        hashed = changes.hash_for(collection, form.password)
        claims = read_claims(form.token)
        with self._storage.write() as tx:
            # Once more, because in the meantime the same token may have been used.
            account = account_of(tx, self._tokens, collection, form.token, _KIND)
            if isinstance(account, FieldError):
                raise invalid(token=account)
            changes.set_password(account, form.password, hashed)
            if claims is not None and claims.email == account.text("email"):
                account.set("verified", True)
            changes.save(self._records, tx, account, "Failed to set new password.")
        self._resends.release(_KIND, account)

    def _mail(self, collection: Collection, options: AuthOptions, email: str) -> None:
        with self._storage.read() as reader:
            account = find_unique(reader, collection, "email", email)
        if account is None or account.text("email") == _INSTALLER or not self._resends.begin(_KIND, account):
            return
        token = self._tokens.mint(account, _KIND, claims={"email": account.text("email")})
        message = render(self._settings.current.meta, account, options.reset_password_template, {"TOKEN": token})
        self._outbox.send(message, otherwise=lambda: self._resends.release(_KIND, account))


def require_enabled(collection: Collection) -> AuthOptions:
    """Return the options of a collection with passwords. Raises BadRequestError for any other."""
    if collection.auth is None or not collection.auth.password_auth.enabled:
        raise BadRequestError("The collection is not configured to allow password authentication.")
    return collection.auth


def _shortest(collection: Collection) -> int:
    field = collection.field("password")
    return field.min if isinstance(field, PasswordField) and field.min > 0 else 1
