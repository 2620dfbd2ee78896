"""Noticing what another process has changed: the settings and the collections.

Both live in memory as immutable values. Whoever serves the same database, or a
command beside the server, may store new ones; a look costs one small query.

They are read in no write transaction: whoever tells changes looks first, and on PostgreSQL all
writers may be waiting for what is told. So another thread may swap what is in force meanwhile; then what
was read is older, perhaps, and is read again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from rowcast.config import Settings, SettingsRef
from rowcast.errors import DataDirError
from rowcast.schema.catalog import Catalog, CatalogRef
from rowcast.schema.collection import Collection
from rowcast.sql import Dialect, Row
from rowcast.storage import Reader, Storage
from rowcast.storage.catalog_rows import is_same, load_catalog

_log = logging.getLogger(__name__)

_LOOK = "SELECT (SELECT value FROM {at}_params WHERE id = 'settings'), (SELECT {times} FROM {at}_collections)"
"""The times of all collections, not the latest: that of a machine whose clock is behind may be no later."""

OnChange = Callable[[Collection, Collection | None], None]
"""Called with a collection that another process changed, and what it is now (None: dropped)."""


class Freshness:
    """Keeps settings and catalog as they are stored. Safe to use from several threads."""

    def __init__(
        self,
        storage: Storage,
        catalog: CatalogRef,
        settings: SettingsRef,
        *,
        load_settings: Callable[[Reader], Settings | None],
        on_change: OnChange,
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._settings = settings
        self._load_settings = load_settings
        self._on_change = on_change
        # What was seen, and what was in force then: after a change of our own that somebody else took back, the
        # database may look as it did before.
        self._known: tuple[Row | None, Settings, Catalog] | None = None
        self._glance = _look_in(storage.dialect, "{schema}.")

    def is_current(self, reader: Reader) -> bool:
        """Whether nothing that `reader` sees is still to be taken over."""
        return self._is_seen(_look(reader))

    def refresh(self) -> None:
        """Take over what has changed. Raises BudgetExceededError under a budget: run it again in a thread."""
        while not self._is_seen(self._storage.glance(self._glance)):
            if self._take_over():
                return

    def _take_over(self) -> bool:
        """Read what is stored and put it in force; False where something else is in force by now."""
        # Before the state is taken: what replaces these later may be newer than it.
        known, settings, catalog = self._known, self._settings.current, self._catalog.current
        with self._storage.read() as reader:
            seen = _look(reader)
            try:
                stored_settings, stored = self._load_settings(reader) or settings, load_catalog(reader)
            except DataDirError as error:
                _log.warning("what another process has stored can't be read: %s", error)
                stored_settings, stored = settings, catalog
        with self._settings.swapping:
            if (known, settings, catalog) != (self._known, self._settings.current, self._catalog.current):
                return False
            if stored_settings != settings:
                self._settings.follow(stored_settings)
            if stored is not catalog:
                self._take(stored)
            self._known = (seen, self._settings.current, self._catalog.current)
        return True

    def _is_seen(self, seen: Row | None) -> bool:
        known = self._known
        return (
            known is not None
            and seen == known[0]
            and known[1] is self._settings.current
            and known[2] is self._catalog.current
        )

    def _take(self, catalog: Catalog) -> None:
        before = self._catalog.current
        pairs = [(old, catalog.find(old.id)) for old in before]
        changed = [(old, new) for old, new in pairs if new is None or not is_same(old, new)]
        if not changed and [each.id for each in before] == [each.id for each in catalog]:
            return
        kept = {old.id: old for old, new in pairs if new is not None and is_same(old, new)}
        # What is the same stays the same object: shapes and codecs are kept by it.
        self._catalog.current = Catalog(kept.get(each.id, each) for each in catalog)
        for old, new in changed:
            self._on_change(old, new)


def _look(reader: Reader) -> Row | None:
    return reader.row(_look_in(reader.dialect))


def _look_in(dialect: Dialect, at: str = "") -> str:
    return _LOOK.format(at=at, times=dialect.all_texts.format("updated"))
