"""Collections over tables of somebody else, and which tables have what SQL changes in them told.

The steps behind `rowcast adopt` and `rowcast capture`. Each is one transaction; a server
on the same database takes the new collections over by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from rowcast.admin.adopted_fields import AdoptionError, MappedTable, mapped
from rowcast.admin.collections_save import SchemaWriter
from rowcast.ciphers import SettingsKey
from rowcast.config import Settings
from rowcast.errors import ErrorData, InvalidFieldsError
from rowcast.schema import defaults
from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.storage import Reader, Storage, StorageError, Transaction, ddl, sources
from rowcast.storage.catalog_rows import load_catalog
from rowcast.storage.migrations import SYSTEM_TABLES
from rowcast.storage.source_parts import Found, Source, quoted

Rules = Mapping[str, str | None]
"""Rules by their names in `Collection`."""

__all__ = ["Adopted", "Adopting", "AdoptionError"]


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of a table: its collection, and how its columns were mapped."""

    table: str
    collection: Collection
    mapping: MappedTable


class Adopting:
    """Adopts tables and captures changes. What can't be done raises AdoptionError and changes nothing."""

    def __init__(self, storage: Storage, settings: Settings, key: SettingsKey) -> None:
        self._storage = storage
        self._settings = settings
        self._key = key

    def plan(self, table: str, *, name: str = "", key: str = "", rules: Rules | None = None) -> Adopted:
        """Return what `adopt` would make of a table."""
        with self._storage.read() as reader:
            return self._plan(reader, load_catalog(reader), table, name, key, rules or {})

    def adopt(
        self,
        table: str,
        *,
        name: str = "",
        key: str = "",
        rules: Rules | None = None,
        is_captured: bool = False,
    ) -> Adopted:
        """Make a collection over a table, which stays as it is. `key` names the column of the id.

        With `is_captured` the log of changes must be there.
        """
        with self._changing() as (tx, catalog):
            adopted = self._plan(tx, catalog, table, name, key, rules or {})
            found = self._found(tx, table)
            collection, columns = adopted.collection, adopted.mapping.columns
            sources.save(tx, Source(collection.id, found.place, found.table, columns, is_captured))
            writer = SchemaWriter(tx, catalog, self._settings, self._key, _never)
            saved = writer.save(collection, None)
        return Adopted(adopted.table, saved, adopted.mapping)

    def capture(self, collection: str, *, is_on: bool = True) -> Collection:
        """Have what SQL changes in a collection told, or not any more. The log of changes must be there."""
        with self._changing() as (tx, catalog):
            found = catalog.find(collection)
            if found is None:
                raise AdoptionError(f"there is no collection {collection!r}")
            if found.is_view:
                raise AdoptionError(f"{found.name} is a view: capture the collections that it reads")
            sources.set_captured(tx, found, is_on=is_on)
        return found

    def captured(self) -> list[tuple[str, str, bool]]:
        """Return the collections that are adopted or captured: name, adopted table or "", whether captured."""
        with self._storage.read() as reader:
            catalog = load_catalog(reader)
            known = [(catalog.find(source.collection), source) for source in sources.all_sources(reader)]
        shown = [(found.name, _shown(source), source.is_captured) for found, source in known if found is not None]
        return sorted(shown)

    def _plan(
        self,
        reader: Reader,
        catalog: Catalog,
        table: str,
        name: str,
        key: str,
        rules: Rules,
    ) -> Adopted:
        found = self._found(reader, table)
        known = sources.all_sources(reader)
        here = sources.here(reader)
        _refuse_ours(catalog, known, found, here)
        mapping = mapped(found, key, lambda target: _related(catalog, known, target, here))
        name = name or _free_name(reader, found.table)
        collection = Collection(id=_free_id(catalog, name), name=name, fields=tuple(mapping.fields)).replaced(**rules)
        return Adopted(_shown(Source("", found.place, found.table)), collection, mapping)

    @staticmethod
    def _found(reader: Reader, table: str) -> Found:
        found = sources.find_table(reader, table)
        if found is None:
            raise AdoptionError(f"there is no table {table!r}")
        return found

    @contextmanager
    def _changing(self) -> Iterator[tuple[Transaction, Catalog]]:
        """Open a transaction that changes the schema."""
        try:
            with self._storage.write() as tx:
                tx.serialize()
                yield tx, load_catalog(tx)
        except InvalidFieldsError as error:
            raise AdoptionError("; ".join(_reasons(error.data))) from error
        except StorageError as error:
            raise AdoptionError(error.engine_text) from error


def _never(_: Transaction, record: Record) -> None:
    raise AdoptionError(f"nothing is deleted here, not {record.id}")


def _refuse_ours(catalog: Catalog, known: list[Source], found: Found, here: str) -> None:
    if found.table.startswith(("_rowcast_", "sqlite_")) or (found.place == here and found.table in SYSTEM_TABLES):
        raise AdoptionError(f"{found.table!r} is a table of the system")
    for source in known:
        if (source.place, source.table) == (found.place, found.table):
            collection = catalog.find(source.collection)
            raise AdoptionError(f"the table is that of the collection {collection.name if collection else '?'} already")
    own = catalog.find(found.table)
    if own is not None and own.name == found.table and found.place == here:
        raise AdoptionError(f"{found.table!r} is a collection already")


def _related(catalog: Catalog, known: list[Source], target: tuple[str, str, str], here: str) -> str:
    """Return the id of the collection whose ids are in a column, "" for none."""
    place, table, column = target
    for source in known:
        collection = catalog.find(source.collection)
        id_field = collection.field("id") if collection is not None else None
        if source.is_adopted and (source.place, source.table) == (place, table) and id_field is not None:
            return source.collection if source.columns[id_field.id].name == column else ""
    own = catalog.find(table)
    if own is None or own.is_view or (own.name, place, column) != (table, here, "id"):
        return ""
    return own.id


def _free_name(reader: Reader, table: str) -> str:
    """Return a name for a collection that is like that of a table, and is not taken."""
    word = re.sub(r"\W+", "_", table, flags=re.ASCII).replace("_via_", "_").strip("_") or "adopted"
    names = (word, f"{word}_records", *(f"{word}_records{n}" for n in range(2, 1000)))
    return next((name for name in names if not ddl.has_table(reader, name)), word)


def _free_id(catalog: Catalog, name: str) -> str:
    base = defaults.collection_id("base", name)
    return next((id for id in (base, *(f"{base}{n}" for n in range(2, 1000))) if catalog.find(id) is None), base)


def _shown(source: Source) -> str:
    return quoted(source.place, source.table) if source.is_adopted else ""


def _reasons(data: ErrorData, where: str = "") -> Iterator[str]:
    for name, error in data.items():
        place = f"{where}.{name}" if where else name
        if isinstance(error, ErrorData):
            yield from _reasons(error, place)
        else:
            yield f"{place}: {error.message}"
