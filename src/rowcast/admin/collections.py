"""The collections API behind HTTP: list, view, create, update, delete, truncate, import, scaffolds.

Owns which answer or error each call gives (apis/collection.go, collection_import.go).
Every change runs in one write transaction; the new catalog is put in force right
after its commit, before the next writer starts, and whoever follows the schema hears
of it then. Answers are JSON values with their keys in the reference's order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from rowcast.admin import views
from rowcast.admin.collections_body import BodyError, apply_body, named_kind
from rowcast.admin.collections_import import FAILURE, import_collections
from rowcast.admin.collections_list import list_collections
from rowcast.admin.collections_output import collection_json
from rowcast.admin.collections_prepare import new_collection
from rowcast.admin.collections_save import DeleteRecord, SchemaError, SchemaWriter, invalid_query
from rowcast.admin.views import ViewError
from rowcast.blobs import BlobError, Blobs
from rowcast.bus import CollectionChange
from rowcast.config import SettingsRef
from rowcast.errors import (
    BadRequestError,
    ErrorData,
    FieldError,
    FilterError,
    InvalidFieldsError,
    NotFoundError,
    RowcastError,
)
from rowcast.schema import checks
from rowcast.schema.catalog import Catalog, CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.fieldlist import field_json
from rowcast.schema.generate import ID_ALPHABET, random_text
from rowcast.schema.oauth2_providers import PROVIDERS, logo
from rowcast.schema.public import public_values
from rowcast.schema.record import Record
from rowcast.schema.rows import from_row, select_columns
from rowcast.sql import quote
from rowcast.storage import BudgetExceededError, ConflictError, Storage, StorageError, Transaction

logger = logging.getLogger(__name__)

_TRUNCATE_STEP = 500
_MAX_QUERY = 5000

_BAD_BODY = "Failed to load the submitted data due to invalid formatting."
_REFUSED = (SchemaError, StorageError, ViewError)


class Collections:
    """What superusers do with collections. Safe to use from several threads.

    `on_change` is called after the commit, in commit order, with each collection that
    was changed or deleted; `refresh` takes over what other processes have stored. A body is
    the decoded JSON of the request, None for an empty one.
    """

    def __init__(
        self,
        storage: Storage,
        catalog: CatalogRef,
        settings: SettingsRef,
        *,
        blobs: Blobs,
        delete_record: DeleteRecord,
        on_change: Callable[[CollectionChange], None],
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._settings = settings
        self._blobs = blobs
        self._delete_record = delete_record
        self._on_change = on_change
        self._refresh = refresh

    def list(self, params: Mapping[str, str]) -> dict[str, object]:
        """Return a page of collections. `params` are the first values of the query string."""
        try:
            with self._storage.read() as reader:
                page = list_collections(reader, self._catalog.current, params)
        except (FilterError, ValueError, StorageError) as error:
            raise BadRequestError from error
        return {
            "items": [collection_json(collection) for collection in page.collections],
            "page": page.page,
            "perPage": page.per_page,
            "totalItems": page.total_items,
            "totalPages": page.total_pages,
        }

    def view(self, name_or_id: str) -> dict[str, object]:
        """Return a collection."""
        return collection_json(self._find(self._catalog.current, name_or_id))

    def create(self, body: object) -> dict[str, object]:
        """Create a collection from its type's defaults and the values of `body`, and return it."""
        given = _object(body, "Failed to load the collection type data due to invalid formatting.")
        try:
            kind, name, _ = named_kind(given)
        except BodyError as error:
            raise BadRequestError("Failed to load the collection type data due to invalid formatting.") from error
        blank = new_collection(kind, name)
        draft = _apply(blank, given)
        with _named("Failed to create collection."), self._change(self._try_query(draft)) as writer:
            saved = writer.save(draft, None, generated=blank.id)
        self._optimize()
        return collection_json(saved)

    def update(self, name_or_id: str, body: object) -> dict[str, object]:
        """Change a collection, its table and its indexes, and return it."""
        given = _object(body, _BAD_BODY)
        draft = _apply(self._find(self._catalog.current, name_or_id), given)
        with _named("Failed to update collection."), self._change(self._try_query(draft)) as writer:
            old = self._find(writer.catalog, name_or_id)
            saved = writer.save(_apply(old, given), old)
        self._optimize()
        return collection_json(saved)

    def delete(self, name_or_id: str) -> None:
        """Delete a collection with its records and files."""
        references: list[str] = []
        try:
            with self._change() as writer:
                collection = self._find(writer.catalog, name_or_id)
                references = writer.references(collection)
                writer.delete(collection)
        except _REFUSED as error:
            message = "Failed to delete collection"
            if references:
                message += f" probably due to existing reference in {', '.join(references)}"
            raise BadRequestError(message) from error

    def truncate(self, name_or_id: str) -> None:
        """Delete all records of a collection, with cascades and events."""
        collection = self._find(self._catalog.current, name_or_id)
        if collection.is_view:
            raise BadRequestError("View collections cannot be truncated since they don't store their own records.")
        try:
            with self._storage.write() as transaction:
                self._delete_records(transaction, self._find(self._catalog.current, collection.id))
        except (BudgetExceededError, ConflictError):
            raise
        except RowcastError as error:
            text = "Failed to truncate collection (most likely due to required cascade delete record references)."
            raise BadRequestError(text, error.data if isinstance(error, InvalidFieldsError) else None) from error

    def import_(self, body: object) -> None:
        """Create and change the collections of `body["collections"]`; with `deleteMissing` delete all others."""
        items, deletes_missing = _import_form(body)
        try:
            with self._change() as writer:
                import_collections(writer, items, deletes_missing=deletes_missing)
        except InvalidFieldsError as error:
            raise BadRequestError("Failed to import collections.", error.data) from error
        except (BodyError, *_REFUSED) as error:
            text = f"Failed to import the collections configuration. Raw error:\n{_reason(error)}"
            raise BadRequestError(
                "Failed to import collections.", ErrorData(collections=FieldError(FAILURE, text))
            ) from error
        self._optimize()

    def scaffolds(self) -> dict[str, object]:
        """Return a blank collection of each type, for forms to begin with."""
        stem = random_text(10, ID_ALPHABET)
        return {
            kind: collection_json(new_collection(kind, "", stem).replaced(id="")) for kind in ("auth", "base", "view")
        }

    def oauth2_providers(self) -> tuple[dict[str, str], ...]:
        """Return the OAuth2 providers that a collection can name, with display names and drawings."""
        return tuple({"name": name, "displayName": shown, "logo": logo(name)} for name, shown in PROVIDERS.items())

    def dry_run_view(self, body: object) -> dict[str, object]:
        """Run `body["query"]` as the query of a view would run, and return its fields and some of its records."""
        query = _lookup(_object(body, "An error occurred while loading the submitted data."), "query")
        if not isinstance(query, str | None):
            raise BadRequestError("An error occurred while loading the submitted data.")
        error = checks.first(checks.required(query), checks.length(query or "", 0, _MAX_QUERY))
        if error is not None:
            raise InvalidFieldsError(data=ErrorData(query=error))
        try:
            trial, records = self._run_trial(query or "")
        except (ViewError, StorageError) as refused:
            raise BadRequestError(f"Invalid view query. Raw error: \n{_reason(refused)}") from refused
        return {
            "fields": [field_json(field) for field in trial.collection.fields],
            "sample": [public_values(record) for record in records],
        }

    def _run_trial(self, query: str) -> tuple[views.Trial, Sequence[Record]]:
        """Run a query without making writers wait for it. Raises ViewError and StorageError."""
        with self._storage.write() as transaction:
            trial = views.plan_trial(transaction, query, self._catalog.current)
        with self._storage.read() as reader:
            return trial, views.run_trial(reader, trial)

    def _try_query(self, collection: Collection) -> dict[str, FieldError | None]:
        """Run the query of a view collection and return what is wrong with it, by the query."""
        query = collection.view.view_query if collection.view is not None else ""
        if not query:
            return {}
        try:
            self._run_trial(query)
        except ViewError as error:
            return {query: invalid_query(error)}
        return {query: None}

    @staticmethod
    def _find(catalog: Catalog, name_or_id: str) -> Collection:
        collection = catalog.find(name_or_id)
        if collection is None:
            raise NotFoundError
        return collection

    @contextmanager
    def _change(self, trials: Mapping[str, FieldError | None] | None = None) -> Iterator[SchemaWriter]:
        """Open a write transaction for schema changes."""
        with self._storage.write() as transaction:
            transaction.serialize()
            # Others may have changed them while this one waited for its turn.
            self._refresh()
            catalog, settings = self._catalog.current, self._settings.current
            writer = SchemaWriter(transaction, catalog, settings, self._settings.key, self._delete_record, trials)
            yield writer
            transaction.on_commit(lambda: self._enforce(writer))
        for id in writer.orphaned:
            try:
                self._blobs.delete_prefix(f"{id}/")
            except BlobError as error:
                logger.warning("the files of the deleted collection %s are left over: %s", id, error)

    def _enforce(self, writer: SchemaWriter) -> None:
        with self._settings.swapping:
            self._catalog.current = writer.catalog
            self._settings.swap(writer.settings)
            for event in writer.events:
                self._on_change(event)

    def _optimize(self) -> None:
        # The change is committed: nothing that happens here may undo its answer.
        with suppress(BudgetExceededError, StorageError):
            self._storage.optimize()

    def _delete_records(self, transaction: Transaction, collection: Collection) -> None:
        sql = f"SELECT {select_columns(collection)} FROM {quote(collection.name)} LIMIT {_TRUNCATE_STEP}"
        while rows := transaction.rows(sql):
            for row in rows:
                self._delete_record(transaction, from_row(collection, row))


