"""Sign-in with a password and one of the fields that identify an account.

Rule: each attempt compares exactly one hash, whether the account is there or not,
so that the time of an answer does not tell who has an account; and it does so
outside of every transaction. Copies apis/record_auth_with_password.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rowcast import credentials
from rowcast.auth.origins import Device
from rowcast.auth.signin import SignIn
from rowcast.errors import BadRequestError, ForbiddenError, InvalidFieldsError
from rowcast.records.finding import find_unique
from rowcast.schema import checks
from rowcast.schema.addresses import is_email
from rowcast.schema.collection import Collection
from rowcast.schema.fields import PasswordField
from rowcast.schema.indexes import unique_index
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.sql import quote
from rowcast.storage import Reader, Storage

METHOD = "password"

_LONGEST = 255


@dataclass(frozen=True, slots=True)
class PasswordSignInForm:
    """What is submitted. Without `identity_field` every identity field is tried."""

    identity: str = ""
    password: str = ""
    identity_field: str = ""


class Passwords:
    """Signs in with passwords. `is_password` compares a text with a hash."""

    def __init__(
        self,
        storage: Storage,
        signin: SignIn,
        *,
        is_password: Callable[[str, str], bool] = credentials.is_password,
    ) -> None:
        self._storage = storage
        self._signin = signin
        self._is_password = is_password

    def sign_in(
        self,
        collection: Collection,
        form: PasswordSignInForm,
        request: RequestInfo,
        device: Device,
        *,
        mfa_id: str = "",
    ) -> bytes:
        """Return the answer `{record, token}` as JSON. Takes long; call it in a thread.

        Raises BadRequestError with `data` by field for an unusable form and without it
        for wrong credentials, and what `SignIn.complete` raises.
        """
        _check(collection, form)
        with self._storage.read() as reader:
            account = self._find(reader, collection, form)
            hashed = account.text("password") if account is not None else _some_hash(reader, collection)
        is_right = self._is_password(form.password, hashed)
        if account is None or not is_right:
            raise BadRequestError("Failed to authenticate.")
        return self._signin.complete(account, request, device, METHOD, mfa_id=mfa_id)

    def _find(self, reader: Reader, collection: Collection, form: PasswordSignInForm) -> Record | None:
        for name in [form.identity_field] if form.identity_field else _identity_fields(collection):
            if unique_index(collection.indexes, name) is None or collection.field(name) is None:
                continue
            if name == "email" and not form.identity_field and not is_email(form.identity):
                continue
            account = find_unique(reader, collection, name, form.identity)
            if account is not None:
                return account
        return None


def require_enabled(collection: Collection) -> None:
    """Refuse collections without sign-in by password."""
    if collection.auth is None or not collection.auth.password_auth.enabled:
        raise ForbiddenError("The collection is not configured to allow password authentication.")


def _check(collection: Collection, form: PasswordSignInForm) -> None:
    fields = collection.auth.password_auth.identity_fields if collection.auth is not None else ()
    field = form.identity_field
    errors = checks.collect(
        identity=checks.first(checks.required(form.identity), checks.length(form.identity, 1, _LONGEST)),
        identityField=checks.first(
            checks.length(field, 1, _LONGEST), checks.INVALID_CHOICE if field and field not in fields else None
        ),
        password=checks.first(checks.required(form.password), checks.length(form.password, 1, _LONGEST)),
    )
    if errors:
        raise InvalidFieldsError(data=errors)


def _identity_fields(collection: Collection) -> Iterable[str]:
    """Return the identity fields, the e-mail first as in older versions of the reference."""
    fields = collection.auth.password_auth.identity_fields if collection.auth is not None else ()
    return sorted(fields, key=lambda name: name != "email")


def _some_hash(reader: Reader, collection: Collection) -> str:
    """Return the hash of any account, or one that costs as much as a new one would."""
    found = reader.value(f'SELECT "password" FROM {quote(collection.name)} LIMIT 1')
    if isinstance(found, str) and found:
        return found
    field = collection.field("password")
    return credentials.decoy_hash(field.cost if isinstance(field, PasswordField) else 0)
