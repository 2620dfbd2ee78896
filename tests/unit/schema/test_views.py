"""The fields of a view are read from its query."""

from __future__ import annotations

import contextlib
import time

import msgspec
import pytest

from rowcast.schema.catalog import Catalog
from rowcast.schema.collection import Collection, ViewOptions
from rowcast.schema.defaults import ID_FIELD
from rowcast.schema.fields import BoolField, Field, FileField, JSONField, NumberField, RelationField, TextField
from rowcast.schema.views import Named, ViewQueryError, file_origin, id_field, parse, view_columns

POSTS = Collection(
    id="posts_id",
    name="posts",
    fields=(
        ID_FIELD,
        TextField(id="t1", name="title", required=True, max=7),
        BoolField(id="b1", name="open"),
        FileField(id="f1", name="papers", max_select=3),
        TextField(id="s1", name="secret", hidden=True),
    ),
)
USERS = Collection(id="users_id", name="users", fields=(ID_FIELD, TextField(id="n1", name="name")))
WALL = Collection(
    id="wall_id",
    name="wall",
    type="view",
    fields=(id_field(), FileField(id="x", name="files", max_select=3)),
    view=ViewOptions(view_query="select id, papers as files from posts"),
)
CATALOG = Catalog((POSTS, USERS, WALL))


@pytest.mark.parametrize(
    ("query", "columns", "tables"),
    [
        ("select id from a", [("id", "id")], [("a", "a")]),
        ("SELECT a.id, b.c AS d\nFROM a, b x", [("a.id", "id"), ("b.c", "d")], [("a", "a"), ("b", "x")]),
        ("select distinct `id`, \"x\" 'y', [z] [w] from [a]", [("id", "id"), ("x", "y"), ("z", "w")], [("a", "a")]),
        ("select id from a left join b on a.id=b.id inner join c as d on 1=1", [("id", "id")],
         [("a", "a"), ("b", "b"), ("c", "d")]),
        ("select id, count(x, y) n from a where x in (1, 2) group by id having n > 1 order by id limit 3;;",
         [("id", "id"), ("count(x, y)", "n")], [("a", "a")]),
        ("select id -- from b\n, /* c, */ d from a", [("id", "id"), ("d", "d")], [("a", "a")]),
        ("with x as (select 1) select id from x", [("id", "id")], [("x", "x")]),
        ("(select 1 as id)", [], []),
        ("delete from a", [], [("a", "a")]),
    ],
)  # fmt: skip
def test_reads_columns_and_tables(query: str, columns: list[tuple[str, str]], tables: list[tuple[str, str]]) -> None:
    found_columns, found_tables = parse(query)
    assert found_columns == [Named(*column) for column in columns]
    assert found_tables == [Named(*table) for table in tables]


def clone(field: Field, name: str) -> Field:
    return msgspec.structs.replace(field, id="_clone_", name=name)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("posts.title", clone(POSTS.fields[1], "title")),
        ("title as t", clone(POSTS.fields[1], "t")),
        ("p.open", JSONField(name="open", max_size=1)),
        ("TITLE", clone(POSTS.fields[1], "TITLE")),
        ("secret", clone(POSTS.fields[4], "secret")),
        ("posts.id as post", RelationField(name="post", max_select=1, collection_id="posts_id")),
        ("u.id as user", RelationField(name="user", max_select=1, collection_id="users_id")),
        ("u.name", clone(USERS.fields[1], "name")),
        ("count(id) as n", NumberField(name="n", only_int=True)),
        ("count (id) as n", ViewQueryError),
        ("total(open) as n", NumberField(name="n")),
        ("cast(title as int) n", NumberField(name="n", only_int=True)),
        ("CAST( title || 'x' AS REAL ) as n", NumberField(name="n")),
        ("cast(title as text) n", TextField(name="n")),
        ("cast(title as bool) n", BoolField(name="n")),
        ("cast(title as blob) n", JSONField(name="n", max_size=1)),
        ("json_group_array(title) n", JSONField(name="n", max_size=1)),
        ("(select 1) n", JSONField(name="n", max_size=1)),
        ("'x' as n", JSONField(name="n", max_size=1)),
        ("nope", JSONField(name="nope", max_size=1)),
        ("1 as id", id_field()),
        ("*", ViewQueryError),
        ("posts.*", ViewQueryError),
        ("title of x", ViewQueryError),
        ("title x y z", ViewQueryError),
        ("(title", ViewQueryError),
    ],
)
def test_columns_get_their_kinds(column: str, expected: Field | type[Exception]) -> None:
    query = f"select {column} from posts join users u on 1=1"
    if not isinstance(expected, Field):
        with pytest.raises(expected):
            view_columns(query, CATALOG)
        return
    ((name, found),) = view_columns(query, CATALOG).items()
    assert name == expected.name
    field = msgspec.structs.replace(found.field, id=found.field.id[:7])
    assert field == expected


def test_a_field_that_is_selected_twice_gets_two_ids() -> None:
    columns = view_columns("select title as a, title as b from posts", CATALOG)
    assert columns["a"].field.id != columns["b"].field.id


def test_files_of_views_over_views_belong_to_the_first_collection() -> None:
    top = Collection(
        id="top", name="top", type="view", view=ViewOptions(view_query="select w.id, w.files as docs from wall w")
    )
    assert file_origin(top, "docs", CATALOG) == (POSTS, POSTS.fields[3])
    assert file_origin(top, "id", CATALOG) is None
    assert file_origin(top, "nope", CATALOG) is None
    assert file_origin(POSTS, "papers", CATALOG) is None


def test_views_that_read_each_other_end_somewhere() -> None:
    circle = Collection(
        id="c", name="c", type="view", fields=(FileField(id="f", name="f"),),
        view=ViewOptions(view_query="select f from c"),
    )  # fmt: skip
    assert file_origin(circle, "f", Catalog((circle,))) is None


@pytest.mark.parametrize("piece", [" ", "/*", "--", "\n", "join ", " where", "'", "(", "cast(", "as "])
def test_long_hostile_queries_take_no_time(piece: str) -> None:
    started = time.process_time()
    with contextlib.suppress(ViewQueryError):
        view_columns("select " + piece * 20_000, CATALOG)
    assert time.process_time() - started < 2
