"""Deleting what was begun and never finished: one-time passwords and first factors.

Copies core/mfa_query.go (DeleteExpiredMFAs) and core/otp_query.go (DeleteExpiredOTPs).
"""

from __future__ import annotations

from typing import Literal

from rowcast.records import Records
from rowcast.records.shapes import shape_of
from rowcast.schema import dates
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.rows import from_row
from rowcast.storage import Storage

_BATCH = 500


Begun = Literal["_mfas", "_otps"]


def delete_expired(storage: Storage, catalog: CatalogRef, records: Records, name: Begun, now: float) -> None:
    """Delete the rows of a system collection that are older than the collections of their accounts allow."""
    for collection in catalog.current:
        if collection.auth is None:
            continue
        lives_s = (collection.auth.mfa if name == "_mfas" else collection.auth.otp).duration
        while _delete_some(storage, catalog, records, name, collection.id, dates.from_unix(now - lives_s)):
            pass


def _delete_some(
    storage: Storage, catalog: CatalogRef, records: Records, name: str, collection_id: str, before: str
) -> bool:
    """Delete up to some hundred rows, so that other writers get their turn; whether there may be more."""
    target = catalog.current.find(name)
    if target is None:
        return False
    shape = shape_of(target, storage.dialect)
    sql = f'SELECT {shape.columns} FROM {shape.table} WHERE "collectionRef" = ? AND "created" < ? LIMIT {_BATCH}'
    with storage.write() as tx:
        rows = tx.rows(sql, [collection_id, before])
        for row in rows:
            records.delete_record(tx, from_row(target, row))
    return len(rows) == _BATCH
