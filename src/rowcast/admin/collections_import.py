"""Importing a whole set of collections.

Owns the semantics of core/collection_import.go: what is imported is laid over the
collections of the same id or name, everything is saved first and checked together
at the end, and, where asked for, what is missing from the set is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from rowcast.admin.collections_body import apply_body, named_kind
from rowcast.admin.collections_errors import indented
from rowcast.admin.collections_prepare import new_collection
from rowcast.admin.collections_save import SchemaError, SchemaWriter
from rowcast.errors import ErrorData, FieldError, InvalidFieldsError, RowcastError
from rowcast.schema.casts import to_text
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.fieldlist import add_field
from rowcast.schema.fields import Field
from rowcast.schema.jsontext import go_quote
from rowcast.storage import ConflictError, StorageError

FAILURE = "validation_collections_import_failure"


@dataclass(frozen=True, slots=True)
class _Imported:
    """A collection as it is to be saved.

    `existing_id` is the id of the one that it changes, `generated` the id that a new
    one got without asking for it.
    """

    collection: Collection
    existing_id: str = ""
    generated: str = ""


def import_collections(writer: SchemaWriter, items: Sequence[Mapping[str, object]], *, deletes_missing: bool) -> None:
    """Import collections. The transaction must be undone where it raises.

    Raises InvalidFieldsError for what is wrong with an index or with a collection (as
    one text under `collections`), BodyError, ViewError, SchemaError and StorageError else.
    """
    before = writer.catalog
    imported = [_read(item, before, deletes_missing=deletes_missing) for item in items]
    imported.sort(key=lambda item: (item.collection.is_view, item.collection.created, item.collection.updated))
    if deletes_missing:
        kept = {item.collection.id for item in imported}
        for existing in sorted(before, key=lambda collection: collection.updated):
            if existing.id not in kept and not existing.system:
                writer.delete(existing, is_checked=False)
    saved = [_save(writer, item) for item in imported]
    for collection in saved:
        errors = writer.check(collection, before.find(collection.id) or collection)
        if errors:
            text = f'Data validations failed for collection "{collection.name}" ({collection.id}):\n{indented(errors)}'
            raise InvalidFieldsError(data=ErrorData(collections=FieldError(FAILURE, text)))


def _save(writer: SchemaWriter, item: _Imported) -> Collection:
    collection = item.collection
    # Asked again: an item before may have changed it, or taken it away.
    old = next((other for other in writer.catalog if other.id == item.existing_id), None)
    try:
        if item.existing_id and old is None:
            raise SchemaError("the collection doesn't exist")
        return writer.save(collection, old, generated=item.generated, is_checked=False)
    except (ConflictError, InvalidFieldsError):
        raise
    except StorageError as error:
        raise SchemaError(f"failed to save collection {go_quote(collection.name)}: {error.engine_text}") from error
    except RowcastError as error:
        raise SchemaError(f"failed to save collection {go_quote(collection.name)}: {error}") from error


def _read(item: Mapping[str, object], catalog: Catalog, *, deletes_missing: bool) -> _Imported:
    """Return what an item makes of the collection that it names, or of a new one."""
    existing = catalog.find(to_text(item.get("id")) or to_text(item.get("name")))
    if existing is None:
        kind, name, id = named_kind(item)
        blank = new_collection(kind, name, id)
        return _Imported(apply_body(blank, item), generated="" if id else blank.id)
    if deletes_missing and item.get("fields") is None:
        item = {**item, "fields": []}
    changed = apply_body(existing, item)
    return _Imported(_with_kept_fields(changed, existing, deletes_missing=deletes_missing), existing.id)


def _with_kept_fields(changed: Collection, existing: Collection, *, deletes_missing: bool) -> Collection:
    """Return a collection with the fields that must not be lost, and ids by which columns keep their data."""
    fields: list[Field] = list(changed.fields)
    for field in existing.fields:
        if (deletes_missing and not field.system) or any(other.id == field.id for other in fields):
            continue
        same = next((at for at, other in enumerate(fields) if other.name == field.name), None)
        if same is not None and fields[same].kind == field.kind:
            fields[same] = msgspec.structs.replace(fields[same], id=field.id)
        add_field(fields, field)
    return changed.replaced(fields=tuple(fields))
