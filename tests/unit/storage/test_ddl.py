"""Tables follow their collections, and the rows come along."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.errors import ErrorData, InvalidFieldsError
from rowcast.schema.collection import Collection
from rowcast.schema.defaults import ID_FIELD
from rowcast.schema.fields import (
    BoolField,
    Field,
    FileField,
    GeoPointField,
    JSONField,
    NumberField,
    RelationField,
    SelectField,
    TextField,
)
from rowcast.storage import StorageError, Transaction, ddl
from rowcast.storage.sqlite import SQLiteStorage

A, B = TextField(id="a", name="a"), TextField(id="b", name="b")


@pytest.fixture
def transaction(tmp_path: Path) -> Iterator[Transaction]:
    storage = SQLiteStorage(tmp_path / "data.db", create=True)
    try:
        with storage.write() as transaction:
            yield transaction
    finally:
        storage.close()


def collection(*fields: Field, name: str = "posts", indexes: tuple[str, ...] = ()) -> Collection:
    return Collection(id="c", name=name, fields=(ID_FIELD, *fields), indexes=indexes)


def definitions(transaction: Transaction, kind: str = "table") -> list[str]:
    return [
        str(sql) for (sql,) in transaction.rows("SELECT sql FROM sqlite_schema WHERE type = ? AND sql <> ''", (kind,))
    ]


def columns(transaction: Transaction, table: str = "posts") -> list[str]:
    return [str(name) for (name,) in transaction.rows("SELECT name FROM pragma_table_info(?)", (table,))]


def test_columns_are_created_in_alphabetical_order_with_their_defaults(transaction: Transaction) -> None:
    ddl.sync_table(
        transaction,
        None,
        collection(
            TextField(name="title"),
            NumberField(name="n"),
            BoolField(name="Open"),
            JSONField(name="data"),
            GeoPointField(name="place"),
            SelectField(name="tags", max_select=2),
            RelationField(name="owner"),
        ),
    )
    assert definitions(transaction) == [
        "CREATE TABLE `posts` (`Open` BOOLEAN DEFAULT FALSE NOT NULL, `data` JSON DEFAULT NULL, "
        "`id` TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL, "
        "`n` NUMERIC DEFAULT 0 NOT NULL, `owner` TEXT DEFAULT '' NOT NULL, "
        """`place` JSON DEFAULT '{"lon":0,"lat":0}' NOT NULL, `tags` JSON DEFAULT '[]' NOT NULL, """
        "`title` TEXT DEFAULT '' NOT NULL)"
    ]


def test_columns_are_dropped_added_and_renamed_and_the_rest_is_kept(transaction: Transaction) -> None:
    old = collection(A, B, TextField(id="c", name="c"))
    ddl.create_table(transaction, old)
    transaction.run("INSERT INTO posts (id, a, b, c) VALUES ('1', 'A', 'B', 'C')")
    new = collection(TextField(id="b", name="renamed"), A, NumberField(id="d", name="d"))
    ddl.sync_table(transaction, old, new)
    assert transaction.rows("SELECT a, renamed, d FROM posts") == [("A", "B", 0)]
    assert sorted(columns(transaction)) == ["a", "d", "id", "renamed"]


def test_two_fields_can_swap_their_names(transaction: Transaction) -> None:
    old = collection(A, B)
    ddl.create_table(transaction, old)
    transaction.run("INSERT INTO posts (id, a, b) VALUES ('1', 'A', 'B')")
    ddl.sync_table(transaction, old, collection(TextField(id="a", name="b"), TextField(id="b", name="a")))
    assert transaction.row("SELECT a, b FROM posts") == ("B", "A")


def test_a_renamed_column_is_written_as_the_reference_writes_it(transaction: Transaction) -> None:
    old = collection(A)
    ddl.create_table(transaction, old)
    ddl.sync_table(transaction, old, collection(TextField(id="a", name="z")))
    assert '"z" TEXT DEFAULT' in definitions(transaction)[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", "[]"), ("x", '["x"]'), ('["x","y"]', '["x","y"]'), ("[x", '["[x"]'), ('{"a":1}', '["{\\"a\\":1}"]')],
)
@pytest.mark.parametrize("kind", [SelectField, FileField, RelationField])
def test_single_values_become_lists(
    transaction: Transaction, kind: type[SelectField], value: str, expected: str
) -> None:
    old = collection(kind(id="f", name="f", max_select=1))
    ddl.create_table(transaction, old)
    transaction.run("INSERT INTO posts (id, f) VALUES ('1', ?)", (value,))
    ddl.sync_table(transaction, old, collection(kind(id="f", name="g", max_select=2)))
    assert transaction.rows("SELECT g FROM posts") == [(expected,)]
    assert sorted(columns(transaction)) == ["g", "id"]


@pytest.mark.parametrize(
    ("value", "expected"), [("[]", ""), ('["x"]', "x"), ('["x","y"]', "y"), ("x", "x"), ("[x", "[x"), ("[null]", "")]
)
def test_of_lists_the_last_value_stays(transaction: Transaction, value: str, expected: str) -> None:
    old = collection(SelectField(id="f", name="f", max_select=2))
    ddl.create_table(transaction, old)
    transaction.run("INSERT INTO posts (id, f) VALUES ('1', ?)", (value,))
    ddl.sync_table(transaction, old, collection(SelectField(id="f", name="f", max_select=1)))
    assert transaction.rows("SELECT f FROM posts") == [(expected,)]


def test_a_column_is_converted_below_a_view(transaction: Transaction) -> None:
    old = collection(SelectField(id="f", name="f", max_select=1))
    ddl.create_table(transaction, old)
    transaction.run("INSERT INTO posts (id, f) VALUES ('1', 'x')")
    ddl.create_view(transaction, "wall", "select id, f from posts")
    ddl.sync_table(transaction, old, collection(SelectField(id="f", name="f", max_select=2)))
    assert transaction.rows("SELECT f FROM wall") == [('["x"]',)]


def test_a_renamed_collection_takes_rows_and_indexes_along(transaction: Transaction) -> None:
    old = collection(A, indexes=("create index i on posts (a)",))
    ddl.create_table(transaction, old)
    transaction.run("INSERT INTO posts (id, a) VALUES ('1', 'A')")
    ddl.sync_table(transaction, old, collection(A, name="notes", indexes=("CREATE INDEX `i` ON `notes` (`a`)",)))
    assert transaction.rows("SELECT a FROM notes") == [("A",)]
    assert definitions(transaction, "index") == ["CREATE INDEX `i` ON `notes` (`a`)"]
    assert not ddl.has_table(transaction, "posts")


def test_another_letter_case_is_no_new_table(transaction: Transaction) -> None:
    old = collection(A)
    ddl.create_table(transaction, old)
    ddl.sync_table(transaction, old, collection(A, name="POSTS"))
    assert ddl.has_table(transaction, "Posts")
    assert definitions(transaction)[0].startswith("CREATE TABLE `posts`")


def test_indexes_are_replaced_when_they_change(transaction: Transaction) -> None:
    old = collection(A, B, indexes=("create index i on posts (a)", "create index j on posts (b)"))
    ddl.create_table(transaction, old)
    ddl.sync_table(transaction, old, collection(A, B, indexes=("create unique index k on x (b desc, lower(a));",)))
    assert definitions(transaction, "index") == ["CREATE UNIQUE INDEX `k` ON `posts` (\n  `b` DESC,\n  lower(a)\n)"]


def test_every_index_that_fails_is_named(transaction: Transaction) -> None:
    with pytest.raises(InvalidFieldsError) as raised:
        ddl.create_table(
            transaction,
            collection(
                A,
                indexes=(
                    "create index i on posts (a)",
                    "create index j on posts (missing)",
                    "nonsense",
                    "create index k on posts (a) where a = ''; drop table posts",
                ),
            ),
        )
    errors = raised.value.data["indexes"]
    assert isinstance(errors, ErrorData)
    assert {at: str(error.to_json()["message"]) for at, error in errors.items()} == {
        "1": "Failed to create index j - SQL logic error: no such column: missing (1).",
        "2": "Invalid CREATE INDEX expression.",
        "3": "Invalid CREATE INDEX expression.",
    }
    assert ddl.has_table(transaction, "posts")


def test_a_unique_index_over_equal_values_fails_with_a_reason(transaction: Transaction) -> None:
    old = collection(A)
    ddl.create_table(transaction, old)
    transaction.run("INSERT INTO posts (id, a) VALUES ('1', 'x'), ('2', 'x')")
    with pytest.raises(InvalidFieldsError) as raised:
        ddl.sync_table(transaction, old, collection(A, indexes=("create unique index i on posts (a)",)))
    text = "Failed to create index i - constraint failed: UNIQUE constraint failed: posts.a (2067)."
    assert raised.value.data.to_json()["indexes"] == {
        "0": {"code": "validation_invalid_index_expression", "message": text}
    }


def test_a_column_that_a_view_reads_is_not_dropped(transaction: Transaction) -> None:
    old = collection(A, B)
    ddl.create_table(transaction, old)
    ddl.create_view(transaction, "wall", "select id, a from posts")
    with pytest.raises(StorageError, match="failed to drop column a - SQL logic error: error in view wall"):
        ddl.sync_table(transaction, old, collection(B))


def test_a_lost_table_is_made_anew(transaction: Transaction) -> None:
    ddl.sync_table(transaction, collection(A), collection(A, B))
    assert columns(transaction) == ["a", "b", "id"]


def test_finds_the_table_of_an_index(transaction: Transaction) -> None:
    ddl.create_table(transaction, collection(A, indexes=("create index i on posts (a)",)))
    assert ddl.index_owner(transaction, "I") == "posts"
    assert ddl.index_owner(transaction, "i", "", "POSTS") == ""
    assert ddl.index_owner(transaction, "j") == ""


def test_views_are_replaced_and_dropped(transaction: Transaction) -> None:
    assert ddl.create_view(transaction, "v", "select 1 as id, 'x' as [[a b]]") == [("id", ""), ("a b", "")]
    assert definitions(transaction, "view") == ["CREATE VIEW `v` AS SELECT * FROM (select 1 as id, 'x' as `a b`)"]
    assert ddl.create_view(transaction, "v", "select cast(1 as text) as id") == [("id", "TEXT")]
    ddl.drop_view(transaction, "v")
    ddl.drop_view(transaction, "v")
    assert not ddl.has_table(transaction, "v")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("select id from missing", "SQL logic error: no such table: main.missing (1)"),
        ("delete from a", 'SQL logic error: near "delete": syntax error (1)'),
        ("select nope", "SQL logic error: no such column: nope (1)"),
    ],
)
def test_broken_views_are_refused_with_the_words_of_the_engine(
    transaction: Transaction, query: str, reason: str
) -> None:
    with pytest.raises(StorageError) as raised, transaction.savepoint():
        ddl.create_view(transaction, "v", query)
    assert raised.value.engine_text == reason
    assert not ddl.has_table(transaction, "v")


def test_names_can_not_leave_their_quotes(transaction: Transaction) -> None:
    odd = Collection(id="c", name="a`; drop table b; --", fields=(ID_FIELD, TextField(name="x` y")))
    ddl.create_table(transaction, odd)
    assert ddl.has_table(transaction, odd.name)
    ddl.drop_table(transaction, odd.name)
    assert not ddl.has_table(transaction, odd.name)


KINDS = (TextField, NumberField, BoolField, SelectField, JSONField)


@st.composite
def collections_of_posts(draw: st.DrawFn) -> Collection:
    """Draw a collection whose fields have ids from one small set, under names from another."""
    ids = draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=6))
    names = draw(st.permutations(["title", "body", "tags", "n", "Open", "day"]))
    fields: list[Field] = []
    for at, name in zip(ids, names, strict=False):
        # The kind belongs to the id: a field never changes it.
        kind = KINDS["abcdef".index(at) % len(KINDS)]
        many = draw(st.sampled_from([1, 2]))
        fields.append(SelectField(id=at, name=name, max_select=many) if kind is SelectField else kind(id=at, name=name))
    index = draw(st.sampled_from([None, *[field.name for field in fields]]))
    return collection(
        *fields,
        name=draw(st.sampled_from(["posts", "notes"])),
        indexes=(f"create index i on x ({index})",) if index else (),
    )


@pytest.mark.property
@given(st.lists(collections_of_posts(), min_size=2, max_size=5))
def test_whatever_changes_the_columns_are_the_fields_and_values_stay_with_their_id(steps: list[Collection]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage = SQLiteStorage(Path(folder) / "data.db", create=True)
        try:
            with storage.write() as transaction:
                ddl.create_table(transaction, steps[0])
                transaction.run(f"INSERT INTO {steps[0].name} (id) VALUES ('1')")
                for old, new in pairwise(steps):
                    for field in old.fields:
                        if field.kind == "text" and field.name != "id":
                            transaction.run(f"UPDATE {old.name} SET {field.name} = ?", (f"value of {field.id}",))
                    ddl.sync_table(transaction, old, new)
                    assert sorted(columns(transaction, new.name)) == sorted(field.name for field in new.fields)
                    kept = {field.id for field in old.fields}
                    for field in new.fields:
                        if field.kind == "text" and field.name != "id":
                            value = transaction.value(f"SELECT {field.name} FROM {new.name}")
                            assert value == (f"value of {field.id}" if field.id in kept else "")
                    assert len(definitions(transaction, "index")) == len(new.indexes)
        finally:
            storage.close()
