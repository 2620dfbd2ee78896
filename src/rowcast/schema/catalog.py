"""An immutable snapshot of all collections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count

from rowcast.schema.collection import Collection
from rowcast.sql import SQLITE, Dialect

_versions = count(1)


class Catalog:
    """All collections in rowid order, found by id or by name (any letter case).

    Never changed after construction: a schema change makes a new one, and
    `version` keys whatever was compiled from it.
    """

    __slots__ = ("_all", "_by_id", "_by_name", "version")

    def __init__(self, collections: Iterable[Collection] = ()) -> None:
        self._all = tuple(collections)
        self._by_id = {c.id: c for c in self._all}
        self._by_name = {c.name.lower(): c for c in self._all}
        self.version = next(_versions)

    def find(self, name_or_id: str) -> Collection | None:
        """Return the collection with this id or, in any letter case, this name."""
        found = self._by_id.get(name_or_id) or self._by_name.get(name_or_id)
        return found or self._by_name.get(name_or_id.lower())

    def __iter__(self) -> Iterator[Collection]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def replaced(self, collection: Collection) -> Catalog:
        """Return a catalog in which `collection` replaces that of the same id, or is added."""
        if collection.id in self._by_id:
            return Catalog(collection if c.id == collection.id else c for c in self._all)
        return Catalog((*self._all, collection))

    def without(self, collection_id: str) -> Catalog:
        """Return a catalog without the collection of this id."""
        return Catalog(c for c in self._all if c.id != collection_id)


class CatalogRef:
    """The catalog in force, and the SQL of its database. Swapped whole after the commit that changed it.

    Whoever swaps it holds `SettingsRef.swapping` until it has told of that.
    """

    __slots__ = ("current", "dialect")

    def __init__(self, catalog: Catalog, dialect: Dialect = SQLITE) -> None:
        self.current = catalog
        self.dialect = dialect
