"""Definitions of indexes are read loosely and written in one form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.schema.indexes import Index, IndexColumn, parse_index, unique_index

FULL = """
CREATE   UNIQUE  INDEX  IF NOT EXISTS "main"."my idx" ON `my_table` (
  col1,
  `col2` COLLATE  NOCASE  desc,
  "col3" asc,
  json_extract(`col4`, "$[0].a") collate rtrim
) WHERE col1 != ';'
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Index()),
        ("invalid", Index()),
        ("create index a on b", Index()),
        ("create index on b (c)", Index(table="b", columns=(IndexColumn("c"),))),
        # As in the reference, the columns end with the last parenthesis.
        ("create index a on b (c) where x in (1, 2)", Index(name="a", table="b")),
        ("create index a on b ()", Index(name="a", table="b")),
        ("create index a on b (c)", Index(name="a", table="b", columns=(IndexColumn("c"),))),
        ("create index a on b (c);", Index(name="a", table="b", columns=(IndexColumn("c"),))),
        ("CREATE INDEX [a] ON 'b' ([c], \"d\")", Index("a", "b", (IndexColumn("c"), IndexColumn("d")))),
        ("create unique index a on b (c) where x = 1 ", Index("a", "b", (IndexColumn("c"),), "x = 1", is_unique=True)),
    ],
)
def test_reads_definitions(text: str, expected: Index) -> None:
    assert parse_index(text) == expected


def test_reads_every_part() -> None:
    index = parse_index(FULL.replace('"my idx"', "my_idx"))
    assert (index.schema, index.name, index.table) == ("main", "my_idx", "my_table")
    assert (index.is_unique, index.is_optional, index.where) == (True, True, "col1 != ';'")
    assert index.columns == (
        IndexColumn("col1"),
        IndexColumn("col2", "NOCASE", "DESC"),
        IndexColumn("col3", "", "ASC"),
        IndexColumn('json_extract(`col4`, "$[0].a")', "rtrim"),
    )


def test_writes_one_form() -> None:
    assert parse_index("create index a on b (c)").to_sql() == "CREATE INDEX `a` ON `b` (`c`)"
    assert parse_index(FULL.replace('"my idx"', "my_idx")).to_sql() == (
        "CREATE UNIQUE INDEX IF NOT EXISTS `main`.`my_idx` ON `my_table` (\n"
        "  `col1`,\n"
        "  `col2` COLLATE NOCASE DESC,\n"
        "  `col3` ASC,\n"
        '  json_extract(`col4`, "$[0].a") COLLATE rtrim\n'
        ") WHERE col1 != ';'"
    )
    assert Index().to_sql() == ""


def test_a_very_long_text_is_no_index() -> None:
    assert not parse_index("create index a on b (c" + " " * 20_000 + ")").is_valid


NAMES = st.from_regex(r"[a-z_]\w{0,9}", fullmatch=True)
COLUMNS = st.builds(
    IndexColumn,
    st.one_of(NAMES, NAMES.map(lambda name: f"lower({name})")),
    st.sampled_from(["", "nocase", "rtrim"]),
    st.sampled_from(["", "ASC", "DESC"]),
)


@given(
    st.builds(
        Index,
        name=NAMES,
        table=NAMES,
        columns=st.lists(COLUMNS, min_size=1, max_size=4).map(tuple),
        where=st.sampled_from(["", "`a` != ''", "x = 1 and y = 2"]),
        is_unique=st.booleans(),
        is_optional=st.booleans(),
    )
)
def test_reading_what_was_written_gives_the_same_index(index: Index) -> None:
    assert parse_index(index.to_sql()) == index


@pytest.mark.parametrize(
    ("indexes", "found"),
    [
        ([], False),
        (["create index a on b (email)"], False),
        (["create unique index a on b (email, name)"], False),
        (["create unique index a on b (lower(email))"], False),
        (["create unique index a on b (EMAIL collate nocase) where email != ''"], True),
    ],
)
def test_finds_the_unique_index_of_one_column(indexes: list[str], found: bool) -> None:
    assert (unique_index(indexes, "email") is not None) is found
