"""A database from one engine to the other and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rowcast.admin.copying import CopyError, Report, copy_database
from rowcast.schema.collection import Collection, ViewOptions
from rowcast.schema.rows import from_row, select_columns
from rowcast.storage import Storage
from rowcast.storage.catalog_rows import insert_collection, load_catalog
from rowcast.storage.postgres import PostgresStorage
from rowcast.storage.settings_rows import load_settings
from rowcast.storage.sqlite import SQLiteStorage
from tests import postgres
from tests.unit.records.world import World

TEXTS = ("", "ä 😀", "x\ny\t\\", "'\"`", "5", "5.0")
NUMBERS = (0, 5, -1.5, 0.1 + 0.2, 1e300, 2**53, 123456789.125)
JSONS = ("null", "5", "5.50", "1e21", "1e-7", '"text"', '{"b":1,"a":[1, 2]}', "[]", "true", '"\\u0000"')


@pytest.fixture
def database() -> Iterator[str]:
    url = postgres.new_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The world with posts and a view over them in its catalog."""
    made = World(tmp_path / "data")
    for number in range(30):
        made.add(
            "posts",
            title=f"{number}",
            text=TEXTS[number % len(TEXTS)],
            n=NUMBERS[number % len(NUMBERS)],
            data=JSONS[number % len(JSONS)],
            tags=["x", "y"][: number % 3],
            is_open=number % 2 == 0,
        )
    titles = made.of("titles")
    with made.storage.write() as tx:
        tx.run("DELETE FROM _collections WHERE name = 'users'")
        insert_collection(tx, made.of("posts"))
        insert_collection(tx, titles.replaced(view=_query("SELECT id, title FROM posts")))
        insert_collection(tx, titles.replaced(id="odd", name="odd", view=_query("SELECT id, iif(1, 2, 3) FROM posts")))
    yield made
    made.close()


def _query(text: str) -> ViewOptions:
    return ViewOptions(view_query=text)


def content(storage: Storage) -> tuple[object, list[dict[str, object]]]:
    """Return the settings and the posts of a database, in their order."""
    with storage.read() as reader:
        posts: Collection = next(one for one in load_catalog(reader) if one.name == "posts")
        rows = reader.rows(f"SELECT {select_columns(posts)} FROM posts ORDER BY _rowid_")
        return load_settings(reader), [from_row(posts, row).values for row in rows]


def test_a_copy_and_its_copy_hold_the_same(world: World, database: str, tmp_path: Path) -> None:
    copied = PostgresStorage(database)
    report = copy_database(world.storage, copied, source_log=world.directory.auxiliary)
    assert report.tables["posts"].count == 30
    assert list(report.views) == ["odd"]
    assert content(copied) == content(world.storage)
    with copied.write() as tx:
        tx.run("INSERT INTO posts (id) VALUES ('next')")
        assert tx.value("SELECT id FROM posts ORDER BY _rowid_ DESC LIMIT 1") == "next"
        assert tx.value("SELECT count(*) FROM titles") == 31
        tx.run("DELETE FROM posts WHERE id = 'next'")
    back, log = (SQLiteStorage(tmp_path / name, create=True) for name in ("back.db", "back-log.db"))
    again: Report = copy_database(copied, back, target_log=log)
    assert again.tables == report.tables
    assert content(back) == content(world.storage)
    with back.read() as one, world.storage.read() as other:
        kinds = "SELECT id, typeof(data), data, typeof(n), n FROM posts ORDER BY id"
        assert one.rows(kinds) == other.rows(kinds)
    for storage in (copied, back, log):
        storage.close()


def test_a_target_that_holds_something_is_refused(world: World, database: str) -> None:
    copied = PostgresStorage(database)
    copy_database(world.storage, copied, source_log=world.directory.auxiliary)
    with pytest.raises(CopyError, match="not empty"):
        copy_database(world.storage, copied, source_log=world.directory.auxiliary)
    copied.close()
