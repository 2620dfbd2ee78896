"""Saving and deleting collections inside one write transaction.

Owns the steps of a change: prepare, check, write the row, sync the table or the
view, look at the views that depend on it. `SchemaWriter.catalog` is the schema as
the transaction sees it; who opened the transaction puts it in force after the
commit. Copies core/collection_model.go (onCollectionSaveExecute,
onCollectionDeleteExecute) and core/collection_query.go (resaveViewsWithChangedFields).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import msgspec

from rowcast.admin import views
from rowcast.admin.collections_auth_checks import check_auth_options
from rowcast.admin.collections_checks import Candidate, check_collection
from rowcast.admin.collections_prepare import new_secret, prepared, with_fresh_id, with_superuser_options
from rowcast.admin.views import ViewError
from rowcast.bus import CollectionChange
from rowcast.ciphers import SettingsKey
from rowcast.config import Settings
from rowcast.errors import ErrorData, FieldError, InvalidFieldsError, RowcastError
from rowcast.schema import checks, dates, defaults
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.fieldlist import field_json
from rowcast.schema.fields import Field, FileField, RelationField
from rowcast.schema.record import Record
from rowcast.schema.rows import from_row, select_columns
from rowcast.sql import quote
from rowcast.storage import StorageError, Transaction, ddl
from rowcast.storage.catalog_rows import delete_collection, insert_collection, update_collection
from rowcast.storage.settings_rows import save_settings

DeleteRecord = Callable[[Transaction, Record], None]
"""Deletes a record with all that follows from it: cascades, files, changes to publish. May raise RowcastError."""

logger = logging.getLogger(__name__)

_MAX_REASON = 500


class SchemaError(RowcastError):
    """A change of the schema is refused for a reason that is no field's fault."""


