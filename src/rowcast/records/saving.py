"""One record into the database, or out of it, without asking any rule.

Owns what always goes with a write: generated values, validation, dates, files,
the consequences for accounts and references, and the `Change` that tells others.
Everything happens inside the transaction that is handed in, so what fails leaves
nothing behind: new files are removed if it rolls back, old ones only once it has
committed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from rowcast.blobs import Blobs
from rowcast.blobs.removals import Removals
from rowcast.errors import BadRequestError, ErrorData, InvalidFieldsError
from rowcast.records import accounts, arrivals
from rowcast.records.finding import StoredRows, count
from rowcast.records.references import ReferencedError, References, system_errors
from rowcast.records.shapes import Shape, shape_of
from rowcast.schema import dates
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Record
from rowcast.schema.rows import changed_row, fill_generated, stamp_dates, to_row
from rowcast.schema.uploads import Ahead, Upload
from rowcast.schema.validation import DUPLICATE_ACCOUNT_ID, NOT_UNIQUE, record_errors, refresh_rights
from rowcast.storage import StorageError, Transaction, UniqueError

LAST_SUPERUSER = "You can't delete the only existing superuser"

_SUPERUSERS = "_superusers"
_INSTALLER = "__pbinstaller@example.com"

__all__ = ["LAST_SUPERUSER", "ReferencedError", "Saving"]


def _never(_: Collection) -> bool:
    return False


class Saving:
    """Saves and deletes records. Keeps no state of its own but caches.

    `wants_before` says whether a delete in a collection must carry a reader on the
    state before its transaction, `wants_earlier` the same of an update.
    """

    def __init__(
        self,
        catalog: CatalogRef,
        blobs: Blobs,
        *,
        removals: Removals | None = None,
        wants_before: Callable[[Collection], bool] = _never,
        wants_earlier: Callable[[Collection], bool] = _never,
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._removals = removals or Removals(blobs)
        self._references = References(catalog)
        self._wants_before = wants_before
        self._wants_earlier = wants_earlier

    # -- save ------------------------------------------------------------------

    def save(self, tx: Transaction, record: Record, *, validate: bool = True) -> None:
        """Insert a new record or update a stored one, and note the change.

        A stored record must have been loaded in this transaction: the change tells all
        of its values, not only those that are written. What a password field got as
        plain text must have been replaced by its hash.
        Afterwards the record is what the database holds. Raises InvalidFieldsError,
        StorageError and BlobError; then nothing may be committed. Copies
        core/db.go (create, update) with the hooks that core registers for records.
        """
        collection = record.collection
        if collection.is_view:
            raise BadRequestError("Unsupported collection type.")
        if record.is_new and not record.id:
            record.values["id"] = _rehearsed_id(record)
        fill_generated(record)
        if validate:
            errors = record_errors(record, StoredRows(tx, self._catalog.current)) or system_errors(
                tx, self._catalog.current, record
            )
            if errors:
                raise InvalidFieldsError(data=errors)
        if collection.is_auth:
            self._prepare_account(tx, record)
        stamp_dates(record, dates.now())
        previous = None if record.is_new else Record(collection, dict(record.original), is_new=False)
        if not self._write(tx, record):
            return
        saved = Record(collection, record.values.copy(), record.values, is_new=False)
        if previous is None:
            tx.changes.append(Change("create", saved))
        else:
            before = tx.before() if self._wants_earlier(collection) else None
            tx.changes.append(Change("update", saved, previous, before=before))
            if collection.is_auth:
                self._delete_all(tx, accounts.outdated(tx, self._catalog.current, saved, previous))
        if collection.name == _SUPERUSERS and previous is None:
            self._delete_installer(tx, record)
        record.original, record.is_new = saved.values, False
        record.uploads, record.passwords = {}, {}

    def _prepare_account(self, tx: Transaction, record: Record) -> None:
        catalog = self._catalog.current
        if record.collection.name == _SUPERUSERS:
            record.values["verified"] = True
        refresh_rights(record)
        if accounts.is_id_taken(tx, catalog, record):
            raise InvalidFieldsError(data=ErrorData(id=DUPLICATE_ACCOUNT_ID))
        if not record.is_new and record.flag("verified") and not record.original.get("verified"):
            links = accounts.linked(tx, catalog, record, "_externalAuths")
            if links:
                # Whoever signed up with somebody else's address must not stay signed in by another way.
                self._delete_all(tx, links)
                record.refresh_token_key()

    def _write(self, tx: Transaction, record: Record) -> bool:
        """Write the row and its files; False where the row is gone."""
        shape = shape_of(record.collection, tx.dialect)
        try:
            if record.is_new:
                tx.run(shape.insert, list(to_row(record).values()))
            else:
                row = changed_row(record)
                record_id = str(record.original["id"])
                if row.pop("id", record_id) != record_id:
                    raise StorageError("the id of a record can't be changed")
                if row and not tx.run(shape.update(tuple(row)), [*row.values(), record_id]):
                    return False
        except UniqueError as error:
            errors = _not_unique(error, record.collection)
            if not errors:
                raise
            raise InvalidFieldsError(data=errors) from error
        if shape.files:
            self._store_files(tx, shape, record)
        return True

    def _delete_installer(self, tx: Transaction, record: Record) -> None:
        """Delete the account of the reference's installer once there is a real superuser."""
        if record.text("email") != _INSTALLER:
            for installer in accounts.by_email(tx, record.collection, _INSTALLER):
                self.delete(tx, installer)

    # -- delete ----------------------------------------------------------------

    def delete(self, tx: Transaction, record: Record) -> None:
        """Delete a stored record with all that depends on it, and note the changes; the record itself comes last.

        Records that point to it are deleted too, or lose the reference. Raises
        ReferencedError where a required reference stands in the way, BadRequestError for
        the last superuser. Copies core/record_model.go, onRecordDeleteExecute.
        """
        # Not by recursion: a chain of references may be longer than Python's stack.
        stack = [self._delete_steps(tx, record)]
        while stack:
            dependent = next(stack[-1], None)
            if dependent is None:
                stack.pop()
            else:
                stack.append(self._delete_steps(tx, dependent))

    def _delete_all(self, tx: Transaction, records: Sequence[Record]) -> None:
        for record in records:
            self.delete(tx, record)

    def _delete_steps(self, tx: Transaction, record: Record) -> Generator[Record, None, None]:
        """Delete one row; gives each record that must be deleted before this one is done."""
        collection = record.collection
        if collection.is_view:
            raise BadRequestError("Unsupported collection type.")
        if collection.name == _SUPERUSERS and count(tx, collection) == 1:
            raise BadRequestError(LAST_SUPERUSER)
        shape = shape_of(collection, tx.dialect)
        before = tx.before() if self._wants_before(collection) else None
        # First the row itself, so that references in a circle come to an end.
        if not tx.run(shape.delete, [record.id]):
            return
        if collection.is_auth:
            yield from accounts.dependents(tx, self._catalog.current, record)
        for dependent in self._references.pointing_to(tx, record):
            if dependent.is_deleted:
                yield dependent.record
            else:
                self.save(tx, dependent.record, validate=False)
        if shape.files:
            folder = f"{collection.id}/{record.id}/"
            names = [name for field in shape.files for name in field.texts(record.original.get(field.name))]
            tx.on_commit(lambda: self._removals.remove_folder(folder, names))
        last = Record(collection, dict(record.original), is_new=False)
        tx.changes.append(Change("delete", last, before=before))

    # -- files -----------------------------------------------------------------

    def _store_files(self, tx: Transaction, shape: Shape, record: Record) -> None:
        """Store the uploads of a written record; drop what it does not name any more after the commit."""
        folder = f"{record.collection.id}/{record.id}/"
        dropped: list[str] = []
        if record.is_new and record.uploads:
            # The row is in, so nobody else has a record of this id, nor files.
            tx.on_rollback(lambda: self._removals.remove_folder(folder))
        for field in shape.files:
            names = record.texts(field.name)
            for name in names:
                upload = record.uploads.get(name)
                if upload is not None:
                    self._store(tx, folder, name, upload)
            dropped += (name for name in field.texts(record.original.get(field.name)) if name not in names)
        if dropped:
            tx.on_commit(lambda: self._removals.remove(folder, dropped))

    def _store(self, tx: Transaction, folder: str, name: str, upload: Upload) -> None:
        key, ahead = folder + name, upload.ahead
        if ahead is not None and not ahead.is_stored:
            ahead.key = key
            return
        if ahead is not None and ahead.key == key:
            # It is there already, and goes with whoever stored it unless this is committed.
            tx.on_commit(lambda: _take(ahead))
            return
        tx.on_rollback(lambda: self._removals.remove(folder, [name]))
        arrivals.store(self._blobs, key, upload)


def _take(ahead: Ahead) -> None:
    ahead.is_taken = True


def _rehearsed_id(record: Record) -> str:
    """Return the id under which the files of a new record are stored already, "" where there are none."""
    keys = (upload.ahead.key for upload in record.uploads.values() if upload.ahead is not None)
    return next((key.split("/")[1] for key in keys if key), "")


def _not_unique(error: UniqueError, collection: Collection) -> ErrorData:
    """Return the errors of the fields that a unique index names (core/validators/db.go, NormalizeUniqueIndexError)."""
    if error.table.lower() != collection.name.lower():
        return ErrorData()
    columns = {column.lower() for column in error.columns}
    return ErrorData({field.name: NOT_UNIQUE for field in collection.fields if field.name.lower() in columns})
