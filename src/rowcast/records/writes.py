"""Create, update and delete records for a request.

The order of the checks is the contract: what kind of collection, who may at all,
the rule over the new or the stored row, what an account may change of itself, the
values, the database. A write is judged and made inside one write transaction, so
that two requests that add to the same number never lose one. Only passwords are
hashed and compared before, since that takes long.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rowcast import credentials
from rowcast.blobs import BlobError
from rowcast.errors import BadRequestError, FilterError, ForbiddenError, InvalidFieldsError, NotFoundError
from rowcast.records import pick
from rowcast.records.arrivals import Arrivals
from rowcast.records.finding import find
from rowcast.records.output import Output
from rowcast.records.reads import ONLY_SUPERUSERS
from rowcast.records.references import ReferencedError
from rowcast.records.saving import Saving
from rowcast.records.shapes import shape_of
from rowcast.rules import Rules
from rowcast.schema.casts import to_text, unique_texts
from rowcast.schema.collection import Collection
from rowcast.schema.fields import FileField, PasswordField
from rowcast.schema.modifiers import load_resolved, resolve_body
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import from_row, new_record, to_row
from rowcast.schema.uploads import Upload
from rowcast.schema.validation import PasswordForm, account_errors
from rowcast.storage import Storage, StorageError, Transaction, UnavailableError, UnwritableError

logger = logging.getLogger("rowcast.records")

Uploads = Mapping[str, Sequence[Upload]]
"""Uploaded files by the keys of their form fields ("documents", "documents+", "+documents")."""

_CREATE_FAILED = "Failed to create record."
_UPDATE_FAILED = "Failed to update record."
_TEMPORARY_ID = "__temp_id__"


@dataclass(frozen=True, slots=True)
class Hashed:
    """What takes long with the passwords of a body, done before a transaction: hashes by field, and a comparison."""

    hashes: Mapping[str, str]
    is_password: Callable[[str, str], bool]


class Writes:
    """Carries out the writes of requests."""

    def __init__(self, storage: Storage, rules: Rules, output: Output, saving: Saving, arrivals: Arrivals) -> None:
        self._storage = storage
        self._rules = rules
        self._output = output
        self._saving = saving
        self._arrivals = arrivals

    def hashes(self, collection: Collection, body: Mapping[str, object]) -> bool:
        """Whether a write with this body takes long, because a password must be hashed or compared."""
        return any(body.get(field.name) for field in _password_fields(collection)) or (
            collection.is_auth and bool(body.get("oldPassword"))
        )

    def hash(self, request: RequestInfo, collection: Collection, record_id: str = "") -> Hashed:
        """Hash and compare the passwords of a body, some 50 ms for each; never call it inside of a transaction.

        `record_id` is that of the record that the body may change.
        """
        return Hashed(self.hash_passwords(collection, request.body), self._compare(collection, request, record_id))

    # -- create ----------------------------------------------------------------

    def create(
        self,
        request: RequestInfo,
        collection: Collection,
        uploads: Uploads | None = None,
        hashed: Hashed | None = None,
    ) -> bytes:
        """Create a record from `request.body` and return it as JSON. Copies apis/record_crud.go, recordCreate.

        `hashed` comes from `hash`, for who calls inside of a transaction. Raises
        ForbiddenError and BadRequestError, with `data` by field for values that are refused.
        """
        _check_collection(collection)
        if collection.create_rule is None and not request.is_superuser:
            raise ForbiddenError(ONLY_SUPERUSERS)
        pick.parse(request.query.get("fields", ""))
        hashes = hashed.hashes if hashed is not None else self.hash_passwords(collection, request.body)

        def write() -> bytes:
            with self._storage.write() as tx:
                record = self._create(tx, request, collection, uploads or {}, hashes)
                return self._encode(tx, record, request)

        return self._arrive(uploads, write, collection, _CREATE_FAILED)

    def sign_up(
        self,
        tx: Transaction,
        request: RequestInfo,
        collection: Collection,
        uploads: Uploads,
        hashed: Mapping[str, str],
    ) -> Record:
        """Create an account as `create` does, in a transaction at hand and with hashes that were made before.

        A body without a password leaves the one of `hashed["password"]`, which nobody
        knows and no check of passwords looks at. Copies what apis/record_crud.go does for OAuth2.
        """
        _check_collection(collection)
        if collection.create_rule is None and not request.is_superuser:
            raise ForbiddenError(ONLY_SUPERUSERS)
        return self._create(tx, request, collection, uploads, hashed, is_random="password" not in request.body)

    def _create(
        self,
        tx: Transaction,
        request: RequestInfo,
        collection: Collection,
        uploads: Uploads,
        hashes: Mapping[str, str],
        *,
        is_random: bool = False,
    ) -> Record:
        record = new_record(collection)
        asked = _resolved(record, request, uploads)
        load_resolved(record, asked.body, is_superuser=asked.is_superuser)
        _set_hashes(record, hashes)
        if is_random:
            record.values["password"] = hashes["password"]
        may_manage = asked.is_superuser or self._check_new(tx, record, asked)
        errors = account_errors(
            record,
            PasswordForm.from_body(asked.body),
            may_manage=may_manage,
            is_password=lambda _: False,
            checks_passwords=not is_random,
        )
        if errors:
            raise BadRequestError(_CREATE_FAILED, errors)
        self._save(tx, record, _CREATE_FAILED)
        return record

    def _check_new(self, tx: Transaction, record: Record, request: RequestInfo) -> bool:
        """Ask the create rule about a record that is not there yet; return whether the manage rule holds for it."""
        collection = record.collection
        row = to_row(record)
        if not row["id"]:
            row["id"] = _TEMPORARY_ID
        if "verified" in row and collection.is_auth:
            # A manage rule may rely on it, so nobody can claim it for a new account.
            row["verified"] = 0
        try:
            is_allowed = self._rules.allows(tx, collection.create_rule, record, request, is_new=True, row=row)
        except FilterError as error:
            raise BadRequestError(_CREATE_FAILED) from error
        if not is_allowed:
            raise BadRequestError(_CREATE_FAILED)
        rule = _manage_rule(collection, request)
        if not rule:
            return False
        try:
            return self._rules.allows(tx, rule, record, request, is_new=True, row=row)
        except FilterError:
            return False

    # -- update ----------------------------------------------------------------

    def update(
        self,
        request: RequestInfo,
        collection: Collection,
        record_id: str,
        uploads: Uploads | None = None,
        hashed: Hashed | None = None,
    ) -> bytes:
        """Change a record by `request.body` and return it as JSON. Copies apis/record_crud.go, recordUpdate.

        `hashed` comes from `hash`, for who calls inside of a transaction. Raises
        ForbiddenError, NotFoundError and BadRequestError, with `data` by field for values
        that are refused.
        """
        _check_collection(collection)
        if collection.update_rule is None and not request.is_superuser:
            raise ForbiddenError(ONLY_SUPERUSERS)
        pick.parse(request.query.get("fields", ""))
        ready = hashed if hashed is not None else self.hash(request, collection, record_id)

        def write() -> bytes:
            with self._storage.write() as tx:
                record = self._update(tx, request, collection, record_id, uploads or {}, ready)
                return self._encode(tx, record, request)

        return self._arrive(uploads, write, collection, _UPDATE_FAILED)

    def _update(
        self,
        tx: Transaction,
        request: RequestInfo,
        collection: Collection,
        record_id: str,
        uploads: Uploads,
        hashed: Hashed,
    ) -> Record:
        record = self._find(tx, collection, record_id)
        row = to_row(record)
        asked = _resolved(record, request, uploads)
        if not self._may(tx, collection.update_rule, record, asked):
            raise NotFoundError
        rule = _manage_rule(collection, asked)
        may_manage = asked.is_superuser or (bool(rule) and self._holds(tx, rule, record, asked))
        load_resolved(record, asked.body, is_superuser=asked.is_superuser)
        _set_hashes(record, hashed.hashes)
        stored = to_text(row.get("password"))
        errors = account_errors(
            record,
            PasswordForm.from_body(asked.body),
            may_manage=may_manage,
            is_password=lambda plain: hashed.is_password(plain, stored),
        )
        if errors:
            raise BadRequestError(_UPDATE_FAILED, errors)
        self._save(tx, record, _UPDATE_FAILED)
        return record

    # -- delete ----------------------------------------------------------------

    def delete(self, request: RequestInfo, collection: Collection, record_id: str) -> None:
        """Delete a record with what depends on it. Copies apis/record_crud.go, recordDelete.

        Raises ForbiddenError, NotFoundError, and BadRequestError where another record requires this one.
        """
        _check_collection(collection)
        if collection.delete_rule is None and not request.is_superuser:
            raise ForbiddenError(ONLY_SUPERUSERS)
        try:
            with self._storage.write() as tx:
                record = self._find(tx, collection, record_id)
                if not self._may(tx, collection.delete_rule, record, request):
                    raise NotFoundError
                self._delete(tx, record)
        except UnwritableError as error:
            logger.warning("a record could not be deleted: %s", error, extra={"collection": collection.name})
            raise ReferencedError from error

    # -- steps -----------------------------------------------------------------

    def _arrive(
        self, uploads: Uploads | None, write: Callable[[], bytes], collection: Collection, failed: str
    ) -> bytes:
        try:
            if not uploads:
                return write()
            return self._arrivals.write((upload for files in uploads.values() for upload in files), write)
        except BlobError as error:
            logger.warning("a file could not be stored: %s", error, extra={"collection": collection.name})
            raise BadRequestError(failed) from error
        except UnwritableError as error:
            logger.warning("a record could not be saved: %s", error, extra={"collection": collection.name})
            raise BadRequestError(failed) from error

    def _find(self, tx: Transaction, collection: Collection, record_id: str) -> Record:
        row = tx.row(shape_of(collection, tx.dialect).find, [record_id]) if record_id else None
        if row is None:
            raise NotFoundError
        return from_row(collection, row)

    def _may(self, tx: Transaction, rule: str | None, record: Record, request: RequestInfo) -> bool:
        """Whether a rule that guards a stored record lets the request pass; a broken rule lets nobody."""
        if not rule or request.is_superuser:
            return rule is not None or request.is_superuser
        return self._holds(tx, rule, record, request)

    def _holds(self, tx: Transaction, rule: str, record: Record, request: RequestInfo) -> bool:
        try:
            return self._rules.holds(tx, rule, record.collection, record.id, request, row=to_row(record))
        except FilterError:
            return False

    def _delete(self, tx: Transaction, record: Record) -> None:
        try:
            self._saving.delete(tx, record)
        except UnavailableError:
            raise
        except (InvalidFieldsError, StorageError) as error:
            logger.warning("a record could not be deleted: %s", error, extra={"collection": record.collection.name})
            raise ReferencedError from error

    def _save(self, tx: Transaction, record: Record, failed: str) -> None:
        try:
            self._saving.save(tx, record)
        except InvalidFieldsError as error:
            raise BadRequestError(failed, error.data) from error
        except UnavailableError:
            raise
        except (StorageError, BlobError) as error:
            logger.warning("a record could not be saved: %s", error, extra={"collection": record.collection.name})
            raise BadRequestError(failed) from error

    def _encode(self, tx: Transaction, record: Record, request: RequestInfo) -> bytes:
        query = request.query
        return self._output.encode(tx, record, request, expand=query.get("expand", ""), fields=query.get("fields", ""))

    def hash_passwords(self, collection: Collection, body: Mapping[str, object]) -> dict[str, str]:
        """Return the hashes of the passwords in a body, by field."""
        hashed: dict[str, str] = {}
        for field in _password_fields(collection):
            plain = to_text(body.get(field.name))
            # A longer one fails validation.
            if plain and len(plain.encode("utf-8", "surrogatepass")) <= credentials.MAX_PASSWORD_BYTES:
                hashed[field.name] = credentials.hash_password(plain, field.cost)
        return hashed

    def _compare(self, collection: Collection, request: RequestInfo, record_id: str) -> Callable[[str, str], bool]:
        """Return a function that says whether a text is the password of a hash; the likely question is answered now."""
        old = to_text(request.body.get("oldPassword")) if collection.is_auth else ""
        if not old:
            return credentials.is_password
        with self._storage.read() as reader:
            record = find(reader, collection, record_id)
        known = record.text("password") if record is not None else ""
        is_right = credentials.is_password(old, known)

        def is_password(plain: str, hashed: str) -> bool:
            return is_right if (plain, hashed) == (old, known) else credentials.is_password(plain, hashed)

        return is_password


def _check_collection(collection: Collection) -> None:
    if collection.is_view:
        raise BadRequestError("Unsupported collection type.")


def _password_fields(collection: Collection) -> list[PasswordField]:
    return [field for field in collection.fields if isinstance(field, PasswordField)]


def _manage_rule(collection: Collection, request: RequestInfo) -> str:
    """Return the manage rule where it may give a request rights: it never does so for guests."""
    rule = collection.auth.manage_rule if collection.auth is not None and request.auth is not None else None
    return rule or ""


def _set_hashes(record: Record, hashed: Mapping[str, str]) -> None:
    for name, plain in record.passwords.items():
        if plain and name in hashed:
            record.values[name] = hashed[name]


def _resolved(record: Record, request: RequestInfo, uploads: Uploads) -> RequestInfo:
    """Return the request with its body resolved: modifiers and uploads applied to the record's present values.

    Copies apis/record_crud.go, recordDataFromRequest.
    """
    body = resolve_body(record, request.body)
    added = {key: files for key, files in uploads.items() if files and _is_file_key(record.collection, key)}
    if added:
        for key, files in added.items():
            before = request.body.get(key) if record.collection.field(key) is not None else None
            body[key] = [*unique_texts(before), *files]
        body = resolve_body(record, body)
    if not request.is_superuser:
        for field in record.collection.fields:
            if field.hidden and not (record.collection.is_auth and field.name == "password"):
                body.pop(field.name, None)
    return replace(request, body=body)


def _is_file_key(collection: Collection, key: str) -> bool:
    field = collection.field(key) or collection.field(key.removesuffix("+")) or collection.field(key.removeprefix("+"))
    return isinstance(field, FileField)
