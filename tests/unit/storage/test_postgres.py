"""What is particular to PostgreSQL: writers side by side, lost connections, nodes that start at once, names, views."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rowcast.schema.collection import Collection
from rowcast.schema.fields import BoolField, JSONField, NumberField, SelectField, TextField
from rowcast.schema.indexes import parse_index
from rowcast.storage import ConflictError, Reader, StorageError, UniqueError, ddl
from rowcast.storage.directory import open_directory
from rowcast.storage.postgres import PostgresStorage, parse_address
from rowcast.storage.postgres_ddl import PostgresDefinitions
from rowcast.storage.postgres_values import adding, numbered
from tests import postgres

NOTES = Collection(
    id="notes",
    name="notes",
    fields=(
        TextField(id="id", name="id", primary_key=True),
        TextField(id="t", name="camelCase"),
        NumberField(id="n", name="n"),
        BoolField(id="b", name="done"),
        JSONField(id="j", name="data"),
        SelectField(id="s", name="tags", values=("a", "b"), max_select=2),
    ),
)


@pytest.fixture
def url() -> Iterator[str]:
    found = postgres.new_database()
    yield found
    postgres.drop_database(found)


@pytest.fixture
def storage(url: str) -> Iterator[PostgresStorage]:
    found = PostgresStorage(url)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT ?", "SELECT $1"),
        ("SELECT '?', \"?\", ?, 'it''s ?', ?", "SELECT '?', \"?\", $1, 'it''s ?', $2"),
        ("SELECT 1 % 2", "SELECT 1 % 2"),
        ("SELECT 'open ?", "SELECT 'open ?"),
    ],
)
def test_placeholders_outside_of_quotes_are_numbered(sql: str, expected: str) -> None:
    assert numbered(sql) == expected


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("mysql://x/y", "postgresql://"),
        ("postgresql://x/y?pool_size=many", "numbers"),
        ("postgresql://x/y?pool_size=1", "at least 2"),
        ('postgresql://x/y?schema=a"b', "is a word"),
    ],
)
def test_an_address_that_can_not_be_understood_is_refused(url: str, text: str) -> None:
    with pytest.raises(StorageError, match=text):
        parse_address(url)


def test_an_address_keeps_the_options_of_libpq() -> None:
    found = parse_address("postgresql://u@h:1/d?sslmode=require&keepalives_idle=9&pool_size=5&prepare=off&schema=mine")
    assert found.conninfo == (
        "postgresql://u@h:1/d?connect_timeout=5&keepalives_idle=9&keepalives_interval=10&keepalives_count=3"
        "&sslmode=require"
    )
    assert (found.pool_size, found.prepares, found.schema) == (5, False, "mine")


def test_a_server_that_is_not_there_is_a_clear_error() -> None:
    with pytest.raises(StorageError, match="can't be reached"):
        PostgresStorage("postgresql://nobody@127.0.0.1:1/none")


def test_nodes_that_start_at_once_set_up_one_database(url: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as nodes:
        opened = list(nodes.map(lambda _: open_directory(tmp_path / "data", database=url), range(4)))
    names = [[collection.name for collection in directory.catalog] for directory in opened]
    for directory in opened:
        directory.close()
    assert names == [["_mfas", "_otps", "_externalAuths", "_authOrigins", "_superusers", "users"]] * 4


@pytest.mark.parametrize("block", ["read", "write"])
def test_a_statement_that_was_prepared_for_another_type_is_prepared_anew(
    storage: PostgresStorage, url: str, block: str
) -> None:
    def read() -> object:
        with getattr(storage, block)() as reader:
            return reader.value("SELECT n FROM c")

    with storage.write() as tx:
        tx.run("CREATE TABLE c (n numeric)")
        tx.run("INSERT INTO c VALUES (1)")
    for _ in range(30):
        assert read() == 1
    other = PostgresStorage(url)
    with other.write() as tx:
        tx.run("ALTER TABLE c ALTER n TYPE text")
    other.close()
    with pytest.raises(ConflictError):
        read()
    # The other connections know of it too.
    assert [read() for _ in range(30)] == ["1"] * 30


def test_writers_that_wait_for_a_state_keep_no_reader_waiting(url: str) -> None:
    separator = "&" if "?" in url else "?"
    storage = PostgresStorage(f"{url}{separator}pool_size=4&snapshots=1&pool_timeout=10")

    def delete(_: int) -> None:
        with storage.write() as tx:
            tx.before()

    with storage.write() as holding, ThreadPoolExecutor(8) as threads:
        holding.before()
        waiting = [threads.submit(delete, number) for number in range(8)]
        with storage.read() as reader:
            # All that may write do, and wait for a state.
            while reader.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%READ COMMITTED%'") < 3:  # type: ignore[operator]
                pass
            assert reader.value("SELECT 1") == 1
        state = storage.snapshot()
        assert state.value("SELECT 1") == 1
        state.close()
        holding.rows("ROLLBACK")
        holding.before().close()
        for each in waiting:
            each.result(10)
    storage.close()


class TestWriters:
    def test_a_row_that_is_read_to_be_written_waits_for_the_one_before(self, storage: PostgresStorage) -> None:
        with storage.write() as tx:
            tx.run("CREATE TABLE c (id text, n numeric)")
            tx.run("INSERT INTO c VALUES ('x', 0)")

        def count(_: int) -> None:
            for _ in range(25):
                with storage.write() as tx:
                    number = tx.value(f"SELECT n FROM c WHERE id = ?{tx.dialect.lock}", ["x"])
                    tx.run("UPDATE c SET n = ? WHERE id = ?", [int(number or 0) + 1, "x"])

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(count, range(4)))
        with storage.read() as reader:
            assert reader.value("SELECT n FROM c") == 100

    def test_two_writers_of_different_rows_do_not_wait(self, storage: PostgresStorage) -> None:
        with storage.write() as tx:
            tx.run("CREATE TABLE c (id text)")
        with storage.write() as outer:
            outer.run("INSERT INTO c VALUES ('x')")
            with ThreadPoolExecutor(1) as thread:
                thread.submit(self._insert, storage, "y").result(10)
            with storage.read() as reader:
                assert reader.rows("SELECT id FROM c") == [("y",)]

    @staticmethod
    def _insert(storage: PostgresStorage, record_id: str) -> None:
        with storage.write() as tx:
            tx.run("INSERT INTO c VALUES (?)", [record_id])

    def test_a_deadlock_is_told_as_a_conflict(self, storage: PostgresStorage) -> None:
        with storage.write() as tx:
            tx.run("CREATE TABLE c (id text)")
            tx.run("INSERT INTO c VALUES ('x'), ('y')")
        both = threading.Barrier(2)

        def lock(first: str, second: str) -> str:
            try:
                with storage.write() as tx:
                    tx.run("DELETE FROM c WHERE id = ?", [first])
                    both.wait(10)
                    tx.run("DELETE FROM c WHERE id = ?", [second])
            except ConflictError:
                return "conflict"
            return "done"

        with ThreadPoolExecutor(2) as threads:
            ended = [threads.submit(lock, *pair) for pair in (("x", "y"), ("y", "x"))]
            assert sorted(one.result(20) for one in ended) == ["conflict", "done"]

    def test_a_commit_behind_a_failed_statement_is_an_error(self, storage: PostgresStorage) -> None:
        with pytest.raises(StorageError, match="undone"), storage.write() as tx, pytest.raises(StorageError):
            tx.run("SELECT missing")


def test_lost_connections_are_replaced(storage: PostgresStorage, url: str) -> None:
    for _ in range(3):
        with storage.read() as reader:
            assert reader.value("SELECT 1") == 1
    other = PostgresStorage(url)
    with other.read() as reader:
        mine = reader.value("SELECT pg_backend_pid()")
        reader.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> ?",
            [mine],
        )
    other.close()
    for _ in range(3):
        with storage.read() as reader:
            assert reader.value("SELECT 1") == 1


def test_a_connection_that_is_lost_in_a_transaction_undoes_it(storage: PostgresStorage) -> None:
    with storage.write() as tx:
        tx.run("CREATE TABLE c (id text)")
    with pytest.raises(StorageError), storage.write() as tx:
        tx.run("INSERT INTO c VALUES ('x')")
        with storage.read() as reader:
            reader.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO c%'")
        tx.run("INSERT INTO c VALUES ('y')")
    with storage.read() as reader:
        assert reader.rows("SELECT id FROM c") == []


class TestTables:
    def test_an_index_of_any_case_and_one_with_a_condition(self, storage: PostgresStorage) -> None:
        indexes = (
            "CREATE UNIQUE INDEX `one` ON `notes` (`camelCase` COLLATE NOCASE) WHERE `camelCase` != ''",
            "CREATE INDEX two ON notes (n DESC, camelCase)",
        )
        with storage.write() as tx:
            ddl.create_table(tx, NOTES.replaced(indexes=indexes))
            tx.run('INSERT INTO notes (id, "camelCase") VALUES (?, ?), (?, ?), (?, ?)', ["1", "Ab", "2", "", "3", ""])
            assert ddl.index_owner(tx, "ONE") == "notes"
        with pytest.raises(UniqueError) as raised, storage.write() as tx:
            tx.run('INSERT INTO notes (id, "camelCase") VALUES (?, ?)', ["4", "aB"])
        assert (raised.value.table, raised.value.columns) == ("notes", ("camelCase",))

    def test_an_index_is_written_for_postgresql(self) -> None:
        index = parse_index("CREATE INDEX `i` ON `notes` (`camelCase` COLLATE NOCASE, lower(camelCase) DESC)")
        assert PostgresDefinitions().index(index, NOTES) == (
            'CREATE INDEX "i" ON "notes" (lower("camelCase" COLLATE "C"), (lower("camelCase")) DESC)'
        )

    def test_a_field_becomes_multiple_and_single_again(self, storage: PostgresStorage) -> None:
        single = NOTES.replaced(
            fields=tuple(
                SelectField(id="s", name="tags", values=("a", "b"), max_select=1) if field.id == "s" else field
                for field in NOTES.fields
            )
        )
        with storage.write() as tx:
            ddl.create_table(tx, single)
            tx.run("INSERT INTO notes (id, tags) VALUES ('1', 'a'), ('2', '')")
            ddl.sync_table(tx, single, NOTES)
            assert tx.rows("SELECT tags FROM notes ORDER BY id") == [('["a"]',), ("[]",)]
            tx.run("UPDATE notes SET tags = ?", ['["a","b"]'])
            ddl.sync_table(tx, NOTES, single)
            assert tx.rows("SELECT tags FROM notes ORDER BY id") == [("b",), ("b",)]

    def test_the_columns_of_a_view_get_the_types_of_tables(self, storage: PostgresStorage) -> None:
        query = (
            "SELECT 1 AS id, true AS yes, 0.1::float8 + 0.2 AS real, ARRAY['a'] AS list, now() AS moment,"
            " '{\"a\": 1}'::jsonb AS doc, `camelCase` AS text, NULL::text AS none FROM notes"
        )
        with storage.write() as tx:
            ddl.create_table(tx, NOTES)
            tx.run("INSERT INTO notes (id, \"camelCase\") VALUES ('1', 'x')")
            columns = ddl.create_view(tx, "seen", query)
            row = tx.row("SELECT id, yes, real, list, doc, text, none FROM seen")
            moment = str(tx.value("SELECT moment FROM seen"))
        assert [name for name, _ in columns] == ["id", "yes", "real", "list", "moment", "doc", "text", "none"]
        assert row == (1, 1, 0.30000000000000004, '["a"]', '{"a": 1}', "x", None)
        assert len(moment) == 24
        assert moment.endswith("Z")

    def test_views_over_a_view_outlive_its_change(self, storage: PostgresStorage) -> None:
        with storage.write() as tx:
            ddl.create_table(tx, NOTES)
            ddl.create_view(tx, "first", "SELECT id, n FROM notes")
            ddl.create_view(tx, "second", "SELECT id FROM first")
            ddl.create_view(tx, "first", "SELECT id, n + 1 AS n FROM notes")
            assert ddl.has_table(tx, "SECOND")

    def test_tables_of_the_catalog_are_taken_and_names_of_types_are_not(self, storage: PostgresStorage) -> None:
        with storage.write() as tx:
            assert ddl.has_table(tx, "pg_class")
            for name in ("text", "numeric", "json", "path"):
                assert not ddl.has_table(tx, name)
                ddl.create_table(tx, NOTES.replaced(name=name))
                tx.run(f"INSERT INTO \"{name}\" (id, data) VALUES ('1', rowcast.json_text(?))", [5])
                assert tx.rows(f'SELECT id FROM "{name}" WHERE rowcast.eq(data, ?)', ["5"]) == [("1",)]


def test_a_view_steps_aside_while_a_column_is_converted(storage: PostgresStorage) -> None:
    single = NOTES.replaced(
        fields=tuple(
            SelectField(id="s", name="tags", values=("a", "b"), max_select=1) if field.id == "s" else field
            for field in NOTES.fields
        )
    )
    with storage.write() as tx:
        ddl.create_table(tx, single)
        ddl.create_view(tx, "seen", "SELECT id, tags, camelCase FROM notes")
        tx.run("INSERT INTO notes (id, tags) VALUES ('1', 'a')")
        ddl.sync_table(tx, single, NOTES)
        assert tx.rows("SELECT tags FROM seen") == [('["a"]',)]


def test_numbers_that_no_float_holds_are_infinite(storage: PostgresStorage) -> None:
    with storage.read() as reader:
        row = reader.row(
            "SELECT 1e400::numeric, -1e400::numeric, -9223372036854775808::numeric, 1e19::numeric, -7::numeric"
        )
    assert row == (float("inf"), float("-inf"), -(2**63), 1e19, -7)


def test_many_rows_lose_what_no_text_can_hold(storage: PostgresStorage) -> None:
    with storage.write() as tx:
        tx.run("CREATE TABLE c (id text)")
        tx.run_many("INSERT INTO c VALUES (?)", [["a\0b"]])
        assert tx.rows("SELECT id FROM c") == [("a\ufffdb",)]
    with pytest.raises(StorageError, match="NUL"), storage.write() as tx:
        tx.run("INSERT INTO c VALUES (?)", ["a\0b"])


def _kept(reader: Reader) -> set[str]:
    return {str(row[0]) for row in reader.rows("SELECT statement FROM pg_prepared_statements")}


def test_a_statement_that_comes_often_is_prepared_once_for_its_types(storage: PostgresStorage) -> None:
    with storage.write() as tx:
        for _ in range(4):
            assert tx.value("SELECT ? AS it", ["a"]) == "a"
        assert "SELECT $1 AS it" not in _kept(tx)
        for value in ("a", "b", "c"):
            assert tx.value("SELECT ? AS it", [value]) == value
        assert tx.value("SELECT ? AS it", [1]) == 1
        assert tx.value("SELECT ? AS it", [None]) is None
        assert "SELECT $1 AS it" in _kept(tx)


def test_only_so_many_statements_stay_prepared(storage: PostgresStorage) -> None:
    with storage.write() as tx:
        for number in range(250):
            for _ in range(6):
                assert tx.value(f"SELECT {number}") == number
        kept = _kept(tx)
    assert "SELECT 0" not in kept
    assert 100 < len(kept) <= 200


def test_nothing_is_prepared_where_a_pooler_does_not_know_of_it(url: str) -> None:
    storage = PostgresStorage(f"{url}{'&' if '?' in url else '?'}prepare=off")
    with storage.read() as reader:
        for _ in range(20):
            assert reader.value("SELECT ?", ["a"]) == "a"
        assert _kept(reader) == set()
    storage.close()


def test_a_failed_statement_leaves_what_is_prepared(storage: PostgresStorage) -> None:
    for _ in range(7):
        with pytest.raises(StorageError, match="division by zero"), storage.read() as reader:
            reader.value("SELECT 1 / (? - 1)", [1])
    with storage.read() as reader:
        assert reader.value("SELECT 1 / (? - 1)", [2]) == 1


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200])
def test_many_rows_are_added_whole_and_in_order(storage: PostgresStorage, count: int) -> None:
    rows = [(f"r{number}", None if number % 2 else number / 4) for number in range(count)]
    with storage.write() as tx:
        tx.run("CREATE TABLE many (_rowid_ bigserial, id text PRIMARY KEY, n numeric, t text DEFAULT 'x')")
        tx.run_many("INSERT INTO many (id, n) VALUES (?, cast(? as numeric))", rows)
        assert tx.rows("SELECT id, n FROM many ORDER BY _rowid_") == rows
        tx.run_many("UPDATE many SET t = ? WHERE id = ?", [(row[0], row[0]) for row in rows])
        assert tx.value("SELECT count(*) FROM many WHERE t = id") == count
        with pytest.raises(UniqueError), tx.savepoint():
            tx.run_many("INSERT INTO many (id, n) VALUES (?, ?)", [("new", 1), ("new", 1)])
        assert tx.value("SELECT count(*) FROM many") == count


@pytest.mark.parametrize(
    ("sql", "many"),
    [
        ("INSERT INTO t VALUES (?, ?)", "INSERT INTO t VALUES (?, ?), (?, ?)"),
        (
            'INSERT INTO "t" ("a","b") VALUES (?,trim_scale(?))',
            'INSERT INTO "t" ("a","b") VALUES (?,trim_scale(?)), (?,trim_scale(?))',
        ),
        ("INSERT INTO t (a, b) VALUES (?, ?) ON CONFLICT DO NOTHING", None),
        ("INSERT INTO t (a, b) VALUES (?, ')') RETURNING (a)", None),
        ("INSERT INTO t (a, b) SELECT a, ? FROM (VALUES (?)) AS v (a)", None),
        ("INSERT INTO t (a, b) VALUES (?, ?), (?, ?)", None),
        ("UPDATE t SET a = ?", None),
    ],
)
def test_only_a_plain_row_is_added_with_others(sql: str, many: str | None) -> None:
    assert adding(sql, 2) == many
    assert adding(sql, 1) == (sql if many else None)


def test_waiting_for_the_server_lets_other_threads_go_on(storage: PostgresStorage) -> None:
    began, done = threading.Event(), threading.Event()

    def wait() -> None:
        with storage.read() as reader:
            began.set()
            reader.value("SELECT pg_advisory_lock(1)")
        done.set()

    with storage.write() as tx:
        tx.value("SELECT pg_advisory_lock(1)")
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert began.wait(10)
        assert not done.is_set()
        tx.value("SELECT pg_advisory_unlock(1)")
    waiting.join(10)
    assert done.is_set()