class SchemaWriter:
    """Changes the schema within one transaction.

    `catalog`, `settings` and `events` say what it has come to; `orphaned` holds the ids
    of deleted collections that may have files. `trials` are the queries of views that
    were run before the transaction, so that it need not wait for them, and what was
    wrong with them.
    """

    def __init__(
        self,
        transaction: Transaction,
        catalog: Catalog,
        settings: Settings,
        key: SettingsKey,
        delete_record: DeleteRecord,
        trials: Mapping[str, FieldError | None] | None = None,
    ) -> None:
        self.transaction = transaction
        self.catalog = catalog
        self.settings = settings
        self.events: list[CollectionChange] = []
        self.orphaned: list[str] = []
        self._key = key
        self._delete_record = delete_record
        self._trials = dict(trials or {})

    def save(
        self, collection: Collection, old: Collection | None, *, generated: str = "", is_checked: bool = True
    ) -> Collection:
        """Save a collection, `old` being its state now (None: a new one), and return it as it is saved.

        `generated` is the id that a new collection got without asking for one.
        Raises InvalidFieldsError, SchemaError, ViewError and StorageError; the transaction must then be undone.
        """
        if old is None and not collection.id:
            generated = defaults.collection_id(collection.type or "base", collection.name)
            collection = collection.replaced(id=generated)
        collection = prepared(collection, dates.now(), is_new=old is None)
        if old is None:
            collection = with_fresh_id(collection, generated, self._is_taken)
        if is_checked:
            errors = self.check(collection, old)
            if errors:
                raise InvalidFieldsError(data=errors)
        return self._write(collection, old)

    def check(self, collection: Collection, old: Collection | None) -> ErrorData:
        """Return what is wrong with a prepared collection."""
        if collection.view is not None:
            collection = collection.replaced(fields=self._view_fields(collection.view.view_query))
        candidate = Candidate(collection, old, self.catalog, self.transaction)
        errors = check_collection(candidate)
        if collection.auth is not None:
            errors.update(check_auth_options(candidate, collection.auth))
        if collection.view is not None:
            errors.update(checks.collect(viewQuery=self._check_query(collection.view.view_query)))
        return errors

    def delete(self, collection: Collection, *, is_checked: bool = True) -> None:
        """Delete a collection with its table or view. Raises SchemaError where something depends on it."""
        name = collection.name
        if collection.system:
            raise SchemaError(f"[{name}] system collections cannot be deleted")
        references = self.references(collection) if is_checked else []
        if references:
            raise SchemaError(f"[{name}] failed to delete due to existing relation references: {', '.join(references)}")
        if collection.is_auth:
            self._delete_account_records(collection)
        if collection.is_view:
            ddl.drop_view(self.transaction, name)
        else:
            ddl.drop_collection(self.transaction, collection)
        errors = self._refresh_views(collection.id) if is_checked else []
        if errors:
            reasons = "\n".join(errors)
            raise SchemaError(f"[{name}] failed to delete due to existing view dependency: {reasons}")
        delete_collection(self.transaction, collection.id)
        self.catalog = self.catalog.without(collection.id)
        self.events.append(CollectionChange(collection, None))
        if any(isinstance(field, FileField) for field in collection.fields):
            self.orphaned.append(collection.id)

    def _delete_account_records(self, collection: Collection) -> None:
        """Delete what the system collections keep of the accounts. Copies core/auth_origin_model.go, recordRefHooks."""
        for name in ("_mfas", "_otps", "_externalAuths", "_authOrigins"):
            keeper = self.catalog.find(name)
            if keeper is not None and keeper.id != collection.id:
                sql = f'SELECT {select_columns(keeper)} FROM {quote(keeper.name)} WHERE "collectionRef" = ?'
                for row in self.transaction.rows(sql, (collection.id,)):
                    self._delete_record(self.transaction, from_row(keeper, row))

    def references(self, collection: Collection) -> list[str]:
        """Return the names of the other collections that have relations to a collection."""
        return [
            other.name
            for other in self.catalog
            if other.id != collection.id
            and any(isinstance(f, RelationField) and f.collection_id == collection.id for f in other.fields)
        ]

    def _is_taken(self, id: str) -> bool:
        return any(collection.id == id for collection in self.catalog)

    def _view_fields(self, query: str) -> tuple[Field, ...]:
        """Return what can be found of the fields of a query; what is wrong with it is told elsewhere."""
        try:
            return views.infer_fields(self.transaction, query, self.catalog)
        except ViewError as error:
            return error.fields

    def _check_query(self, query: str) -> FieldError | None:
        if not query:
            return checks.REQUIRED
        if query in self._trials:
            return self._trials[query]
        try:
            views.run_trial(self.transaction, views.plan_trial(self.transaction, query, self.catalog))
        except ViewError as error:
            return invalid_query(error)
        return None

    def _write(self, collection: Collection, old: Collection | None) -> Collection:
        if old is not None and collection.id != old.id:
            raise SchemaError("primary key change is not allowed")
        collection = with_superuser_options(_with_new_secret(collection, old))
        if collection.view is not None:
            collection = self._write_view(collection, collection.view.view_query, old)
        if old is None:
            insert_collection(self.transaction, collection)
        else:
            update_collection(self.transaction, collection)
        if not collection.is_view:
            ddl.sync_table(self.transaction, old, collection)
        self.catalog = self.catalog.replaced(collection)
        if old is not None:
            self.events.append(CollectionChange(old, collection))
            self._rename_limits(old.name, collection.name)
        # A view that no longer works must not stop its owner from changing the tables behind it.
        for reason in self._refresh_views(collection.id):
            logger.warning("a view must be adapted to the change of %s: %s", collection.name, reason)
        return collection

    def _rename_limits(self, old: str, new: str) -> None:
        """Have the rate limits of a renamed collection follow it. Copies core/settings_model.go."""
        limits = self.settings.rate_limits
        rules = tuple(
            msgspec.structs.replace(rule, label=new + rule.label.removeprefix(old))
            if rule.label.startswith(f"{old}:")
            else rule
            for rule in limits.rules
        )
        if old != new and rules != limits.rules:
            limits = msgspec.structs.replace(limits, rules=rules)
            self.settings = msgspec.structs.replace(self.settings, rate_limits=limits)
            save_settings(self.transaction, self.settings, self._key)

    def _write_view(self, collection: Collection, query: str, old: Collection | None) -> Collection:
        fields = views.infer_fields(self.transaction, query, self.catalog)
        if old is not None:
            ddl.drop_view(self.transaction, old.name)
        views.create_view(self.transaction, collection.name, query)
        return collection.replaced(fields=fields)

    def _refresh_views(self, besides: str) -> list[str]:
        """Save the views anew whose fields have changed, each on its own; return why some could not be."""
        errors: list[str] = []
        for view in [collection for collection in self.catalog if collection.is_view and collection.id != besides]:
            catalog, events = self.catalog, len(self.events)
            try:
                with self.transaction.savepoint():
                    self._refresh(view)
            except (InvalidFieldsError, SchemaError, StorageError, ViewError) as error:
                self.catalog = catalog
                del self.events[events:]
                errors.append(f"[{view.name}] {error}")
        return errors

    def _refresh(self, view: Collection) -> None:
        current = self.catalog.find(view.id) or view
        if current.view is None:
            return
        fields = views.infer_fields(self.transaction, current.view.view_query, self.catalog)
        if [_unnamed(field) for field in fields] != [_unnamed(field) for field in current.fields]:
            # It has been running: whether it gives good rows is asked when somebody changes it.
            self._trials.setdefault(current.view.view_query, None)
            self.save(current, current)


def invalid_query(error: ViewError) -> FieldError:
    """Return the error of a view's query."""
    reason = str(error).encode()[:_MAX_REASON].decode(errors="ignore")
    return FieldError("validation_invalid_view_query", f"Invalid query - {reason}")


def _unnamed(field: Field) -> dict[str, object]:
    """Return a field without its id, which is random in views."""
    return {**field_json(field), "id": ""}


def _with_new_secret(collection: Collection, old: Collection | None) -> Collection:
    """Return a collection whose auth tokens end where the rule for signing in has changed."""
    if collection.auth is None or old is None:
        return collection
    before = old.auth.auth_rule if old.auth is not None else None
    if (before or "") == (collection.auth.auth_rule or ""):
        return collection
    token = msgspec.structs.replace(collection.auth.auth_token, secret=new_secret())
    return collection.replaced(auth=msgspec.structs.replace(collection.auth, auth_token=token))
