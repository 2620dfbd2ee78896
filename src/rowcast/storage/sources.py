"""Which collections stand on a table of somebody else, and in which tables every change is captured.

Both are kept in a table of their own, `_rowcast_sources`, which is made when it is first
needed: a PocketBase that opens the directory does not know of it. An adopted collection is
a view over its table, with triggers that write through it, so the table keeps its name,
its columns and its types. A captured table has triggers that write what SQL changes into
the log of changes. The texts are those of an engine (`sqlite_sources`, `postgres_sources`); they
name columns, so they are made anew whenever a collection changes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from rowcast.errors import ErrorData, FieldError, InvalidFieldsError
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.fields import Field, PasswordField
from rowcast.sql import SQLValue
from rowcast.storage import Reader, Storage, StorageError, Transaction
from rowcast.storage.postgres_sources import PostgresSources
from rowcast.storage.source_parts import Column, Found, Kind, Part, Source
from rowcast.storage.sqlite_sources import SQLiteSources

_log = logging.getLogger("rowcast.storage")

SOURCES_TABLE = "_rowcast_sources"

_CREATE = (
    f"CREATE TABLE IF NOT EXISTS {SOURCES_TABLE} (collection TEXT PRIMARY KEY NOT NULL, place TEXT NOT NULL,"
    " name TEXT NOT NULL, columns TEXT NOT NULL, captured {number} NOT NULL, built TEXT NOT NULL)"
)
_FIND = f"SELECT collection, place, name, columns, captured, built FROM {SOURCES_TABLE}"
_SAVE = (
    f"INSERT INTO {SOURCES_TABLE} (collection, place, name, columns, captured, built) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (collection) DO UPDATE SET place = excluded.place, name = excluded.name,"
    " columns = excluded.columns, captured = excluded.captured, built = excluded.built"
)

_NEW_FIELD = FieldError(
    "validation_adopted_table",
    "The fields of an adopted table are its columns: add a column there, delete the collection and adopt it again.",
)


class SourceTexts(Protocol):
    """What an engine does for sources."""

    has_table: str

    def here(self, reader: Reader, /) -> str:
        """Return the schema of the tables of collections."""
        ...

    def find_table(self, reader: Reader, name: str, /) -> Found | None:
        """Return what is known of a table."""
        ...

    def create_view(self, tx: Transaction, collection: Collection, source: Source, parts: Sequence[Part], /) -> None:
        """Create the view of an adopted collection with the triggers that write through it."""
        ...

    def drop_view(self, tx: Transaction, collection: Collection, source: Source, /) -> None:
        """Drop them; what is not there is no error."""
        ...

    def rename_view(self, tx: Transaction, old: Collection, new: Collection, /) -> bool:
        """Rename the view of an adopted collection, and its columns, where views over it follow; False where not."""
        ...

    def capture(self, tx: Transaction, collection: Collection, source: Source, parts: Sequence[Part], /) -> None:
        """Create the triggers that log what SQL changes."""
        ...

    def release(self, tx: Transaction, collection: Collection, source: Source, /) -> None:
        """Drop them; what is not there is no error."""
        ...


_ENGINES: dict[str, SourceTexts] = {"sqlite": SQLiteSources(), "postgresql": PostgresSources()}


def _texts(reader: Reader) -> SourceTexts:
    return _ENGINES[reader.dialect.engine]


def here(reader: Reader) -> str:
    """Return the schema of the tables of collections, "" where there are no schemas."""
    return _texts(reader).here(reader)


def find_table(reader: Reader, name: str) -> Found | None:
    """Return the table of this name, on PostgreSQL also as schema.table; None where there is none."""
    return _texts(reader).find_table(reader, name)


def all_sources(reader: Reader) -> list[Source]:
    """Return all sources, by the ids of their collections."""
    if reader.value(_texts(reader).has_table, (SOURCES_TABLE,)) is None:
        return []
    rows = reader.rows(f"{_FIND} ORDER BY collection")
    return [
        Source(str(id), str(place), str(name), _columns(columns), captured == 1, str(built))
        for id, place, name, columns, captured, built in rows
    ]


def _columns(text: SQLValue) -> dict[str, Column]:
    return msgspec.json.decode(str(text), type=dict[str, Column])


def find(reader: Reader, collection_id: str) -> Source | None:
    """Return the source of a collection, None where it has a table of its own that nobody watches."""
    return next((source for source in all_sources(reader) if source.collection == collection_id), None)


def has_captured(reader: Reader) -> bool:
    """Whether anything is captured in the database."""
    if reader.value(_texts(reader).has_table, (SOURCES_TABLE,)) is None:
        return False
    return reader.value(f"SELECT 1 FROM {SOURCES_TABLE} WHERE captured = 1 LIMIT 1") is not None


def save(tx: Transaction, source: Source) -> None:
    """Remember a source in place of what was known of its collection; one that says nothing is forgotten."""
    tx.run(_CREATE.format(number=tx.dialect.whole_number))
    if not source.is_adopted and not source.is_captured:
        forget(tx, source)
        return
    columns = msgspec.json.encode(source.columns).decode()
    tx.run(_SAVE, (source.collection, source.place, source.table, columns, int(source.is_captured), source.built))


def forget(tx: Transaction, source: Source) -> None:
    """Forget a source."""
    tx.run(f"DELETE FROM {SOURCES_TABLE} WHERE collection = ?", (source.collection,))


def build(tx: Transaction, collection: Collection, source: Source) -> None:
    """Create what a source needs, and remember for which state of the collection it was. Raises StorageError."""
    parts = _parts(collection, source)
    if source.is_adopted:
        _texts(tx).create_view(tx, collection, source, parts)
    if source.is_captured:
        _texts(tx).capture(tx, collection, source, parts)
    save(tx, msgspec.structs.replace(source, built=_state(collection)))


def mend(storage: Storage, catalog: Catalog) -> None:
    """Make anew what names columns that are not there, or not all of them.

    A PocketBase, or a version that knows of no sources, may have changed the collections meanwhile.
    """
    with storage.read() as reader:
        if not _outdated(reader, catalog):
            return
    with storage.write() as tx:
        tx.serialize()
        for source, collection in _outdated(tx, catalog):
            if collection is None:
                forget(tx, source)
                continue
            try:
                with tx.savepoint():
                    clear(tx, collection, source)
                    build(tx, collection, source)
            except StorageError as error:
                _log.warning("what SQL changes in %s is not told as it should be: %s", collection.name, error)


def _outdated(reader: Reader, catalog: Catalog) -> list[tuple[Source, Collection | None]]:
    known = [(source, catalog.find(source.collection)) for source in all_sources(reader)]
    return [(source, found) for source, found in known if found is None or _state(found) != source.built]


def _state(collection: Collection) -> str:
    """Return what is another text once views and triggers have to name something else."""
    named = [(field.id, field.name, field.column_type) for field in collection.fields]
    return hashlib.blake2b(msgspec.json.encode((collection.name, named)), digest_size=8).hexdigest()


def rename(tx: Transaction, old: Collection, new: Collection, source: Source) -> Collection:
    """Give the view of an adopted collection its new names, if that can be; return the collection as it is now."""
    return new if source.is_adopted and _texts(tx).rename_view(tx, old, new) else old


def clear(tx: Transaction, collection: Collection, source: Source) -> None:
    """Drop what a source has in the database, never a table."""
    _texts(tx).release(tx, collection, source)
    if source.is_adopted:
        _texts(tx).drop_view(tx, collection, source)


def set_captured(tx: Transaction, collection: Collection, *, is_on: bool) -> None:
    """Begin or stop to log what SQL changes in the table of a collection. The log must be there.

    Raises StorageError, for a view among others.
    """
    source = find(tx, collection.id) or Source(collection.id)
    _texts(tx).release(tx, collection, source)
    changed = msgspec.structs.replace(source, is_captured=is_on, built=_state(collection))
    save(tx, changed)
    if is_on:
        _texts(tx).capture(tx, collection, changed, _parts(collection, changed))


def renewed(tx: Transaction, source: Source, new: Collection) -> Source:
    """Return a source without the columns of fields that are gone, and remember it.

    Raises InvalidFieldsError for a field that an adopted table has no column for.
    """
    if not source.is_adopted:
        return source
    unknown = [at for at, field in enumerate(new.fields) if field.id not in source.columns]
    if unknown:
        raise InvalidFieldsError(
            data=ErrorData(fields=ErrorData({str(at): ErrorData(name=_NEW_FIELD) for at in unknown}))
        )
    kept = {field.id: source.columns[field.id] for field in new.fields}
    changed = msgspec.structs.replace(source, columns=kept)
    if changed != source:
        save(tx, changed)
    return changed


def _parts(collection: Collection, source: Source) -> list[Part]:
    """Return the fields with their columns; passwords and token keys are never logged."""
    if collection.is_view:
        raise StorageError("the rows of a view are those of other tables")
    columns: Mapping[str, Column] = source.columns if source.is_adopted else {}
    return [
        Part(
            field,
            columns.get(field.id) or Column(field.name, _kind(field)),
            not isinstance(field, PasswordField) and not (collection.is_auth and field.name == "tokenKey"),
        )
        for field in collection.fields
    ]


def _kind(field: Field) -> Kind:
    declared = field.column_type.partition(" ")[0].upper()
    return "number" if declared in {"NUMERIC", "BOOLEAN"} else "json" if declared == "JSON" else "text"
