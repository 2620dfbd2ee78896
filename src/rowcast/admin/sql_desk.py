"""SQL that superusers run, and what the server must notice of it.

Owns which SQL runs as a write, and the bounds. What it changes of collections and
settings is in force after its commit; records that it changes send no events.
Copies apis/sql.go.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rowcast.bus import CollectionChange
from rowcast.config import Settings, SettingsRef
from rowcast.errors import BadRequestError, DataDirError, ErrorData, InvalidFieldsError
from rowcast.schema import checks
from rowcast.schema.casts import short_number_text
from rowcast.schema.catalog import Catalog, CatalogRef
from rowcast.sql import SQLValue
from rowcast.storage import Bounds, Outcome, Row, Storage, StorageError, Transaction, WritesError
from rowcast.storage.catalog_rows import collection_from_row, collection_rows
from rowcast.storage.settings_rows import load_settings

_MAX_QUERY = 5000
_MAX_ROWS = 1000
_MAX_BYTES = 16 << 20
_WRITES = ("INSERT", "CREATE", "UPDATE", "DELETE", "DROP", "DETACH", "ALTER", "REPLACE")


class SqlDesk:
    """Runs SQL. Synchronous; safe to use from several threads. `timeout_s` bounds each call."""

    def __init__(
        self,
        storage: Storage,
        catalog: CatalogRef,
        settings: SettingsRef,
        on_change: Callable[[CollectionChange], None],
        timeout_s: float,
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._settings = settings
        self._on_change = on_change
        self._bounds = Bounds(_MAX_ROWS, _MAX_BYTES, timeout_s)

    def run(self, query: str) -> dict[str, object]:
        """Return time in milliseconds, changed rows, columns and rows. Raises BadRequestError with SQLite's reason.

        What begins with a word that writes runs in one transaction and gives no rows.
        """
        error = checks.first(checks.required(query), checks.length(query, 0, _MAX_QUERY))
        if error is not None:
            raise InvalidFieldsError(data=ErrorData(query=error))
        started = time.monotonic()
        try:
            outcome = self._run(query.strip())
        except (StorageError, DataDirError) as refused:
            reason = refused.engine_text if isinstance(refused, StorageError) else str(refused)
            raise BadRequestError(f"Failed to execute query. Raw error:\n{reason}") from refused
        return {
            "execTime": int((time.monotonic() - started) * 1000),
            "affectedRows": outcome.changed,
            "columns": [{"name": name, "type": kind, "nullable": True} for name, kind in outcome.columns],
            "rows": [[_text(value) for value in row] for row in outcome.rows],
        }

    def _run(self, query: str) -> Outcome:
        if not query:
            raise StorageError("empty query")
        if query.upper().startswith(_WRITES):
            return Outcome((), [], self._write(query).changed)
        try:
            return self._storage.script(query, self._bounds)
        except WritesError:
            # Begins with a comment or with WITH, or is a pragma: the reference tells no number of rows then.
            outcome = self._write(query)
            return Outcome(outcome.columns, outcome.rows, 0)

    def _write(self, query: str) -> Outcome:
        with self._storage.write() as transaction:
            key = self._settings.key
            collections, settings = collection_rows(transaction), load_settings(transaction, key)
            outcome = transaction.script(query, self._bounds)
            self._notice_collections(transaction, collections)
            if (changed := load_settings(transaction, key)) is None:
                raise DataDirError("the settings can't be deleted")
            if changed != settings:
                transaction.on_commit(lambda: self._enforce(changed))
        return outcome

    def _enforce(self, settings: Settings) -> None:
        with self._settings.swapping:
            self._settings.current = settings

    def _notice_collections(self, transaction: Transaction, before: list[Row]) -> None:
        """Put changed collections in force after the commit. Raises DataDirError where they can't be understood."""
        after = collection_rows(transaction)
        if after == before:
            return
        old, known = self._catalog.current, set(before)
        found = [(old.find(str(row[0])) if row in known else None) or collection_from_row(row) for row in after]
        catalog = Catalog(found)
        events = [
            CollectionChange(collection, now)
            for collection in old
            if (now := next((c for c in catalog if c.id == collection.id), None)) is not collection
        ]

        def enforce() -> None:
            with self._settings.swapping:
                self._catalog.current = catalog
                for event in events:
                    self._on_change(event)

        transaction.on_commit(enforce)


def _text(value: SQLValue) -> str | None:
    """Return a value as the reference's driver prints it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return short_number_text(value) if isinstance(value, float) else str(value)
