"""What another process stores is taken over: settings and collections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from rowcast.ciphers import NO_KEY
from rowcast.config import MetaSettings, Settings, SettingsRef
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.sql import Reader
from rowcast.storage.catalog_rows import delete_collection, insert_collection, load_catalog, update_collection
from rowcast.storage.directory import DataDir, open_directory
from rowcast.storage.freshness import Freshness
from rowcast.storage.settings_rows import load_settings, save_settings


class Process:
    """One process of those that have a data directory open."""

    def __init__(self, path: Path) -> None:
        self.directory: DataDir = open_directory(path)
        self.catalog, self.settings = CatalogRef(self.directory.catalog), SettingsRef(self.directory.settings)
        self.changed: list[tuple[str, str | None]] = []
        # What happens while a state is read.
        self.meanwhile: list[Callable[[], None]] = []
        self.fresh = Freshness(
            self.directory.data,
            self.catalog,
            self.settings,
            load_settings=self._load_settings,
            on_change=lambda old, new: self.changed.append((old.name, new.name if new else None)),
        )
        self.fresh.refresh()

    def _load_settings(self, reader: Reader) -> Settings | None:
        if self.meanwhile:
            self.meanwhile.pop()()
        return load_settings(reader)

    def store(self, collection: Collection) -> None:
        """Store a collection and put it in force."""
        with self.directory.data.write() as tx:
            insert_collection(tx, collection)
            tx.on_commit(self._swap)

    def _swap(self) -> None:
        with self.directory.data.read() as reader, self.settings.swapping:
            self.catalog.current = load_catalog(reader)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    pair = Process(tmp_path / "pb_data"), Process(tmp_path / "pb_data")
    yield pair
    for process in pair:
        process.directory.close()


def test_settings_are_taken_over(processes: tuple[Process, Process]) -> None:
    one, two = processes
    with one.directory.data.write() as tx:
        save_settings(tx, msgspec.structs.replace(one.settings.current, meta=MetaSettings(app_name="new")), NO_KEY)
    two.fresh.refresh()
    assert two.settings.current.meta.app_name == "new"


def test_collections_are_taken_over_and_those_that_are_the_same_stay_the_same(
    processes: tuple[Process, Process],
) -> None:
    one, two = processes
    users = two.catalog.current.find("users")
    collection = Collection(id="pbc_1", name="notes", type="base", updated="2026-01-01 00:00:00.000Z")
    with one.directory.data.write() as tx:
        insert_collection(tx, collection)
    two.fresh.refresh()
    found = two.catalog.current.find("notes")
    assert found is not None
    assert found.id == "pbc_1"
    assert two.catalog.current.find("users") is users
    later = msgspec.structs.replace(collection, name="letters", updated="2999-01-01 00:00:00.000Z")
    with one.directory.data.write() as tx:
        update_collection(tx, later)
    two.fresh.refresh()
    with one.directory.data.write() as tx:
        delete_collection(tx, "pbc_1")
    two.fresh.refresh()
    assert two.catalog.current.find("pbc_1") is None
    assert two.changed == [("notes", "letters"), ("letters", None)]


def test_nothing_is_swapped_where_nothing_has_changed(processes: tuple[Process, Process]) -> None:
    one, two = processes
    catalog, settings = two.catalog.current, two.settings.current
    with one.directory.data.write() as tx:
        save_settings(tx, one.settings.current, NO_KEY)
    two.fresh.refresh()
    assert (two.catalog.current, two.settings.current) == (catalog, settings)
    assert two.catalog.current is catalog


def test_what_one_changed_and_another_took_back_is_taken_back(processes: tuple[Process, Process]) -> None:
    one, two = processes
    catalog, settings = one.catalog.current, one.settings.current
    with one.directory.data.write() as tx:
        insert_collection(tx, Collection(id="pbc_1", name="notes", type="base", updated="2026-01-01 00:00:00.000Z"))
        save_settings(tx, msgspec.structs.replace(settings, meta=MetaSettings(app_name="new")), NO_KEY)
        one.catalog.current = load_catalog(tx)
        one.settings.swap(msgspec.structs.replace(settings, meta=MetaSettings(app_name="new")))
    with two.directory.data.write() as tx:
        delete_collection(tx, "pbc_1")
        save_settings(tx, settings, NO_KEY)
    one.fresh.refresh()
    assert one.catalog.current.find("notes") is None
    assert one.settings.current == settings
    assert len(list(one.catalog.current)) == len(list(catalog))


def test_a_change_by_a_clock_that_is_behind_is_taken_over(processes: tuple[Process, Process]) -> None:
    one, two = processes
    notes = Collection(id="pbc_1", name="notes", type="base", updated="2026-01-01 00:00:00.000Z")
    with one.directory.data.write() as tx:
        insert_collection(tx, notes)
    two.fresh.refresh()
    with one.directory.data.write() as tx:
        update_collection(tx, msgspec.structs.replace(notes, name="letters", updated="2026-01-01 00:00:01.000Z"))
    two.fresh.refresh()
    assert two.catalog.current.find("letters") is not None


def test_what_was_read_before_a_change_of_ones_own_does_not_take_its_place(processes: tuple[Process, Process]) -> None:
    one, two = processes
    two.store(Collection(id="pbc_1", name="notes", type="base", updated="2026-01-01 00:00:00.000Z"))
    one.meanwhile.append(lambda: one.store(Collection(id="pbc_2", name="letters", type="base", updated="2026-01-02")))
    one.fresh.refresh()
    assert one.meanwhile == []
    assert {"notes", "letters"} <= {collection.name for collection in one.catalog.current}
    # It was told of by who made it, and never taken back.
    assert one.changed == []
