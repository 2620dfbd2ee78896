"""The SQLite driver: consistency, order, budgets, nesting, other processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from rowcast.schema.record import Change, Logged
from rowcast.storage import BudgetExceededError, QueryTimeoutError, StorageError, UniqueError
from rowcast.storage.sqlite import SQLiteStorage
from rowcast.storage.sqlite_readers import SQLiteSnapshot, inspect
from tests.contract.storages import ENDLESS, change, create_table, ids, in_thread, insert, records

LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT count(*) FROM n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data.db"


@pytest.fixture
def storage(file: Path) -> Iterator[SQLiteStorage]:
    storage = SQLiteStorage(file, create=True)
    create_table(storage)
    yield storage
    storage.close()


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(32)


class TestReading:
    def test_a_row_that_was_not_read_to_the_end_holds_nothing_back(self, storage: SQLiteStorage) -> None:
        insert(storage, "x", "y")
        with storage.read() as reader:
            reader.row("SELECT id FROM t")
        with storage.write() as tx:
            tx.row("SELECT id FROM t")
            tx.run("DROP TABLE t")
        storage.checkpoint()

    def test_schema_changes_reach_readers_that_are_open(self, storage: SQLiteStorage) -> None:
        insert(storage, "x")
        query = "SELECT * FROM t"
        with storage.read() as reader:
            assert reader.rows(query) == [("x", "", None)]
        with storage.write() as tx:
            tx.run("ALTER TABLE t ADD COLUMN c TEXT DEFAULT 'new'")
        with storage.read() as reader:
            assert reader.rows(query) == [("x", "", None, "new")]

    def test_many_threads_read_while_one_writes(self, storage: SQLiteStorage) -> None:
        stop, wrong = threading.Event(), []

        def read() -> None:
            while not stop.is_set():
                with storage.read() as reader:
                    pair = reader.value("SELECT count(*) FROM t"), len(reader.rows("SELECT id FROM t"))
                if pair[0] != pair[1] or pair[1] % 2:
                    wrong.append(pair)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for i in range(100):
            insert(storage, f"{i}a", f"{i}b")
        stop.set()
        for thread in threads:
            thread.join()
        assert not wrong


class TestWriting:
    def test_threads_take_turns(self, storage: SQLiteStorage) -> None:
        insert(storage, "counter")

        def count() -> None:
            for _ in range(50):
                with storage.write() as tx:
                    value = tx.value("SELECT coalesce(b, 0) FROM t")
                    tx.run("UPDATE t SET b = ?", (int(str(value)) + 1,))

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with storage.read() as reader:
            assert reader.value("SELECT b FROM t") == "200"

    def test_a_thread_waits_for_its_turn_only_so_long(
        self, storage: SQLiteStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rowcast.storage.sqlite_writer.TURN_TIMEOUT_S", 0.01)
        with storage.write(), pytest.raises(StorageError, match="no turn to write"):
            in_thread(lambda: insert(storage, "x"))


class TestErrors:
    @pytest.mark.parametrize(
        ("sql", "table", "columns"),
        [
            ("INSERT INTO t (id, a, b) VALUES ('x', 'n', 'n')", "t", ("id",)),
            ("INSERT INTO t (id, a, b) VALUES ('n', 'a', 'b')", "t", ("a", "b")),
            ("INSERT INTO lowered (x) VALUES ('A')", "", ()),
        ],
    )
    def test_unique_errors_name_table_and_columns(
        self, storage: SQLiteStorage, sql: str, table: str, columns: tuple[str, ...]
    ) -> None:
        with storage.write() as tx:
            tx.run("INSERT INTO t (id, a, b) VALUES ('x', 'a', 'b')")
            tx.run("CREATE TABLE lowered (x)")
            tx.run("CREATE UNIQUE INDEX lowered_x ON lowered (lower(x))")
            tx.run("INSERT INTO lowered (x) VALUES ('a')")
            with pytest.raises(UniqueError) as raised:
                tx.run(sql)
        assert (raised.value.table, raised.value.columns) == (table, columns)

    @pytest.mark.parametrize(
        ("sql", "params", "text"),
        [
            ("SELECT * FROM missing", (), "no such table: missing"),
            ("SELEC", (), "syntax error"),
            ("INSERT INTO t (id) VALUES (NULL)", (), "NOT NULL constraint failed: t.id"),
            ("SELECT ?", (2**70,), "can't be stored"),
            ("SELECT ?", ("\ud800",), "can't be stored"),
            ("SELECT ?", (), "Incorrect number of bindings"),
        ],
    )
    def test_other_failures_are_storage_errors(
        self, storage: SQLiteStorage, sql: str, params: tuple[object, ...], text: str
    ) -> None:
        for kind in ("rows", "row", "value", "run"):
            with storage.write() as tx, pytest.raises(StorageError, match=text) as raised:
                getattr(tx, kind)(sql, params)
            assert not isinstance(raised.value, UniqueError)

    def test_a_transaction_that_sqlite_has_undone_refuses_to_go_on(self, storage: SQLiteStorage) -> None:
        with pytest.raises(StorageError, match="was undone: the disk is full"), storage.write() as tx:
            tx.run("INSERT INTO t (id) VALUES ('lost')")
            tx.value("PRAGMA max_page_count = 1")
            with pytest.raises(StorageError, match="the disk is full"), tx.savepoint():
                tx.run("INSERT INTO t (id, a) VALUES ('big', hex(zeroblob(100000)))")
            # Would be committed by itself if the driver let it through.
            tx.run("INSERT INTO t (id) VALUES ('alone')")
        assert ids(storage) == []
        with storage.write() as tx:
            tx.value("PRAGMA max_page_count = 1000000")
        insert(storage, "x")
        assert ids(storage) == ["x"]

    def test_a_closed_storage_says_so(self, storage: SQLiteStorage) -> None:
        storage.close()
        storage.close()
        with pytest.raises(StorageError, match="closed"), storage.read():
            pass
        with pytest.raises(StorageError, match="closed"), storage.write():
            pass

    def test_a_reader_that_is_open_while_the_storage_is_closed_goes_on(self, storage: SQLiteStorage) -> None:
        with storage.read() as reader:
            storage.close()
            assert reader.value("SELECT count(*) FROM t") == 0


class TestAfterCommit:
    def test_changes_of_many_threads_are_published_in_the_order_of_their_commits(self, storage: SQLiteStorage) -> None:
        published: list[str] = []
        storage.publish = lambda changes: published.extend(c.record.id for c in records(changes))

        def write(name: str) -> None:
            for i in range(50):
                with storage.write() as tx:
                    tx.run("INSERT INTO t (id) VALUES (?)", (f"{name}{i}",))
                    tx.changes.append(change(f"{name}{i}"))

        threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with storage.read() as reader:
            assert published == [row[0] for row in reader.rows("SELECT id FROM t ORDER BY rowid")]

    def test_the_next_writer_waits_until_the_changes_are_published(self, storage: SQLiteStorage) -> None:
        def publish(_: list[Logged]) -> None:
            with pytest.raises(BudgetExceededError):
                in_thread(write_under_budget)

        def write_under_budget() -> None:
            with storage.budget(), storage.write():
                pass

        storage.publish = publish
        with storage.write() as tx:
            tx.changes.append(change("x"))
        write_under_budget()


class TestBefore:
    def test_only_so_many_may_be_open(self, storage: SQLiteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rowcast.storage.sqlite_readers._SNAPSHOT_WAIT_S", 0.05)
        kept: list[Change] = []
        storage.publish = lambda changes: kept.extend(records(changes))
        for i in range(64):
            with storage.write() as tx:
                tx.changes.append(change(str(i), before=tx.before()))
        with storage.write() as tx, pytest.raises(StorageError, match="too many"):
            tx.before()
        assert isinstance(kept[0].before, SQLiteSnapshot)
        kept[0].before.close()
        with storage.write() as tx:
            tx.before()

    def test_follows_the_budget_of_whoever_reads(self, storage: SQLiteStorage) -> None:
        with storage.write() as tx:
            snapshot = tx.before()
            with pytest.raises(BudgetExceededError), storage.budget():
                snapshot.rows(ENDLESS)
            assert snapshot.value("SELECT count(*) FROM t") == 0
        assert ids(storage) == []


class TestBudget:
    def test_stops_a_long_statement(self, storage: SQLiteStorage) -> None:
        started = time.thread_time()
        with pytest.raises(BudgetExceededError), storage.budget(), storage.read() as reader:
            reader.rows(ENDLESS)
        assert time.thread_time() - started < 0.1

    def test_stops_many_short_statements(self, storage: SQLiteStorage) -> None:
        insert(storage, "x")
        with pytest.raises(BudgetExceededError), storage.budget(), storage.read() as reader:
            while True:
                reader.rows("SELECT id FROM t WHERE id = ?", ("x",))

    def test_undoes_a_write_that_takes_too_long(self, storage: SQLiteStorage) -> None:
        calls: list[str] = []
        with pytest.raises(BudgetExceededError), storage.budget(), storage.write() as tx:
            tx.on_rollback(lambda: calls.append("undone"))
            tx.run("INSERT INTO t (id) VALUES ('x')")
            tx.run(f"INSERT INTO t (id) {ENDLESS}")
        assert calls == ["undone"]
        assert ids(storage) == []

    def test_never_stops_a_commit(self, storage: SQLiteStorage) -> None:
        spent, done = SQLiteStorage(storage.path, budget_s=0), []
        for i in range(600):
            try:
                with spent.budget(), spent.write() as tx:
                    tx.run("INSERT INTO t (id) VALUES (?)", (str(i),))
                    tx.on_commit(lambda: done.append(str(i)))  # noqa: B023 - runs in the same round
            except BudgetExceededError:
                assert str(i) not in done
        spent.close()
        assert 0 < len(done) < 600
        assert ids(storage) == sorted(done)

    def test_a_write_over_its_budget_is_undone_even_if_nobody_listens(self, storage: SQLiteStorage) -> None:
        with pytest.raises(BudgetExceededError), storage.budget(), storage.write() as tx:
            tx.run("INSERT INTO t (id) VALUES ('x')")
            with pytest.raises(BudgetExceededError), tx.savepoint():
                tx.rows(ENDLESS)
            with pytest.raises(BudgetExceededError):
                tx.rows("SELECT 1")
        assert ids(storage) == []

    def test_is_over_with_its_block(self, storage: SQLiteStorage) -> None:
        with storage.budget(), storage.budget(), storage.read() as reader:
            reader.rows("SELECT 1")
        with storage.read() as reader:
            assert reader.value(LONG) == 300_000
        with storage.write() as tx:
            assert tx.value(LONG) == 300_000

    def test_an_inner_budget_does_not_end_the_outer_one(self, storage: SQLiteStorage) -> None:
        with storage.budget():
            with storage.budget():
                pass
            with pytest.raises(BudgetExceededError), storage.read() as reader:
                reader.rows(ENDLESS)

    def test_does_not_bind_other_threads(self, storage: SQLiteStorage) -> None:
        def read() -> object:
            with storage.read() as reader:
                return reader.value(LONG)

        with storage.budget():
            assert in_thread(read) == 300_000

    def test_does_not_wait_for_another_writer(self, storage: SQLiteStorage) -> None:
        def write() -> None:
            with storage.budget(), storage.write():
                pass

        with storage.write(), pytest.raises(BudgetExceededError, match="another thread"):
            in_thread(write)
        in_thread(write)


class TestOtherProcesses:
    """A second connection stands for another process: SQLite's locks treat both alike."""

    def test_under_budget_a_lock_is_not_waited_for(self, storage: SQLiteStorage, file: Path) -> None:
        other = apsw.Connection(str(file))
        other.execute("BEGIN IMMEDIATE")
        started = time.perf_counter()
        with pytest.raises(BudgetExceededError, match="another process"), storage.budget(), storage.write():
            pass
        assert time.perf_counter() - started < 1
        other.execute("ROLLBACK")
        with storage.budget(), storage.write() as tx:
            tx.run("INSERT INTO t (id) VALUES ('x')")
        other.close()

    def test_without_budget_it_is(self, storage: SQLiteStorage, file: Path) -> None:
        other = apsw.Connection(str(file))
        with storage.budget(), storage.write():
            pass  # leaves the writer without a timeout
        other.execute("BEGIN IMMEDIATE")
        waiting = threading.Thread(target=insert, args=(storage, "x"))
        waiting.start()
        other.execute("INSERT INTO t (id) VALUES ('other')")
        other.execute("COMMIT")
        waiting.join()
        other.close()
        assert ids(storage) == ["other", "x"]

    def test_a_lock_that_stays_is_reported(
        self, storage: SQLiteStorage, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rowcast.storage.sqlite_writer._LOCK_STEPS", 3)
        other = apsw.Connection(str(file))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked by another process"), storage.write():
            pass
        other.close()
        insert(storage, "x")


class TestLog:
    def test_is_moved_into_the_database_and_begun_anew_while_a_writer_never_rests(
        self, storage: SQLiteStorage, file: Path
    ) -> None:
        log, written = file.with_name("data.db-wal"), 0
        beginnings: set[bytes] = set()
        while len(beginnings) < 3 and written < 1000:
            with storage.write() as tx:
                tx.run("INSERT INTO t (id, a) VALUES (?, hex(randomblob(400000)))", (str(written),))
            beginnings.add(_head(log)[16:24])  # the salt of the log's header
            written += 1
        storage.close()
        assert written < 1000
        assert not log.exists()
        reopened = SQLiteStorage(file)
        with reopened.read() as reader:
            assert reader.value("SELECT count(*) FROM t") == written
        reopened.close()

    def test_a_snapshot_that_stays_open_keeps_its_state_while_the_log_grows(self, storage: SQLiteStorage) -> None:
        insert(storage, "x")
        kept: list[Change] = []
        storage.publish = lambda changes: kept.extend(records(changes))
        with storage.write() as tx:
            tx.changes.append(change("x", before=tx.before()))
            tx.run("DELETE FROM t")
        for i in range(20):
            with storage.write() as tx:
                tx.run("INSERT INTO t (id, a) VALUES (?, hex(randomblob(400000)))", (str(i),))
        snapshot = kept[0].before
        assert isinstance(snapshot, SQLiteSnapshot)
        assert snapshot.rows("SELECT id FROM t") == [("x",)]

    def test_optimize_writes_statistics(self, storage: SQLiteStorage) -> None:
        with storage.write() as tx:
            tx.run("INSERT INTO t (id, a) SELECT value, value FROM json_each('[1,2,3,4,5]')")
        storage.optimize()


class TestInspect:
    def test_names_the_tables_and_changes_nothing(self, tmp_path: Path) -> None:
        file = tmp_path / "foreign.db"
        connection = apsw.Connection(str(file))
        connection.execute("CREATE TABLE notes (id)")
        connection.close()
        content = file.read_bytes()
        assert inspect(file) == {"notes"}
        assert file.read_bytes() == content
        assert [path.name for path in tmp_path.iterdir()] == ["foreign.db"]

    def test_a_missing_and_an_empty_file_have_none(self, tmp_path: Path) -> None:
        (tmp_path / "empty.db").touch()
        assert inspect(tmp_path / "empty.db") == inspect(tmp_path / "missing.db") == set()

    def test_anything_else_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "text.db"
        file.write_text("no database" * 100)
        with pytest.raises(StorageError, match="not a SQLite database"):
            inspect(file)


def test_a_missing_file_is_made_only_when_asked(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="can't be opened"):
        SQLiteStorage(tmp_path / "missing.db")
    assert list(tmp_path.iterdir()) == []


def test_a_read_that_takes_too_long_is_ended_and_the_connection_goes_on(tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path / "data.db", create=True, query_timeout_s=0.05)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(QueryTimeoutError, match=r"longer than 0\.05 s"), storage.read() as reader:
        reader.value(endless)
    with storage.read() as reader:
        assert reader.value("SELECT 1") == 1
    storage.close()


def test_the_writer_knows_the_options_of_its_library(storage: SQLiteStorage) -> None:
    with storage.write() as tx:
        answers = [
            tx.value("SELECT sqlite_compileoption_used(?)", (name,))
            for name in ("THREADSAFE", "SQLITE_THREADSAFE", "ROWCAST_WRITES t x", "NOTHING", None)
        ]
    assert answers == [1, 1, 0, 0, None]


def test_a_write_through_the_triggers_of_a_view_counts(storage: SQLiteStorage) -> None:
    with storage.write() as tx:
        tx.run("CREATE VIEW v AS SELECT id FROM t")
        tx.run("CREATE TRIGGER vi INSTEAD OF INSERT ON v BEGIN INSERT INTO t (id) VALUES (NEW.id); END")
        tx.run("CREATE TRIGGER vd INSTEAD OF DELETE ON v BEGIN DELETE FROM t WHERE id = OLD.id; END")
        assert tx.run("INSERT INTO v VALUES ('a')") == 1
        assert [tx.run("DELETE FROM v WHERE id = ?", (id,)) for id in ("b", "a", "a")] == [0, 1, 0]


def test_a_text_that_is_no_utf_8_is_read_as_far_as_it_can_be(storage: SQLiteStorage) -> None:
    with storage.write() as tx:
        tx.run("INSERT INTO t (id, a, b) VALUES ('b', CAST(x'ff41' AS TEXT), x'ff'), ('a', 'ä', 5), ('c', NULL, 'x')")
    sql = "SELECT id, a, b, 1.5 FROM t WHERE id >= ? ORDER BY id"
    expected = [("a", "ä", "5", 1.5), ("b", "\ufffdA", b"\xff", 1.5), ("c", None, "x", 1.5)]
    with storage.read() as reader:
        assert reader.rows(sql, ["a"]) == expected
        assert reader.row(sql, ["b"]) == expected[1]
        assert reader.value("SELECT json_object('a', a) FROM t WHERE id = 'b'") == '{"a":"\ufffdA"}'
    snapshot = storage.snapshot()
    assert snapshot.rows(sql, ["a"]) == expected
    snapshot.close()
    with storage.write() as tx:
        assert tx.rows(f"WITH x AS ({sql}) SELECT * FROM x LIMIT 9", [""]) == expected
