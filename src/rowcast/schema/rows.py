"""Records from rows and rows from records.

A row holds the values in column form, in the order of the collection's fields;
`select_columns` gives the list for a SELECT that returns such rows. Nothing here
runs SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rowcast.schema.codec import codec_of
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.sql import SQLValue, quote


def select_columns(collection: Collection, table: str = "") -> str:
    """Return the quoted columns of a collection for a SELECT, with the SQL name of their table if it is given."""
    columns = codec_of(collection).columns
    prefix = f"{quote(table)}." if table else ""
    return ",".join(prefix + column for column in columns)


def from_row(collection: Collection, row: Sequence[SQLValue]) -> Record:
    """Return the record of a row (core/record_model.go, newRecordFromNullStringMap)."""
    codec = codec_of(collection)
    values = {name: convert(value) for name, convert, value in zip(codec.names, codec.from_db, row, strict=True)}
    return Record(collection, values, values.copy(), False)


def moved(record: Record, collection: Collection) -> Record:
    """Return a record in a newer form of its collection; fields keep their values by their ids."""
    row = to_row(record)
    return from_ids(collection, {field.id: row[field.name] for field in record.collection.fields})


def from_ids(collection: Collection, row: Mapping[str, SQLValue]) -> Record:
    """Return the record of values in column form that stand under the ids of their fields, which a rename keeps."""
    get = row.get
    values = {name: convert(get(key)) for key, name, convert in codec_of(collection).by_id}
    return Record(collection, values, values.copy(), False)


def logged_row(record: Record) -> dict[str, SQLValue]:
    """Return the values that the log of changes holds, in column form under the ids of their fields."""
    values = record.values
    return {key: convert(values[name]) for key, name, convert in codec_of(record.collection).logged}


def new_record(collection: Collection) -> Record:
    """Return a record with the zero value of each field."""
    codec = codec_of(collection)
    values = codec.defaults.copy()
    for name in codec.lists:
        values[name] = []
    return Record(collection, values)


def to_row(record: Record) -> dict[str, SQLValue]:
    """Return the values in column form by field name, for an INSERT or a row image."""
    values = record.values
    return {name: convert(values[name]) for name, convert in codec_of(record.collection).to_db.items()}


def changed_row(record: Record) -> dict[str, SQLValue]:
    """Return the values that differ from `record.original` in column form, for an UPDATE."""
    values, original = record.values, record.original
    return {
        name: convert(values[name])
        for name, convert in codec_of(record.collection).to_db.items()
        if name not in original or values[name] != original[name]
    }


def fill_generated(record: Record) -> None:
    """Give the empty texts of a new record their generated values, the id among them.

    Copies core/field_text.go, Intercept. To be called before validation.
    """
    if not record.is_new:
        return
    for field in codec_of(record.collection).generated:
        if not record.values[field.name]:
            record.values[field.name] = field.generate()


def stamp_dates(record: Record, now: str) -> None:
    """Set the autodate fields for a create or an update at `now`.

    A date that our own code has set to another value stays (core/field_autodate.go, Intercept).
    """
    for field in codec_of(record.collection).autodates:
        applies = field.on_create if record.is_new else field.on_update
        if applies and record.values[field.name] == record.original.get(field.name, ""):
            record.values[field.name] = now
