"""What every storage driver promises, asked of each of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Logged, Record
from rowcast.storage import BudgetExceededError, QueryTimeoutError, Reader, Snapshot, Storage, StorageError, UniqueError
from rowcast.storage.postgres import PostgresStorage
from rowcast.storage.sqlite import SQLiteStorage
from tests import postgres
from tests.contract.storages import ENDLESS, change, create_table, ids, in_thread, insert, records


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """An empty table in a new database of each engine."""
    url = postgres.new_database() if request.param == "postgres" else ""
    found: Storage = (
        PostgresStorage(url, query_timeout_s=0.5)
        if url
        else SQLiteStorage(tmp_path / "data.db", create=True, query_timeout_s=0.5)
    )
    create_table(found)
    yield found
    found.close()
    if url:
        postgres.drop_database(url)


def test_driver_fits_the_protocols(storage: Storage) -> None:
    typed: Storage = storage
    with typed.write() as tx, typed.read() as reader:
        snapshot: Reader = tx.before()
        assert snapshot.rows("SELECT 1") == reader.rows("SELECT 1") == [(1,)]


class TestReading:
    def test_rows_row_and_value(self, storage: Storage) -> None:
        insert(storage, "x", "y")
        with storage.read() as reader:
            assert reader.rows("SELECT id, a, b FROM t ORDER BY id") == [("x", "", None), ("y", "", None)]
            assert reader.row("SELECT id FROM t ORDER BY id DESC") == ("y",)
            assert reader.row("SELECT id FROM t WHERE id = ?", ("z",)) is None
            assert reader.value("SELECT count(*) FROM t") == 2
            assert reader.value("SELECT id FROM t WHERE FALSE") is None

    def test_a_block_sees_one_state(self, storage: Storage) -> None:
        insert(storage, "x")
        with storage.read() as reader:
            assert reader.value("SELECT count(*) FROM t") == 1
            in_thread(lambda: insert(storage, "y"))
            assert reader.value("SELECT count(*) FROM t") == 1
        assert ids(storage) == ["x", "y"]

    def test_blocks_nest_and_do_not_share_their_state(self, storage: Storage) -> None:
        with storage.read() as outer:
            assert outer.value("SELECT count(*) FROM t") == 0
            insert(storage, "x")
            with storage.read() as inner:
                assert inner.value("SELECT count(*) FROM t") == 1
            assert outer.value("SELECT count(*) FROM t") == 0

    def test_a_reader_can_not_write(self, storage: Storage) -> None:
        with storage.read() as reader, pytest.raises(StorageError, match=r"can't be written|read-only"):
            reader.rows("DELETE FROM t")

    def test_a_reader_ends_with_its_block(self, storage: Storage) -> None:
        with storage.read() as reader:
            pass
        with pytest.raises(StorageError, match="has ended"):
            reader.rows("SELECT 1")

    def test_a_glance_sees_what_is_committed_and_leaves_no_transaction(self, storage: Storage) -> None:
        count = "SELECT count(*), max(id) FROM {schema}.t"
        assert storage.glance(count) == (0, None)
        insert(storage, "x")
        with storage.write() as tx:
            tx.run("INSERT INTO t (id) VALUES ('y')")
            assert storage.glance(count) == (1, "x")
        assert storage.glance(count) == (2, "y")
        assert storage.glance("SELECT id FROM {schema}.t WHERE id = 'none'") is None
        for _ in range(20):
            with pytest.raises(StorageError):
                storage.glance("SELECT nothing FROM {schema}.t")
        assert storage.glance(count) == (2, "y")


class TestWriting:
    def test_commits_at_the_end_of_the_block(self, storage: Storage) -> None:
        with storage.write() as tx:
            assert tx.run("INSERT INTO t (id) VALUES ('x'), ('y')") == 2
            assert tx.run("UPDATE t SET b = 'b'") == 2
            assert tx.run("UPDATE t SET b = 'b' WHERE id = 'none'") == 0
            assert tx.run("CREATE TABLE u (id TEXT)") == 0
            assert tx.rows("SELECT id FROM t") == [("x",), ("y",)]
            assert ids(storage) == []
        assert ids(storage) == ["x", "y"]

    def test_runs_a_statement_for_many_rows(self, storage: Storage) -> None:
        with storage.write() as tx:
            tx.run_many("INSERT INTO t (id) VALUES (?)", ((id,) for id in "xy"))
            with pytest.raises(UniqueError), tx.savepoint():
                tx.run_many("INSERT INTO t (id) VALUES (?)", [("z",), ("x",)])
        assert ids(storage) == ["x", "y"]
        with pytest.raises(StorageError, match="has ended"):
            tx.run_many("DELETE FROM t", [()])

    def test_a_part_of_what_holds_together_is_written_and_undone_with_it(self, storage: Storage) -> None:
        ran: list[str] = []
        with storage.write() as tx:
            tx.hold_together()
            for name in "xy":
                with storage.write() as part:
                    assert part is tx
                    part.on_commit(partial(ran.append, name))
                    insert(storage, name)
        assert (ids(storage), ran) == (["x", "y"], ["x", "y"])
        with pytest.raises(UniqueError), storage.write() as tx:
            tx.hold_together()
            insert(storage, "z")
            with storage.write() as part:
                part.on_rollback(partial(ran.append, "undone"))
                insert(storage, "x")
        assert (ids(storage), ran) == (["x", "y"], ["x", "y", "undone"])

    def test_what_holds_together_does_not_commit_once_a_part_has_failed(self, storage: Storage) -> None:
        with pytest.raises(StorageError, match="a part of the transaction has failed"), storage.write() as tx:
            tx.hold_together()
            insert(storage, "x")
            with pytest.raises(RuntimeError), storage.write():
                raise RuntimeError
        assert ids(storage) == []
        insert(storage, "y")
        assert ids(storage) == ["y"]

    def test_rolls_back_when_the_block_raises(self, storage: Storage) -> None:
        with pytest.raises(ZeroDivisionError), storage.write() as tx:
            tx.run("INSERT INTO t (id) VALUES ('x')")
            raise ZeroDivisionError
        assert ids(storage) == []
        insert(storage, "y")

    def test_a_transaction_ends_with_its_block(self, storage: Storage) -> None:
        with storage.write() as tx:
            pass
        with pytest.raises(StorageError, match="has ended"):
            tx.run("DELETE FROM t")


class TestNesting:
    def test_an_inner_write_is_part_of_the_outer_one(self, storage: Storage) -> None:
        with storage.write() as outer:
            with storage.write() as inner:
                assert inner is outer
                inner.run("INSERT INTO t (id) VALUES ('x')")
            assert ids(storage) == []
        assert ids(storage) == ["x"]

    def test_an_inner_write_that_raises_is_undone_alone(self, storage: Storage) -> None:
        calls: list[str] = []
        published: list[list[str]] = []
        storage.publish = lambda changes: published.append([c.record.id for c in records(changes)])
        with storage.write() as outer:
            outer.run("INSERT INTO t (id) VALUES ('x')")
            outer.changes.append(change("x"))
            outer.on_commit(lambda: calls.append("outer committed"))
            outer.on_rollback(lambda: calls.append("outer undone"))
            with pytest.raises(ZeroDivisionError), storage.write() as inner:
                inner.run("INSERT INTO t (id) VALUES ('y')")
                inner.changes.append(change("y"))
                inner.on_commit(lambda: calls.append("inner committed"))
                inner.on_rollback(lambda: calls.append("inner undone"))
                raise ZeroDivisionError
            assert calls == ["inner undone"]
        assert ids(storage) == ["x"]
        assert calls == ["inner undone", "outer committed"]
        assert published == [["x"]]

    def test_savepoints_in_savepoints(self, storage: Storage) -> None:
        with storage.write() as tx:
            with tx.savepoint():
                tx.run("INSERT INTO t (id) VALUES ('a')")
                with pytest.raises(ZeroDivisionError), tx.savepoint():
                    tx.run("INSERT INTO t (id) VALUES ('b')")
                    with tx.savepoint():
                        tx.run("INSERT INTO t (id) VALUES ('c')")
                    raise ZeroDivisionError
            tx.run("INSERT INTO t (id) VALUES ('d')")
        assert ids(storage) == ["a", "d"]

    def test_a_failed_statement_in_a_savepoint_leaves_the_transaction_usable(self, storage: Storage) -> None:
        with storage.write() as tx:
            tx.run("INSERT INTO t (id) VALUES ('a')")
            with pytest.raises(UniqueError), tx.savepoint():
                tx.run("INSERT INTO t (id) VALUES ('a')")
            tx.run("INSERT INTO t (id) VALUES ('b')")
        assert ids(storage) == ["a", "b"]

    def test_the_outer_rollback_undoes_released_savepoints(self, storage: Storage) -> None:
        calls: list[str] = []
        with pytest.raises(ZeroDivisionError), storage.write() as tx:
            tx.on_rollback(lambda: calls.append("first"))
            with tx.savepoint():
                tx.run("INSERT INTO t (id) VALUES ('a')")
                tx.on_rollback(lambda: calls.append("second"))
            raise ZeroDivisionError
        assert ids(storage) == []
        assert calls == ["second", "first"]


class TestAfterCommit:
    def test_calls_and_changes_follow_each_commit_in_order(self, storage: Storage) -> None:
        log: list[object] = []
        storage.publish = lambda changes: log.append([c.record.id for c in records(changes)])
        for id in ("x", "y"):
            with storage.write() as tx:
                tx.changes.append(change(id))
                tx.on_commit(lambda: log.append("first"))
                tx.on_commit(lambda: log.append("second"))
        assert log == ["first", "second", ["x"], "first", "second", ["y"]]

    def test_a_commit_without_changes_or_a_rollback_publishes_nothing(self, storage: Storage) -> None:
        published: list[object] = []
        storage.publish = published.append
        insert(storage, "x")
        with pytest.raises(ZeroDivisionError), storage.write() as tx:
            tx.changes.append(change("x"))
            tx.on_commit(lambda: published.append("committed"))
            raise ZeroDivisionError
        assert published == []

    def test_what_follows_a_commit_may_fail_and_changes_nothing(
        self, storage: Storage, caplog: pytest.LogCaptureFixture
    ) -> None:
        log: list[str] = []

        def fail() -> None:
            raise ZeroDivisionError

        def publish(_: list[Logged]) -> None:
            log.append("published")
            fail()

        storage.publish = publish
        with caplog.at_level(logging.ERROR), storage.write() as tx:
            tx.run("INSERT INTO t (id) VALUES ('x')")
            tx.changes.append(change("x"))
            tx.on_commit(fail)
            tx.on_commit(lambda: log.append("committed"))
        assert ids(storage) == ["x"]
        assert log == ["committed", "published"]
        assert len(caplog.records) == 2


class TestBefore:
    def test_shows_the_state_before_the_transaction_until_it_is_closed(self, storage: Storage) -> None:
        insert(storage, "x", "y")
        kept: list[Snapshot] = []
        storage.publish = lambda changes: kept.extend(c.before for c in records(changes))  # type: ignore[misc]
        with storage.write() as tx:
            tx.run("DELETE FROM t WHERE id = 'x'")
            snapshot = tx.before()
            assert tx.before() is snapshot
            tx.changes.append(change("x", before=snapshot))
            tx.run("DELETE FROM t")
            assert snapshot.rows("SELECT id FROM t") == [("x",), ("y",)]
        insert(storage, "z")
        assert kept == [snapshot]
        typed: Snapshot = kept[0]
        assert typed.value("SELECT count(*) FROM t") == 2
        assert in_thread(lambda: typed.value("SELECT count(*) FROM t")) == 2
        typed.close()
        typed.close()
        with pytest.raises(StorageError, match="has ended"):
            typed.rows("SELECT 1")
        assert ids(storage) == ["z"]

    def test_closes_itself_where_no_change_refers_to_it(self, storage: Storage) -> None:
        storage.publish = lambda changes: None
        with storage.write() as tx:
            snapshot = tx.before()
            tx.changes.append(change("x"))
        with pytest.raises(StorageError, match="has ended"):
            snapshot.rows("SELECT 1")

    def test_closes_itself_when_the_transaction_is_undone(self, storage: Storage) -> None:
        storage.publish = lambda changes: None
        with pytest.raises(ZeroDivisionError), storage.write() as tx:
            snapshot = tx.before()
            tx.changes.append(change("x", before=snapshot))
            raise ZeroDivisionError
        with pytest.raises(StorageError, match="has ended"):
            snapshot.rows("SELECT 1")


def test_whatever_fails_before_a_commit_undoes_it_and_the_next_writer_can_begin(storage: Storage) -> None:
    def fail(_: object) -> None:
        raise ValueError("no text")

    collection = Collection(id="c", name="c")
    storage.before_commit = fail
    with pytest.raises(ValueError, match="no text"), storage.write() as tx:
        tx.run("INSERT INTO t VALUES ('a', '', '')")
        tx.changes.append(Change("create", Record(collection, {"id": "a"})))
    storage.before_commit = None
    with storage.write() as tx:
        assert tx.value("SELECT count(*) FROM t") == 0


class TestErrors:
    @pytest.mark.parametrize(
        ("sql", "columns"),
        [
            ("INSERT INTO t (id, a, b) VALUES ('x', 'n', 'n')", ("id",)),
            ("INSERT INTO t (id, a, b) VALUES ('n', 'a', 'b')", ("a", "b")),
        ],
    )
    def test_unique_errors_name_table_and_columns(self, storage: Storage, sql: str, columns: tuple[str, ...]) -> None:
        with storage.write() as tx:
            tx.run("INSERT INTO t (id, a, b) VALUES ('x', 'a', 'b')")
        with pytest.raises(UniqueError) as raised, storage.write() as tx:
            tx.run(sql)
        assert (raised.value.table, raised.value.columns) == ("t", columns)

    @pytest.mark.parametrize(
        ("sql", "params"),
        [
            ("SELECT * FROM missing", ()),
            ("SELEC", ()),
            ("INSERT INTO t (id) VALUES (NULL)", ()),
            ("SELECT ?", ("\ud800",)),
            ("SELECT ?", ()),
        ],
    )
    def test_other_failures_are_storage_errors(self, storage: Storage, sql: str, params: tuple[str, ...]) -> None:
        for kind in ("rows", "row", "value", "run"):
            with pytest.raises(StorageError) as raised, storage.write() as tx:
                getattr(tx, kind)(sql, params)
            assert not isinstance(raised.value, UniqueError)
            assert raised.value.engine_text
        insert(storage, "after")

    def test_a_read_that_takes_too_long_is_ended_and_the_next_one_works(self, storage: Storage) -> None:
        with pytest.raises(QueryTimeoutError), storage.read() as reader:
            reader.value(ENDLESS)
        assert ids(storage) == []

    def test_a_closed_storage_says_so(self, storage: Storage) -> None:
        storage.close()
        storage.close()
        with pytest.raises(StorageError, match="closed"), storage.read():
            pass
        with pytest.raises(StorageError, match="closed"), storage.write():
            pass


class TestValues:
    @pytest.mark.parametrize("value", ["", "ä 😀 % ? $1 'x' \"y\"", "\\", "5", None, "x\n\t"])
    def test_texts_come_back_as_they_are(self, storage: Storage, value: str | None) -> None:
        with storage.write() as tx:
            tx.run("INSERT INTO t VALUES ('x', ?, '?')", (value,))
            assert tx.row("SELECT a, b FROM t") == (value, "?")

    @pytest.mark.parametrize(
        "value", [0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63), 0.1, 0.1 + 0.2, 1e300, 5e-324, 123456.789]
    )
    def test_numbers_come_back_as_they_are(self, storage: Storage, value: float) -> None:
        with storage.write() as tx:
            tx.run("CREATE TABLE numbers (n NUMERIC)")
            tx.run("INSERT INTO numbers VALUES (?)", (value,))
            found = tx.value("SELECT n FROM numbers")
        assert found == value
        assert type(found) is type(value)


class TestBudget:
    def test_nothing_waits_while_another_writes(self, storage: Storage) -> None:
        def write() -> None:
            with storage.budget(), storage.write():
                pass

        with storage.write(), pytest.raises(BudgetExceededError):
            in_thread(write)

    def test_does_not_bind_other_threads(self, storage: Storage) -> None:
        with storage.budget():
            assert in_thread(lambda: ids(storage)) == []

    def test_is_over_with_its_block(self, storage: Storage) -> None:
        with storage.budget(), storage.budget():
            pass
        insert(storage, "x")
        assert ids(storage) == ["x"]
