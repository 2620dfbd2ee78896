"""Records from rows, rows from records."""

from __future__ import annotations

import apsw
import pytest

from rowcast.schema.codec import codec_of
from rowcast.schema.fields import AutodateField, BoolField, GeoPoint, NumberField, SelectField, TextField
from rowcast.schema.record import Record
from rowcast.schema.rows import changed_row, fill_generated, from_row, new_record, select_columns, stamp_dates, to_row
from tests.unit.schema.samples import POSTS, accounts, collection_of

NOW = "2026-01-01 00:00:00.000Z"
DATED = collection_of(
    AutodateField(name="created", on_create=True), AutodateField(name="updated", on_create=True, on_update=True)
)


def test_a_row_becomes_a_record_and_comes_back() -> None:
    row = ("r1", "Hi", "", '["a"]', None, '{"lon":1,"lat":2}')
    record = from_row(POSTS, row)
    assert not record.is_new
    assert record.id == "r1"
    assert record.values == record.original
    assert record.values is not record.original
    assert record.values["place"] == GeoPoint(1, 2)
    assert tuple(to_row(record).values()) == row
    assert changed_row(record) == {}


def test_a_row_must_have_all_columns() -> None:
    with pytest.raises(ValueError):
        from_row(POSTS, ("r1",))


def test_a_new_record_has_zero_values_of_its_own() -> None:
    first, second = new_record(POSTS), new_record(POSTS)
    assert first.is_new
    assert first.id == ""
    assert first.values["tags"] == []
    assert first.values["tags"] is not second.values["tags"]
    assert to_row(first)["tags"] == "[]"
    assert changed_row(first) == to_row(first)


def test_only_what_changed_is_updated() -> None:
    record = from_row(POSTS, ("r1", "Hi", "", '["a"]', "{}", '{"lon":0,"lat":0}'))
    record.set("title", "Ho")
    record.set("tags+", "b")
    record.set("data", "{}")
    assert changed_row(record) == {"title": "Ho", "tags": '["a","b"]'}


def test_columns() -> None:
    collection = collection_of(TextField(name='a"b'))
    assert select_columns(collection) == '"id","a""b"'
    assert select_columns(collection, "posts") == '"posts"."id","posts"."a""b"'


def test_generated_texts_fill_empty_values_of_new_records() -> None:
    record = new_record(accounts(TextField(name="slug", autogenerate_pattern="[a-c]{4}"), TextField(name="plain")))
    record.set("slug", "mine")
    fill_generated(record)
    assert len(record.id) == 15
    assert len(record.text("tokenKey")) == 50
    assert record.text("slug") == "mine"
    assert record.text("plain") == ""
    saved = from_row(record.collection, tuple(to_row(record).values()))
    saved.values["slug"] = ""
    fill_generated(saved)
    assert saved.text("slug") == ""


def test_dates_of_creation_and_change() -> None:
    record = new_record(DATED)
    stamp_dates(record, NOW)
    assert record.text("created") == record.text("updated") == NOW
    saved = from_row(DATED, ("r1", NOW, NOW))
    later = "2026-01-02 00:00:00.000Z"
    stamp_dates(saved, later)
    assert (saved.text("created"), saved.text("updated")) == (NOW, later)


def test_a_date_that_was_set_on_purpose_stays() -> None:
    record = new_record(DATED)
    record.values["created"] = "2020-01-01 00:00:00.000Z"
    stamp_dates(record, NOW)
    assert record.text("created") == "2020-01-01 00:00:00.000Z"
    assert record.text("updated") == NOW


def test_a_collection_is_prepared_once() -> None:
    assert codec_of(POSTS) is codec_of(POSTS)
    assert codec_of(POSTS.replaced(name="other")) is not codec_of(POSTS)


def test_rows_pass_through_sqlite() -> None:
    collection = collection_of(
        NumberField(name="n"), BoolField(name="b"), SelectField(name="s", values=("a",), max_select=2)
    )
    record = new_record(collection)
    for key, value in {"id": "r1", "n": 1.5, "b": True, "s": ["a"]}.items():
        record.set(key, value)
    db = apsw.Connection(":memory:")
    db.execute(f"CREATE TABLE posts ({', '.join(f'{f.name} {f.column_type}' for f in collection.fields)})")
    db.execute("INSERT INTO posts VALUES (?,?,?,?)", tuple(to_row(record).values()))
    (row,) = db.execute(f"SELECT {select_columns(collection, 'posts')} FROM posts")
    assert from_row(collection, row).values == record.values


def test_shorthands() -> None:
    record = Record(POSTS, {"id": "r1", "title": "Hi", "tags": ["a"], "n": 1})
    assert (record.text("title"), record.text("n"), record.text("gone")) == ("Hi", "", "")
    assert (record.texts("tags"), record.texts("title"), record.texts("gone")) == (["a"], ["Hi"], [])
    assert record.flag("n")
    assert not record.flag("gone")
    assert record.is_same(Record(POSTS, {"id": "r1"}))
    assert not record.is_same(Record(POSTS, {"id": "r2"}))
    assert not record.is_same(None)
