"""Proving that an e-mail address is one's own, by a token that is mailed to it.

Copies apis/record_auth_verification_request.go and record_auth_verification_confirm.go.
"""

from __future__ import annotations

from rowcast.auth import changes
from rowcast.auth.forms import account_of, email_error, invalid, require_valid
from rowcast.auth.pauses import Resends
from rowcast.auth.tokens import Tokens
from rowcast.config import SettingsRef
from rowcast.credentials import TokenKind, read_claims
from rowcast.errors import BadRequestError, FieldError
from rowcast.mail.outbox import Outbox
from rowcast.mail.render import render
from rowcast.records import Records
from rowcast.records.finding import find_unique
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.storage import Reader, Storage

_KIND: TokenKind = "verification"

_NO_EMAIL_CLAIM = FieldError("validation_invalid_token_claims", "Missing email token claim.")
_OTHER_EMAIL = FieldError(
    "validation_token_email_mismatch", "The record email doesn't match with the requested token claims."
)


class Verification:
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
        """Mail a token to an account that is not verified. What happened is told to nobody.

        The account is looked up in the background, so that the time tells nobody either.
        Raises BadRequestError for an unusable form and for superusers.
        """
        refuse_superusers(collection)
        require_valid(email=email_error(email))
        self._outbox.later(lambda: self._mail(collection, email))

    def confirm(self, collection: Collection, token: str) -> None:
        """Mark the account of a token as verified. May take long; call it in a thread. Raises BadRequestError."""
        refuse_superusers(collection)
        with self._storage.read() as reader:
            self._check(reader, collection, token)
        options = collection.auth
        # Whoever signed up with somebody else's address must not come back with its first password.
        locks = options is not None and not options.password_auth.enabled
        hashed = changes.random_hash(collection) if locks else ""
        with self._storage.write() as tx:
            account = self._check(tx, collection, token)
            if not account.flag("verified"):
                account.set("verified", True)
                if locks:
                    changes.lock_password(account, hashed)
                changes.save(self._records, tx, account, "An error occurred while saving the verified state.")
        self._resends.release(_KIND, account)

    def _mail(self, collection: Collection, email: str) -> None:
        with self._storage.read() as reader:
            account = find_unique(reader, collection, "email", email)
        options = collection.auth
        if account is None or options is None or account.flag("verified"):
            return
        if not self._resends.begin(_KIND, account):
            return
        token = self._tokens.mint(account, _KIND, claims={"email": account.text("email")})
        meta = self._settings.current.meta
        self._outbox.send(render(meta, account, options.verification_template, {"TOKEN": token}))

    def _check(self, reader: Reader, collection: Collection, token: str) -> Record:
        """Return the account of a token. Raises InvalidFieldsError."""
        claims = read_claims(token)
        if token and (claims is None or not claims.email):
            raise invalid(token=_NO_EMAIL_CLAIM)
        account = account_of(reader, self._tokens, collection, token, _KIND)
        if isinstance(account, FieldError):
            raise invalid(token=account)
        if claims is not None and account.text("email") != claims.email:
            raise invalid(token=_OTHER_EMAIL)
        return account


def refuse_superusers(collection: Collection) -> None:
    """Raise BadRequestError for superusers."""
    if collection.name == "_superusers":
        raise BadRequestError("All superusers are verified by default.")
