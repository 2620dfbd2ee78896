"""Changes of accounts that flows make on their own, whatever the rules.

Hashing takes long, so hashes are made before a transaction begins and handed in.
"""

from __future__ import annotations

import logging

from rowcast import credentials
from rowcast.blobs import BlobError
from rowcast.errors import BadRequestError, InvalidFieldsError
from rowcast.records import Records
from rowcast.schema.collection import Collection
from rowcast.schema.fields import PasswordField
from rowcast.schema.generate import random_text
from rowcast.schema.record import Record
from rowcast.storage import StorageError, Transaction, UnavailableError

_log = logging.getLogger("rowcast.auth")

_RANDOM_PASSWORD = 30


def hash_for(collection: Collection, password: str) -> str:
    """Return the hash of a new password in a collection; "" for what validation refuses."""
    field = collection.field("password")
    size = len(password.encode("utf-8", "surrogatepass"))
    if not isinstance(field, PasswordField) or not 0 < size <= credentials.MAX_PASSWORD_BYTES:
        return ""
    return credentials.hash_password(password, field.cost)


def random_hash(collection: Collection) -> str:
    """Return the hash of a password that nobody knows."""
    return hash_for(collection, random_text(_RANDOM_PASSWORD))


def set_password(record: Record, password: str, hashed: str) -> None:
    """Set a password, which validation looks at, and its hash, which is stored."""
    record.set("password", password)
    record.values["password"] = hashed


def lock_password(account: Record, hashed: str) -> None:
    """Replace the password by one that nobody knows, whatever the field asks of passwords.

    Copies core/record_model_auth.go, SetRandomPassword.
    """
    account.values["password"] = hashed
    account.refresh_token_key()


def save(records: Records, tx: Transaction, account: Record, failed: str) -> None:
    """Save an account. Raises BadRequestError with the text `failed` and `data` by field."""
    try:
        records.save(tx, account)
    except InvalidFieldsError as error:
        raise BadRequestError(failed, error.data) from error
    except UnavailableError:
        raise
    except (StorageError, BlobError) as error:
        _log.warning("an account could not be saved: %s", error, extra={"collection": account.collection.name})
        raise BadRequestError(failed) from error
