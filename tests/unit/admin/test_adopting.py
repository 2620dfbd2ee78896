"""Adopting tables and capturing changes: what becomes of columns, what is refused, what is left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowcast.admin.adopting import Adopted, Adopting, AdoptionError
from rowcast.admin.copying import copy_database
from rowcast.realtime.changelog import ChangeLog, Retention
from rowcast.realtime.numbers import numbers_of
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.record import Change
from rowcast.sql import Row, SQLValue
from rowcast.storage.directory import DataDir, open_directory
from rowcast.storage.sqlite import SQLiteStorage
from tests import postgres

Tables = tuple[str, ...]


class Place:
    """A directory with tables that rowcast has not made."""

    def __init__(self, path: Path, database: str) -> None:
        self.directory: DataDir = open_directory(path, database=database)
        self.storage = self.directory.data
        self.is_postgres = bool(database)
        self.adopting = Adopting(self.storage, self.directory.settings, self.directory.key)
        self.log = ChangeLog(
            self.storage,
            CatalogRef(self.directory.catalog, self.storage.dialect),
            Retention(max_changes=100),
            numbers_of(self.storage),
        )
        self.log.store()

    def run(self, *statements: str) -> None:
        """Run statements as another program would."""
        with self.storage.write() as tx:
            if self.is_postgres:
                tx.rows("SET LOCAL rowcast.writer TO 'off'")
            for statement in statements:
                tx.run(statement)

    def rows(self, sql: str) -> list[Row]:
        with self.storage.read() as reader:
            return reader.rows(sql)

    def logged(self) -> list[tuple[SQLValue, SQLValue]]:
        """Return action and record of what was logged."""
        found = self.rows("SELECT action, record FROM _rowcast_changes ORDER BY number")
        return [(action, record) for action, record in found if action != "start"]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    database = postgres.new_database() if request.param == "postgres" else ""
    place = Place(tmp_path / "pb_data", database)
    yield place
    place.directory.close()
    if database:
        postgres.drop_database(database)


@pytest.fixture
def on_postgres(tmp_path: Path) -> Iterator[Place]:
    database = postgres.new_database()
    place = Place(tmp_path / "pb_data", database)
    yield place
    place.directory.close()
    postgres.drop_database(database)


def kinds(adopted: Adopted) -> dict[str, str]:
    return {field.name: field.kind for field in adopted.collection.fields}


@pytest.mark.parametrize(
    ("table", "name", "key", "reason"),
    [
        ("nothing", "", "", "there is no table 'nothing'"),
        ("users", "", "", "'users' is a collection already"),
        ("_collections", "", "", "'_collections' is a table of the system"),
        ("_rowcast_changes", "", "", "'_rowcast_changes' is a table of the system"),
        ("pairs", "", "", "the table 'pairs' has a primary key of several columns: name a column"),
        ("bare", "", "", "the table 'bare' has no primary key: name a column"),
        ("pairs", "", "a", "the column 'a' can't be the id: it is not unique and NOT NULL"),
        ("pairs", "", "c", "the table 'pairs' has no column 'c'"),
        ("times", "", "", "the column 'at' can't be the id: ids are texts, uuids or whole numbers"),
        ("good", "no name", "", "name: Must be in a valid format."),
        ("good", "good", "", "name: The name shouldn't match with an existing internal table."),
        ("good", "users", "", "name: Collection name must be unique (case insensitive)."),
    ],
)
def test_what_can_not_be_adopted_is_told_and_left_alone(
    place: Place, table: str, name: str, key: str, reason: str
) -> None:
    moment = "timestamptz" if place.is_postgres else "DATETIME"
    place.run(
        "CREATE TABLE pairs (a TEXT NOT NULL, b TEXT NOT NULL, PRIMARY KEY (a, b))",
        "CREATE TABLE bare (a TEXT)",
        f"CREATE TABLE times (at {moment} PRIMARY KEY NOT NULL)",
        "CREATE TABLE good (id TEXT PRIMARY KEY NOT NULL)",
    )
    with pytest.raises(AdoptionError) as raised:
        place.adopting.adopt(table, name=name, key=key, is_captured=True)
    assert str(raised.value).startswith(reason)
    assert place.adopting.captured() == []


def test_a_key_without_a_type_is_no_id(tmp_path: Path) -> None:
    place = Place(tmp_path / "pb_data", "")
    place.run("CREATE TABLE odd (id PRIMARY KEY NOT NULL)")
    with pytest.raises(AdoptionError, match="ids are texts, uuids or whole numbers, not anything"):
        place.adopting.adopt("odd", name="x")
    place.directory.close()


def test_a_broken_rule_is_refused(place: Place) -> None:
    place.run("CREATE TABLE good (id TEXT PRIMARY KEY NOT NULL)")
    with pytest.raises(AdoptionError, match="listRule: Invalid rule"):
        place.adopting.adopt("good", name="x", rules={"list_rule": "nothing = 1"})


def test_a_table_is_adopted_once(place: Place) -> None:
    place.run("CREATE TABLE good (id TEXT PRIMARY KEY NOT NULL)")
    assert place.adopting.adopt("good").collection.name == "good_records"
    with pytest.raises(AdoptionError, match="the table is that of the collection good_records already"):
        place.adopting.adopt("good", name="other")


def test_a_plan_changes_nothing(place: Place) -> None:
    place.run("CREATE TABLE good (id TEXT PRIMARY KEY NOT NULL)")
    planned = place.adopting.plan("good", name="x", rules={"view_rule": ""})
    assert (planned.collection.view_rule, planned.collection.list_rule) == ("", None)
    assert place.adopting.captured() == []
    assert place.rows("SELECT 1 FROM _collections WHERE name = 'x'") == []


def test_names_become_words_and_what_has_no_field_is_left_alone(place: Place) -> None:
    blob = "bytea" if place.is_postgres else "BLOB"
    place.run(
        f"""CREATE TABLE "it's a ""table""?" ("Key'" TEXT NOT NULL UNIQUE, id INT, "a b" TEXT, "a-b" TEXT, expand TEXT,
        "select" TEXT, "ü" TEXT, raw {blob} NOT NULL, made INT GENERATED ALWAYS AS (1) STORED)"""
    )
    adopted = place.adopting.adopt('it\'s a "table"?', key="Key'", is_captured=True)
    assert adopted.collection.name == "it_s_a_table"
    mapping = adopted.mapping
    assert {field.name: mapping.columns[field.id].name for field in mapping.fields} == {
        "id": "Key'", "id_2": "id", "a_b": "a b", "a_b_2": "a-b", "expand_2": "expand", "select": "select", "_": "ü",
    }  # fmt: skip
    assert mapping.skipped == {
        "raw": f"there is no field for the type {blob}",
        "made": "it is generated",
    }
    assert mapping.warnings == ["no record can be created: the column 'raw' must have a value and is not mapped"]
    literal = "'\\x00'" if place.is_postgres else "x'00'"
    place.run(
        f"""INSERT INTO "it's a ""table""?" ("Key'", "select", raw) VALUES ('k', '?''', {literal})""",
        """UPDATE "it's a ""table""?" SET "a b" = '$f$' WHERE "Key'" = 'k'""",
    )
    assert place.logged() == [("create", "k"), ("update", "k")]
    assert place.rows('SELECT id, "select", a_b FROM it_s_a_table') == [("k", "?'", "$f$")]


def test_columns_of_postgresql_become_fields(on_postgres: Place) -> None:
    place = on_postgres
    place.run(
        "CREATE SCHEMA shop",
        "CREATE TYPE mood AS ENUM ('good', 'bad')",
        "CREATE DOMAIN cents AS bigint CHECK (value >= 0)",
        "CREATE TABLE shop.goods (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(9),"
        " small smallint NOT NULL, price numeric(9, 2), rate real, is_new bool, day date, at timestamp, data json,"
        " more jsonb, mood mood NOT NULL, paid cents, spot inet, parts text[], zone point)",
    )
    adopted = place.adopting.adopt("shop.goods", is_captured=True)
    assert adopted.collection.name == "goods"
    assert kinds(adopted) == {
        "id": "text", "name": "text", "small": "number", "price": "number", "rate": "number", "is_new": "bool",
        "day": "date", "at": "date", "data": "json", "more": "json", "mood": "select", "paid": "number", "spot": "text",
    }  # fmt: skip
    assert set(adopted.mapping.skipped) == {"parts", "zone"}
    place.run(
        "INSERT INTO shop.goods VALUES ('550e8400-e29b-41d4-a716-446655440000', NULL, 1, 2.50, 0.1, true, '2026-01-02',"
        " '2026-01-02 03:04:05.6789', '{\"a\": 1}', NULL, 'bad', 7, '10.0.0.1')"
    )
    columns = "id, name, small, price, rate, is_new, day, at, data, more, mood, paid, spot"
    row = place.rows(f"SELECT {columns} FROM goods")[0]
    assert row == (
        "550e8400-e29b-41d4-a716-446655440000", "", 1, 2.5, 0.1, 1, "2026-01-02 00:00:00.000Z",
        "2026-01-02 03:04:05.678Z", '{"a": 1}', None, "bad", 7, "10.0.0.1/32",
    )  # fmt: skip
    logged = json.loads(str(place.rows("SELECT row FROM _rowcast_changes WHERE action = 'create'")[0][0]))
    assert [logged[field.id] for field in adopted.collection.fields] == list(row)


def test_a_wide_table_is_captured(place: Place) -> None:
    columns = [f'"{"c" * 40}{number}"' for number in range(150)]
    place.run(f"CREATE TABLE wide (id TEXT PRIMARY KEY NOT NULL, {', '.join(f'{name} TEXT' for name in columns)})")
    place.adopting.adopt("wide", name="w", is_captured=True)
    place.run(
        f"INSERT INTO wide (id, {columns[0]}, {columns[149]}) VALUES ('a', 'x', 'y')",
        f"UPDATE wide SET {columns[149]} = 'z'",
    )
    values, before = place.rows("SELECT row, previous FROM _rowcast_changes WHERE action = 'update'")[0]
    assert len(json.loads(str(values))) == 151
    assert list(json.loads(str(before)).values()) == ["y"]


def test_nothing_is_left_of_what_is_captured_no_more(place: Place) -> None:
    def made() -> list[Row]:
        if place.is_postgres:
            return place.rows(
                "SELECT proname FROM pg_proc WHERE proname LIKE '!_rowcast%' ESCAPE '!'"
                " UNION ALL SELECT tgname FROM pg_trigger WHERE tgname LIKE '!_rowcast%' ESCAPE '!'"
            )
        return place.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'")

    assert made() == []
    place.adopting.capture("users")
    assert len(made()) > 3
    place.adopting.capture("users")
    assert place.adopting.captured() == [("users", "", True)]
    place.adopting.capture("users", is_on=False)
    assert (made(), place.adopting.captured()) == ([], [])


def test_a_view_or_an_unknown_collection_is_not_captured(place: Place) -> None:
    with pytest.raises(AdoptionError, match="there is no collection 'nothing'"):
        place.adopting.capture("nothing")
    assert place.adopting.captured() == []


def test_passwords_are_not_logged_but_their_change_is(place: Place) -> None:
    place.adopting.capture("users")
    place.run(
        """INSERT INTO users (id, email, password, "tokenKey") VALUES ('u', 'a@example.com', 'hash', 'secret')""",
        """UPDATE users SET "tokenKey" = 'new'""",
        "UPDATE users SET email = email",
    )
    assert place.logged() == [("create", "u"), ("update", "u")]
    texts = "".join(str(row[0]) for row in place.rows("SELECT row || previous FROM _rowcast_changes"))
    assert "a@example.com" in texts
    assert not any(word in texts for word in ("hash", "secret", "new"))


def test_the_log_is_kept_short_where_others_write(place: Place) -> None:
    place.adopting.capture("users")
    place.log.settle()
    rows = ", ".join(f"('u{number}', 'k{number}')" for number in range(1500))
    place.run(f"""INSERT INTO users (id, "tokenKey") VALUES {rows}""")
    with place.storage.read() as reader:
        last = place.log.last(reader)
        assert len(place.log.behind(reader, 0, last.number, 2000)) >= 1500
    for _ in range(2):
        place.log.tidy()
    with place.storage.read() as reader:
        place.log.behind(reader, 0, last.number, 2000)
    place.log.tidy()
    assert len(place.logged()) < 600
    assert place.rows("SELECT max(number) FROM _rowcast_changes") == [(last.number,)]


def test_an_adopted_table_is_copied_as_a_collection_of_its_own(place: Place, tmp_path: Path) -> None:
    place.run("CREATE TABLE good (number BIGINT PRIMARY KEY NOT NULL, note TEXT)")
    place.run(f"INSERT INTO good VALUES {', '.join(f'({number}, NULL)' for number in range(2, 2003))}")
    place.adopting.adopt("good", name="copied", is_captured=True)
    target = SQLiteStorage(tmp_path / "copy.db", create=True)
    copy_database(place.storage, target)
    with target.read() as reader:
        assert reader.rows("SELECT count(*), min(id), max(note) FROM copied") == [(2001, "10", "")]
        assert reader.rows("SELECT 1 FROM sqlite_schema WHERE name = 'copied' AND type = 'table'") == [(1,)]
    target.close()


def test_a_write_through_the_view_asks_the_table_for_what_is_not_given(on_postgres: Place) -> None:
    place = on_postgres
    place.run(
        "CREATE TABLE goods (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code uuid NOT NULL DEFAULT"
        " '550e8400-e29b-41d4-a716-446655440000', made timestamptz NOT NULL DEFAULT '2026-01-02 03:04:05Z',"
        " note text, data jsonb NOT NULL, price numeric)"
    )
    place.adopting.adopt("goods", name="g", is_captured=True)
    place.run("INSERT INTO g VALUES (NULL, '7', '', '', '', 'null', 1)", "UPDATE g SET note = 'x' WHERE id = '7'")
    assert place.rows("SELECT id, code::text, made::text, note, data::text, price FROM goods") == [
        (7, "550e8400-e29b-41d4-a716-446655440000", "2026-01-02 03:04:05+00", "x", "null", 1)
    ]
    # As SQL of another program: with rowcast's own there would be no row in the log.
    assert place.logged() == [("create", "7"), ("update", "7")]


def test_own_writes_through_the_view_are_not_logged_by_triggers(place: Place) -> None:
    place.run("CREATE TABLE goods (id TEXT PRIMARY KEY NOT NULL, note TEXT)")
    place.adopting.adopt("goods", name="g", is_captured=True)
    with place.storage.write() as tx:
        assert tx.run('INSERT INTO "g" ("id","note") VALUES (?,?)', ["a", "b"]) == 1
        assert tx.run('UPDATE "g" SET "note"=? WHERE "id" = ?', ["c", "a"]) == 1
        assert tx.run('DELETE FROM "g" WHERE "id" = ?', ["a"]) == 1
        assert tx.run('DELETE FROM "g" WHERE "id" = ?', ["a"]) == 0
    assert place.logged() == []


@pytest.mark.parametrize(
    ("table", "number"),
    [
        ("(id TEXT PRIMARY KEY NOT NULL, rowid TEXT, _rowid_ TEXT, oid TEXT)", "b"),
        ("(id TEXT PRIMARY KEY NOT NULL, rowid TEXT)", 2),
        ("(id TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID", "b"),
    ],
)
def test_rows_have_a_number_where_the_table_has_one(tmp_path: Path, table: str, number: SQLValue) -> None:
    place = Place(tmp_path / "pb_data", "")
    place.run(f"CREATE TABLE t {table}", "INSERT INTO t (id) VALUES ('a'), ('b')")
    place.adopting.adopt("t", name="v")
    assert place.rows("SELECT v._rowid_ FROM v WHERE id = 'b'") == [(number,)]
    place.directory.close()


def test_nobody_else_may_use_what_logs(on_postgres: Place) -> None:
    on_postgres.adopting.capture("users")
    rights = "SELECT DISTINCT has_function_privilege('pg_monitor', oid, 'EXECUTE') FROM pg_proc WHERE proname LIKE ?"
    with on_postgres.storage.read() as reader:
        assert reader.rows(rights, ["%rowcast_capture%"]) == reader.rows(rights, ["%rowcast_truncate%"]) == [(0,)]


def test_a_text_that_is_no_text_is_read_as_far_as_it_can_be(tmp_path: Path) -> None:
    place = Place(tmp_path / "pb_data", "")
    place.adopting.capture("users")
    place.run("""INSERT INTO users (id, name, avatar) VALUES ('u', CAST(x'ff41' AS TEXT), x'ff42')""")
    with place.storage.read() as reader:
        (change,) = place.log.behind(reader, 0, 1, 10)
    assert isinstance(change, Change)
    assert (change.record.text("name"), change.record.text("avatar")) == ("\ufffdA", "\ufffdB")
    place.directory.close()


def test_what_another_program_did_to_a_captured_collection_is_made_good_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "pb_data"
    place = Place(path, "")
    place.adopting.capture("users")
    with place.storage.write() as tx:
        tx.run(
            "INSERT INTO _collections (id, type, name, fields) VALUES ('g', 'base', 'gone', ?)",
            ['[{"id":"i","name":"id","type":"text"}]'],
        )
        tx.run("CREATE TABLE gone (id TEXT PRIMARY KEY NOT NULL)")
    place.adopting.capture("gone")
    # As a PocketBase does it: SQLite changes the names in triggers, but not what they ask for.
    place.run(
        "ALTER TABLE users RENAME TO people",
        """ALTER TABLE people ADD COLUMN "nick" TEXT DEFAULT '' NOT NULL""",
        "UPDATE _collections SET name = 'people', fields = json_insert(fields, '$[#]',"
        """ json('{"id":"f1","name":"nick","type":"text"}')) WHERE name = 'users'""",
        "DROP TABLE gone",
        "UPDATE _collections SET name = 'lost' WHERE name = 'gone'",
    )
    place.directory.close()
    # Without its table it can't be made good, and keeps nobody from starting.
    place = Place(path, "")
    assert place.adopting.captured() == [("lost", "", True), ("people", "", True)]
    place.run("DELETE FROM _collections WHERE name = 'lost'")
    place.directory.close()
    place = Place(path, "")
    assert place.adopting.captured() == [("people", "", True)]
    with place.storage.write() as tx:
        tx.run('INSERT INTO "people" ("id", "tokenKey", "nick") VALUES (?, ?, ?)', ["own", "k", "n"])
    place.run("""INSERT INTO people (id, "tokenKey", nick) VALUES ('other', 'l', 'm')""")
    assert place.logged() == [("create", "other")]
    assert json.loads(str(place.rows("SELECT row FROM _rowcast_changes WHERE action = 'create'")[0][0]))["f1"] == "m"
    place.directory.close()
