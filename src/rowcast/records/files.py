"""Which stored file a request means, and whether it may have it.

Gives the key of a file; how the file is sent is up to who asks, and whether there is
such a file is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

from rowcast.errors import FilterError, NotFoundError
from rowcast.records.finding import find
from rowcast.records.shapes import shape_of
from rowcast.rules import Rules
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.fields import Field, FileField
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import from_row, to_row
from rowcast.schema.views import file_origin
from rowcast.sql import Fragment, quote
from rowcast.storage import Reader, Storage

_ALWAYS = ("100x100",)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Where a file is, the name under which it is sent, and the size of the thumb that is wanted of it, if any."""

    key: str
    name: str
    thumb: str = ""


class Files:
    """Finds the files of records. Synchronous; safe to use from several threads."""

    def __init__(self, storage: Storage, catalog: CatalogRef, rules: Rules) -> None:
        self._storage = storage
        self._catalog = catalog
        self._rules = rules

    def find(
        self, request: RequestInfo, collection: Collection, record_id: str, name: str, *, thumb: str = ""
    ) -> StoredFile:
        """Return the file of this name of a record. Copies apis/file.go, download.

        `request.auth` is the account of the file token. Raises NotFoundError also where
        the file is protected and the view rule refuses the request.
        """
        with self._storage.read() as reader:
            record = find(reader, collection, record_id)
            field = _field_of(record, name) if record is not None else None
            if record is None or field is None or (field.protected and not self._may_view(reader, record, request)):
                raise NotFoundError
            folder = self._folder(reader, record, field, name)
        is_offered = thumb in _ALWAYS or thumb in (field.thumbs or ())
        return StoredFile(f"{folder}/{name}", name, thumb if is_offered else "")

    def _may_view(self, reader: Reader, record: Record, request: RequestInfo) -> bool:
        rule = record.collection.view_rule
        if not rule or request.is_superuser:
            return rule is not None or request.is_superuser
        try:
            return self._rules.holds(reader, rule, record.collection, record.id, request, row=to_row(record))
        except FilterError:
            return False

    def _folder(self, reader: Reader, record: Record, field: FileField, name: str) -> str:
        """Return the folder of a record's files; those of a view lie with the record that they come from."""
        if not record.collection.is_view:
            return f"{record.collection.id}/{record.id}"
        origin = file_origin(record.collection, field.name, self._catalog.current)
        owner = _owner(reader, *origin, name) if origin is not None else None
        if owner is None:
            raise NotFoundError
        return f"{owner.collection.id}/{owner.id}"


def _field_of(record: Record, name: str) -> FileField | None:
    for field in record.collection.fields:
        if isinstance(field, FileField) and name in field.texts(record.values.get(field.name)):
            return field
    return None


def _owner(reader: Reader, collection: Collection, field: Field, name: str) -> Record | None:
    """Return the first record that has this file in a field."""
    shape, column = shape_of(collection, reader.dialect), f"{quote(collection.name)}.{quote(field.name)}"
    condition = f"{column} = ?"
    if isinstance(field, FileField) and field.is_multiple:
        items = reader.dialect.items(Fragment(column)).text
        condition = f'EXISTS (SELECT 1 FROM {items} "each" WHERE "each".value = ?)'
    row = reader.row(f"SELECT {shape.columns} FROM {shape.table} WHERE {condition} LIMIT 1", [name])
    return from_row(collection, row) if row is not None else None
