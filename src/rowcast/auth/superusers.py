"""Superusers as the command line manages them, without a running server.

Goes the way of every other write, so validation, dependent records and the last
superuser's protection are the same as over the API. Knows nothing of terminals.
Copies cmd/superuser.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from rowcast import credentials
from rowcast.blobs import Blobs
from rowcast.errors import ErrorData, FieldError, InvalidFieldsError, RowcastError
from rowcast.records.finding import find_unique
from rowcast.records.saving import Saving
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.fields import PasswordField
from rowcast.schema.generate import random_text
from rowcast.schema.record import Record
from rowcast.schema.rows import new_record
from rowcast.storage import Reader, Storage, Transaction

_SUPERUSERS = "_superusers"
_OTPS = "_otps"
_DIGITS = "1234567890"
_TOO_LONG = FieldError("validation_invalid_value", "bcrypt: password length exceeds 72 bytes.")


class SuperuserError(RowcastError):
    """What was asked for can't be done with the superusers as they are."""


@dataclass(frozen=True, slots=True)
class OneTimePassword:
    """A new one-time password, which is shown once; valid for `seconds`."""

    id: str
    password: str
    seconds: int


class Superusers:
    """Creates, changes and deletes superusers. Raises ApiError for what validation refuses."""

    def __init__(self, storage: Storage, catalog: CatalogRef, blobs: Blobs) -> None:
        self._storage = storage
        self._catalog = catalog
        self._saving = Saving(catalog, blobs)

    def create(self, email: str, password: str) -> None:
        """Add a superuser."""
        hashed = self._hash(_SUPERUSERS, password)
        with self._storage.write() as tx:
            self._save(tx, new_record(self._collection(_SUPERUSERS)), email, password, hashed)

    def upsert(self, email: str, password: str) -> None:
        """Add a superuser, or give the one with this address a new password."""
        hashed = self._hash(_SUPERUSERS, password)
        with self._storage.write() as tx:
            record = self._find(tx, email) or new_record(self._collection(_SUPERUSERS))
            self._save(tx, record, email, password, hashed)

    def update(self, email: str, password: str) -> None:
        """Give a superuser a new password. Raises SuperuserError where there is none."""
        hashed = self._hash(_SUPERUSERS, password)
        with self._storage.write() as tx:
            self._save(tx, self._known(tx, email), email, password, hashed)

    def delete(self, email: str) -> bool:
        """Delete a superuser with what belongs to it; False where there is none."""
        with self._storage.write() as tx:
            record = self._find(tx, email)
            if record is not None:
                self._saving.delete(tx, record)
            return record is not None

    def create_otp(self, email: str) -> OneTimePassword:
        """Make a one-time password. Raises SuperuserError where there is no superuser or OTPs are off."""
        with self._storage.read() as reader:
            superuser = self._known(reader, email)
        options = superuser.collection.auth
        if options is None or not options.otp.enabled:
            raise SuperuserError("OTP auth is not enabled for the _superusers collection")
        password = random_text(options.otp.length, _DIGITS)
        hashed = self._hash(_OTPS, password)
        otp = new_record(self._collection(_OTPS))
        otp.set("collectionRef", superuser.collection.id)
        otp.set("recordRef", superuser.id)
        with self._storage.write() as tx:
            _set_password(otp, password, hashed)
            self._saving.save(tx, otp)
        return OneTimePassword(otp.id, password, options.otp.duration)

    def _save(self, tx: Transaction, record: Record, email: str, password: str, hashed: str) -> None:
        record.set("email", email)
        _set_password(record, password, hashed)
        self._saving.save(tx, record)

    def _known(self, reader: Reader, email: str) -> Record:
        record = self._find(reader, email)
        if record is None:
            raise SuperuserError(f'superuser with email "{email}" doesn\'t exist')
        return record

    def _find(self, reader: Reader, email: str) -> Record | None:
        return find_unique(reader, self._collection(_SUPERUSERS), "email", email)

    def _collection(self, name: str) -> Collection:
        found = self._catalog.current.find(name)
        if found is None:
            raise SuperuserError(f'failed to fetch "{name}" collection')
        return found

    def _hash(self, name: str, password: str) -> str:
        """Return the hash of a password, outside of a transaction because it takes long; "" for what has none."""
        field = self._collection(name).field("password")
        if not isinstance(field, PasswordField) or not password:
            return ""
        if len(password.encode()) > credentials.MAX_PASSWORD_BYTES:
            # Over the API the reference has no text for it; who types a password is told what is wrong.
            raise InvalidFieldsError(data=ErrorData(password=_TOO_LONG))
        return credentials.hash_password(password, field.cost)


def _set_password(record: Record, password: str, hashed: str) -> None:
    """Set the password, which validation looks at, and its hash, which is stored."""
    record.set("password", password)
    record.values["password"] = hashed