@contextmanager
def _named(message: str) -> Iterator[None]:
    """Give the errors of a change the message of the call that made it."""
    try:
        yield
    except InvalidFieldsError as error:
        raise BadRequestError(message, error.data) from error
    except _REFUSED as error:
        raise BadRequestError(f"{message} Raw error: \n{_reason(error)}") from error


def _reason(error: Exception) -> str:
    return error.engine_text if isinstance(error, StorageError) else str(error)


def _object(body: object, message: str) -> Mapping[str, object]:
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise BadRequestError(message)
    return body


def _lookup(given: Mapping[str, object], name: str) -> object:
    """Return the last value under a name in any letter case."""
    return next((value for key, value in reversed(given.items()) if key.lower() == name.lower()), None)  # type: ignore[call-overload]


def _apply(collection: Collection, given: Mapping[str, object]) -> Collection:
    try:
        return apply_body(collection, given)
    except BodyError as error:
        raise BadRequestError(_BAD_BODY) from error


def _import_form(body: object) -> tuple[list[Mapping[str, object]], bool]:
    message = "An error occurred while loading the submitted data."
    given = _object(body, message)
    items, deletes_missing = _lookup(given, "collections"), _lookup(given, "deleteMissing")
    if not isinstance(items, list | None) or not isinstance(deletes_missing, bool | None):
        raise BadRequestError(message)
    if not items:
        raise InvalidFieldsError(data=ErrorData(collections=checks.REQUIRED))
    if not all(isinstance(item, dict) for item in items):
        raise BadRequestError(message)
    return items, bool(deletes_missing)
