"""Who points to a record, and what a delete does to them.

Owns the look-up of relations against their direction and the loose references of
the system collections (`collectionRef`, `recordRef`). Copies core/record_model.go,
cascadeRecordDelete and deleteRefRecords, and core/auth_origin_model.go, recordRefHooks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rowcast.errors import BadRequestError, ErrorData, FieldError
from rowcast.records.finding import find
from rowcast.schema import checks
from rowcast.schema.catalog import Catalog, CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.fields import RelationField
from rowcast.schema.oauth2_providers import PROVIDERS
from rowcast.schema.record import Record
from rowcast.sql import Fragment, quote
from rowcast.storage import Reader

ACCOUNT_REFERENCES = ("_authOrigins", "_otps", "_mfas", "_externalAuths")
"""System collections whose records belong to an account, in the order in which they are deleted with it."""

_BATCH = 4000

_INVALID_COLLECTION = FieldError("validation_invalid_collection_id", "Missing or invalid collection.")
_INVALID_TYPE = FieldError("validation_invalid_collection_type", "Invalid collection type - must be auth.")
_INVALID_RECORD = FieldError("validation_invalid_record", "Missing or invalid record.")


class ReferencedError(BadRequestError):
    """A record can't be deleted, because another one requires it."""

    default_message = "Failed to delete record. Make sure that the record is not part of a required relation reference."


class Dependent(NamedTuple):
    """A record that pointed to a deleted one: to be deleted as well, or to be saved without the reference."""

    record: Record
    is_deleted: bool


class References:
    """The relations of a catalog, against their direction."""

    def __init__(self, catalog: CatalogRef) -> None:
        self._catalog = catalog
        self._known: tuple[Catalog | None, dict[str, tuple[tuple[Collection, RelationField], ...]]] = (None, {})

    def to(self, collection: Collection) -> tuple[tuple[Collection, RelationField], ...]:
        """Return the fields that relate to a collection, by the names of their collections."""
        catalog, known = self._known
        if catalog is not self._catalog.current:
            catalog, known = self._known = (self._catalog.current, {})
        found = known.get(collection.id)
        if found is None:
            found = known[collection.id] = tuple(
                (source, field)
                for source in sorted(catalog or (), key=lambda source: source.name)
                if not source.is_view
                for field in source.fields
                if isinstance(field, RelationField) and field.collection_id == collection.id
            )
        return found

    def pointing_to(self, reader: Reader, target: Record) -> Iterator[Dependent]:
        """Give the records that point to `target`, each as it is when its turn comes.

        Whoever asks must delete or save one before it asks for the next. Raises
        ReferencedError for a required reference that would be empty.
        """
        for source, field in self.to(target.collection):
            while ids := _pointing(reader, source, field, target):
                for record_id in ids:
                    record = find(reader, source, record_id)
                    # It may be gone, or point elsewhere, because of what was deleted before it.
                    if record is not None and target.id in record.texts(field.name):
                        yield _without(record, field, target)
                if len(ids) < _BATCH:
                    break


def _pointing(reader: Reader, source: Collection, field: RelationField, target: Record) -> list[str]:
    table, column = quote(source.name), f"{quote(source.name)}.{quote(field.name)}"
    if field.is_multiple:
        items = reader.dialect.items(Fragment(column)).text
        condition = f'EXISTS (SELECT 1 FROM {items} "each" WHERE "each".value = ?)'
    else:
        condition = f"{column} = ?"
    params = [target.id]
    if source.id == target.collection.id:
        condition += f' AND {table}."id" <> ?'
        params.append(target.id)
    order = reader.dialect.natural_order.format(table)
    sql = f'SELECT "id" FROM {table} WHERE {condition}{order and f" ORDER BY {order}"} LIMIT {_BATCH}'
    return [str(row[0]) for row in reader.rows(sql, params)]


def _without(record: Record, field: RelationField, target: Record) -> Dependent:
    ids = [related_id for related_id in record.texts(field.name) if related_id != target.id]
    if not ids and field.cascade_delete:
        return Dependent(record, is_deleted=True)
    if not ids and field.required:
        raise ReferencedError
    record.set(field.name, ids)
    return Dependent(record, is_deleted=False)


def system_errors(reader: Reader, catalog: Catalog, record: Record) -> ErrorData:
    """Return what is wrong with the reference of a record in a system collection; nothing for all others."""
    if record.collection.name not in ACCOUNT_REFERENCES:
        return ErrorData()
    collection_id, record_id = record.text("collectionRef"), record.text("recordRef")
    collection = catalog.find(collection_id)
    if collection is None or collection.id != collection_id:
        return ErrorData(collectionRef=_INVALID_COLLECTION if collection_id else checks.REQUIRED)
    if not collection.is_auth:
        return ErrorData(collectionRef=_INVALID_TYPE)
    if not record_id or find(reader, collection, record_id) is None:
        return ErrorData(recordRef=_INVALID_RECORD if record_id else checks.REQUIRED)
    if record.collection.name == "_externalAuths" and (provider := record.text("provider")) not in PROVIDERS:
        return ErrorData(provider=checks.INVALID_CHOICE if provider else checks.REQUIRED)
    return ErrorData()
