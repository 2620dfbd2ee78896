"""A new data directory with the collections API on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rowcast.admin.collections import Collections
from rowcast.blobs import LocalBlobs
from rowcast.bus import CollectionChange
from rowcast.config import SettingsRef
from rowcast.errors import ApiError
from rowcast.records.saving import Saving
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Change
from rowcast.storage import Row
from rowcast.storage.ddl import has_table
from rowcast.storage.directory import open_directory


class Office:
    """What a test needs: the API, the database behind it, and what others were told."""

    def __init__(self, path: Path, database: str = "") -> None:
        self.directory = open_directory(path, database=database)
        self.storage = self.directory.data
        self.catalog = CatalogRef(self.directory.catalog, self.storage.dialect)
        self.settings = SettingsRef(self.directory.settings)
        self.blobs = LocalBlobs(self.directory.files)
        self.told: list[CollectionChange] = []
        self.changes: list[Change] = []
        self.storage.publish = lambda logged: self.changes.extend(c for c in logged if isinstance(c, Change))
        self.collections = Collections(
            self.storage,
            self.catalog,
            self.settings,
            blobs=self.blobs,
            delete_record=Saving(self.catalog, self.blobs).delete,
            on_change=self.told.append,
        )

    def close(self) -> None:
        self.directory.close()

    def create(self, name: str, /, *fields: Mapping[str, object], **more: object) -> dict[str, Any]:
        return self.collections.create({"name": name, "fields": list(fields), **more})

    def update(self, target: str, /, **body: object) -> dict[str, Any]:
        return self.collections.update(target, body)

    def import_(self, *items: Mapping[str, object], deletes: bool = False) -> None:
        self.collections.import_({"collections": list(items), "deleteMissing": deletes})

    def found(self, name: str) -> Collection:
        collection = self.catalog.current.find(name)
        assert collection is not None
        return collection

    def rows(self, sql: str) -> list[Row]:
        with self.storage.read() as reader:
            return reader.rows(sql)

    def run(self, sql: str) -> None:
        with self.storage.write() as transaction:
            transaction.run(sql)

    def schema(self) -> list[Row]:
        definitions = "SELECT name, sql FROM sqlite_schema ORDER BY name"
        if self.storage.dialect.engine == "postgresql":
            definitions = (
                "SELECT table_name, column_name, data_type, column_default FROM information_schema.columns"
                " WHERE table_schema = current_schema() ORDER BY 1, 2"
            )
        return self.rows(definitions) + self.rows("SELECT * FROM _collections ORDER BY _rowid_")

    def has_table(self, name: str) -> bool:
        with self.storage.read() as reader:
            return has_table(reader, name)


def field(kind: str, name: str, **options: object) -> dict[str, object]:
    """Return a field as a request brings it."""
    return {"type": kind, "name": name, **options}


def codes(error: ApiError) -> dict[str, str]:
    """Return the codes of an error by the path to each ("fields.0.name")."""
    found: dict[str, str] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value.get("code"), str):
            found[path] = value["code"].removeprefix("validation_")
        else:
            for name, inner in value.items():
                walk(inner, f"{path}.{name}" if path else name)

    walk(error.data.to_json(), "")
    return found
