"""Everything that can be done with records, in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rowcast.blobs import Blobs
from rowcast.blobs.removals import Removals
from rowcast.records import finding
from rowcast.records.arrivals import Arrivals
from rowcast.records.output import Output
from rowcast.records.reads import Reads
from rowcast.records.saving import Saving
from rowcast.records.writes import Hashed, Uploads, Writes
from rowcast.rules import Rules
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.sql import SQLValue
from rowcast.storage import Reader, Storage, Transaction


def _never(_: Collection) -> bool:
    return False


class Records:
    """Lists, views, creates, updates and deletes records for requests, and without rules for other parts.

    Synchronous; every call may be run again from its start after a
    BudgetExceededError. Called inside of `storage.write()` on the same thread, the
    writes become part of that transaction. `wants_before` says whether a delete in a
    collection must carry a reader on the state before it, `wants_earlier` the same of an update.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        catalog: CatalogRef,
        blobs: Blobs,
        rules: Rules,
        output: Output,
        wants_before: Callable[[Collection], bool] = _never,
        wants_earlier: Callable[[Collection], bool] = _never,
    ) -> None:
        self.output = output
        self.arrivals, self.removals = Arrivals(storage, blobs), Removals(blobs)
        self._saving = Saving(
            catalog, blobs, removals=self.removals, wants_before=wants_before, wants_earlier=wants_earlier
        )
        self._reads = Reads(storage, catalog, output)
        self._writes = Writes(storage, rules, output, self._saving, self.arrivals)

    def list(self, request: RequestInfo, collection: Collection) -> bytes:
        """Return a page of records as JSON (see `Reads.list`)."""
        return self._reads.list(request, collection)

    def view(self, request: RequestInfo, collection: Collection, record_id: str) -> bytes:
        """Return one record as JSON (see `Reads.view`)."""
        return self._reads.view(request, collection, record_id)

    def create(
        self,
        request: RequestInfo,
        collection: Collection,
        uploads: Uploads | None = None,
        hashed: Hashed | None = None,
    ) -> bytes:
        """Create a record from `request.body` and return it as JSON (see `Writes.create`)."""
        return self._writes.create(request, collection, uploads, hashed)

    def update(
        self,
        request: RequestInfo,
        collection: Collection,
        record_id: str,
        uploads: Uploads | None = None,
        hashed: Hashed | None = None,
    ) -> bytes:
        """Change a record by `request.body` and return it as JSON (see `Writes.update`)."""
        return self._writes.update(request, collection, record_id, uploads, hashed)

    def delete(self, request: RequestInfo, collection: Collection, record_id: str) -> None:
        """Delete a record (see `Writes.delete`)."""
        self._writes.delete(request, collection, record_id)

    def hashes(self, collection: Collection, body: Mapping[str, object]) -> bool:
        """Whether a write with this body takes long because of a password, and belongs in a thread."""
        return self._writes.hashes(collection, body)

    def hash(self, request: RequestInfo, collection: Collection, record_id: str = "") -> Hashed:
        """Do what takes long with the passwords of a body before a transaction (see `Writes.hash`)."""
        return self._writes.hash(request, collection, record_id)

    def hash_passwords(self, collection: Collection, body: Mapping[str, object]) -> dict[str, str]:
        """Return the hashes of the passwords in a body, by field; takes long."""
        return self._writes.hash_passwords(collection, body)

    def sign_up(
        self,
        tx: Transaction,
        request: RequestInfo,
        collection: Collection,
        uploads: Uploads,
        hashed: Mapping[str, str],
    ) -> Record:
        """Create an account from `request.body` whose password nobody may know (see `Writes.sign_up`)."""
        return self._writes.sign_up(tx, request, collection, uploads, hashed)

    def find(self, reader: Reader, collection: Collection, record_id: str) -> Record | None:
        """Return the record of this id, whatever the rules."""
        return finding.find(reader, collection, record_id)

    def find_first(self, reader: Reader, collection: Collection, field: str, value: SQLValue) -> Record | None:
        """Return the first record whose field has this value in column form, whatever the rules."""
        return finding.find_first(reader, collection, field, value)

    def save(self, tx: Transaction, record: Record, *, validate: bool = True) -> None:
        """Insert or update a record without asking any rule (see `Saving.save`)."""
        self._saving.save(tx, record, validate=validate)

    def delete_record(self, tx: Transaction, record: Record) -> None:
        """Delete a record with what depends on it without asking any rule (see `Saving.delete`)."""
        self._saving.delete(tx, record)
