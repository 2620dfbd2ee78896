"""Which account a user of a provider has here: linked before, signed in just now, of the same address, or new.

Everything happens in the transaction that is handed in. Rule: whoever made an account
with an address that is not theirs must not get in together with its owner, so an
account that is not verified loses its password and its other links when the owner
comes. Copies oauth2Submit of apis/record_auth_with_oauth2.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from rowcast.auth import changes
from rowcast.auth.oauth2.users import User
from rowcast.errors import BadRequestError, InternalError, NotFoundError
from rowcast.records import Records
from rowcast.records.finding import find, find_all, find_unique
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection, MappedFields
from rowcast.schema.fields import FileField, TextField
from rowcast.schema.indexes import unique_index
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import new_record
from rowcast.schema.uploads import Upload
from rowcast.storage import Reader, Transaction

_LINKS = "_externalAuths"
_SUPERUSERS = "_superusers"
_FAILED = "Failed to authenticate."


@dataclass(frozen=True, slots=True)
class OAuth2Proof:
    """What a provider said of a user: `raw` is its answer as JSON.

    `is_known` says that there seemed to be a verified account.
    """

    provider: str
    user: User
    raw: bytes
    token: Mapping[str, str]
    picture: Upload | None = None
    is_known: bool = False

    def meta(self) -> dict[str, object]:
        """Return what the answer of a sign-in tells of it; `avatarUrl` is for older clients."""
        user = self.user
        return {
            **self.token,
            "id": user.id,
            "name": user.name,
            "username": user.username,
            "email": user.email,
            "avatarURL": user.avatar,
            "avatarUrl": user.avatar,
            "rawUser": msgspec.Raw(self.raw),
        }


class Linking:
    """Finds and makes accounts. Keeps no state."""

    def __init__(self, catalog: CatalogRef, records: Records) -> None:
        self._catalog = catalog
        self._records = records

    def find(
        self, reader: Reader, collection: Collection, provider: str, user: User, request: RequestInfo
    ) -> Record | None:
        """Return the account of a user, None where there is none yet. Raises NotFoundError for a link to nowhere."""
        link = self._link(reader, collection, provider, user)
        if link is not None:
            account = find(reader, collection, link.text("recordRef"))
            if account is None:
                raise NotFoundError
            return account
        if request.auth is not None and request.auth.collection.id == collection.id:
            account = find(reader, collection, request.auth.id)
            if account is None:
                raise BadRequestError(_FAILED)
            return account
        return find_unique(reader, collection, "email", user.email) if user.email else None

    def hashes(self, collection: Collection, given: Mapping[str, object]) -> Mapping[str, str]:
        """Return the hashes of passwords that are given for a new account; takes long."""
        return self._records.hash_passwords(collection, given)

    def link(
        self,
        tx: Transaction,
        collection: Collection,
        proof: OAuth2Proof,
        request: RequestInfo,
        given: Mapping[str, object],
        hashes: Mapping[str, str],
        hashed: str,
    ) -> tuple[Record, bool]:
        """Return the account of a user, linked, and whether it is new; `hashed` is the hash of a random password.

        Raises BadRequestError, with `data` by field, and ForbiddenError where nobody may sign up.
        """
        user = proof.user
        link = self._link(tx, collection, proof.provider, user)
        account = self.find(tx, collection, proof.provider, user, request)
        is_new = account is None
        if account is None:
            # The account that was known is gone since; then, and only then, hash here.
            random = hashed or changes.random_hash(collection)
            account = self._sign_up(tx, collection, proof, request, given, {"password": random, **hashes})
        elif self._claim(tx, account, user, request, hashed):
            link = None
        if link is None:
            self._add_link(tx, account, proof)
        return account, is_new

    def _link(self, reader: Reader, collection: Collection, provider: str, user: User) -> Record | None:
        wanted = {"collectionRef": collection.id, "provider": provider, "providerId": user.id}
        found = find_all(reader, self._links(), wanted, limit=1)
        return found[0] if found else None

    def _links(self) -> Collection:
        collection = self._catalog.current.find(_LINKS)
        if collection is None:
            raise InternalError("Failed OAuth2 relation check.")
        return collection

    def _add_link(self, tx: Transaction, account: Record, proof: OAuth2Proof) -> None:
        link = new_record(self._links())
        link.set("collectionRef", account.collection.id)
        link.set("recordRef", account.id)
        link.set("provider", proof.provider)
        link.set("providerId", proof.user.id)
        try:
            changes.save(self._records, tx, link, _FAILED)
        except BadRequestError as error:
            # What is wrong with the link is nothing that the client could name.
            raise BadRequestError(_FAILED) from error

    def _claim(self, tx: Transaction, account: Record, user: User, request: RequestInfo, hashed: str) -> bool:
        """Bring an account that was there before up to date; return whether its links had to go."""
        was_verified, auth = account.flag("verified"), request.auth
        is_own = auth is not None and auth.is_same(account)
        before = dict(account.values)
        if not was_verified and not is_own:
            # The account became unverified since it was looked at; then, and only then, hash here.
            changes.lock_password(account, hashed or changes.random_hash(account.collection))
        if not was_verified:
            belongs = {"collectionRef": account.collection.id, "recordRef": account.id}
            for link in find_all(tx, self._links(), belongs):
                self._records.delete_record(tx, link)
        if not account.text("email") and user.email:
            account.set("email", user.email)
        if not was_verified and account.text("email") in {"", user.email}:
            account.set("verified", True)
        if account.values != before:
            changes.save(self._records, tx, account, _FAILED)
        return not was_verified

    # -- new accounts ----------------------------------------------------------

    def _sign_up(
        self,
        tx: Transaction,
        collection: Collection,
        proof: OAuth2Proof,
        request: RequestInfo,
        given: Mapping[str, object],
        hashes: Mapping[str, str],
    ) -> Record:
        if collection.name == _SUPERUSERS:
            raise BadRequestError(_FAILED)
        body, uploads = self._body(tx, collection, proof, given)
        asked = replace(request, method="POST", context="oauth2", query={}, body=body)
        account = self._records.sign_up(tx, asked, collection, uploads, hashes)
        if account.text("email") == proof.user.email and not account.flag("verified"):
            # Also where both are empty: no mail could ever verify it.
            account.set("verified", True)
            changes.save(self._records, tx, account, _FAILED)
        return account

    def _body(
        self, tx: Transaction, collection: Collection, proof: OAuth2Proof, given: Mapping[str, object]
    ) -> tuple[dict[str, object], dict[str, list[Upload]]]:
        """Return values and files of a new account: what was submitted, and what the provider says for the rest."""
        mapped = collection.auth.oauth2.mapped_fields if collection.auth is not None else MappedFields()
        user, body = proof.user, dict(given)
        email = body.get("email")
        if not isinstance(email, str) or not email:
            body["email"] = user.email
        for name, value in ((mapped.id, user.id), (mapped.name, user.name)):
            if name:
                body.setdefault(name, value)
        if mapped.username and mapped.username not in body and _is_free(tx, collection, mapped.username, user.username):
            body[mapped.username] = user.username
        name = mapped.avatar_url
        if not name or name in body or not user.avatar:
            return body, {}
        if isinstance(collection.field(name), FileField):
            return body, {name: [proof.picture]} if proof.picture is not None else {}
        body[name] = user.avatar
        return body, {}


def _is_free(reader: Reader, collection: Collection, name: str, username: str) -> bool:
    """Whether a new account may get a user name: it fits the field, and nobody has it where it must be unique."""
    field = collection.field(name)
    if field is None or (isinstance(field, TextField) and field.validate_plain(username) is not None):
        return False
    if unique_index(collection.indexes, name) is None:
        return True
    return find_unique(reader, collection, name, username) is None
