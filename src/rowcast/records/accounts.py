"""What hangs on an account: its origins, one-time passwords, sessions and links to other providers.

Copies the hooks of core/auth_origin_model.go, mfa_model.go, otp_model.go,
external_auth_model.go and record_model.go for records of auth collections.
"""

from __future__ import annotations

from collections.abc import Iterator

from rowcast.records.finding import find_all
from rowcast.records.references import ACCOUNT_REFERENCES
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.sql import quote
from rowcast.storage import Reader


def linked(reader: Reader, catalog: Catalog, account: Record, name: str) -> list[Record]:
    """Return the records of the system collection `name` that belong to an account."""
    collection = catalog.find(name)
    if collection is None:
        return []
    return find_all(reader, collection, {"collectionRef": account.collection.id, "recordRef": account.id})


def dependents(reader: Reader, catalog: Catalog, account: Record) -> Iterator[Record]:
    """Give the records that go with a deleted account."""
    for name in ACCOUNT_REFERENCES:
        yield from linked(reader, catalog, account, name)


def outdated(reader: Reader, catalog: Catalog, account: Record, previous: Record) -> list[Record]:
    """Return the records that an update of an account makes void.

    A new token key ends one-time passwords; a new password ends begun sign-ins and
    known origins.
    """
    found: list[Record] = []
    if account.text("tokenKey") != previous.text("tokenKey"):
        found += linked(reader, catalog, account, "_otps")
    if account.text("password") != previous.text("password"):
        found += linked(reader, catalog, account, "_mfas")
        found += linked(reader, catalog, account, "_authOrigins")
    return found


def is_id_taken(reader: Reader, catalog: Catalog, account: Record) -> bool:
    """Whether an account of another auth collection has this id; rules compare ids alone."""
    return any(
        reader.row(f'SELECT 1 FROM {quote(other.name)} WHERE "id" = ? LIMIT 1', [account.id]) is not None
        for other in catalog
        if other.is_auth and other.id != account.collection.id
    )


def by_email(reader: Reader, collection: Collection, email: str) -> list[Record]:
    """Return the accounts with this e-mail address."""
    return find_all(reader, collection, {"email": email})
