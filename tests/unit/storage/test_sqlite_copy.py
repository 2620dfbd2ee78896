"""Copies of databases that others write to."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rowcast.storage import StorageError
from rowcast.storage.sqlite import SQLiteStorage
from rowcast.storage.sqlite_copy import check_database


def test_a_copy_is_one_state_while_a_writer_goes_on(tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path / "data.db", create=True)
    with storage.write() as tx:
        tx.run("CREATE TABLE pair (a INTEGER, b INTEGER, filling BLOB)")
        tx.run("INSERT INTO pair VALUES (0, 0, NULL)")
        tx.run_many("INSERT INTO pair VALUES (1, 1, zeroblob(100000))", [()] * 200)
    written, is_over = [0], threading.Event()

    def write() -> None:
        while not is_over.is_set():
            with storage.write() as tx:
                tx.run("UPDATE pair SET a = a + 1 WHERE filling IS NULL")
                tx.run("UPDATE pair SET b = b + 1 WHERE filling IS NULL")
            written[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[int] = []
    try:
        for number in range(3):
            before = written[0]
            storage.copy(tmp_path / f"{number}.db", lambda done, total: seen.append(done))
            after = written[0]
            copied = SQLiteStorage(tmp_path / f"{number}.db")
            with copied.read() as reader:
                a, b = reader.row("SELECT a, b FROM pair WHERE filling IS NULL") or (0, 1)
                assert reader.value("SELECT count(*) FROM pair") == 201
            copied.close()
            assert a == b
            assert before <= int(str(a)) <= after + 1
    finally:
        is_over.set()
        writer.join()
        storage.close()
    assert max(seen) > 20_000_000
    check_database(tmp_path / "2.db")


def test_what_progress_raises_ends_the_copy(tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path / "data.db", create=True)
    with storage.write() as tx:
        tx.run("CREATE TABLE some (a)")

    def stop(_: int, __: int) -> None:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        storage.copy(tmp_path / "copy.db", stop)
    with storage.write() as tx:
        tx.run("INSERT INTO some VALUES (1)")
    storage.close()


def test_a_damaged_database_is_found(tmp_path: Path) -> None:
    storage = SQLiteStorage(tmp_path / "data.db", create=True)
    with storage.write() as tx:
        tx.run("CREATE TABLE some (a)")
        tx.run_many("INSERT INTO some VALUES (?)", [["x" * 500]] * 500)
    storage.close()
    content = bytearray((tmp_path / "data.db").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 6000] = b"\xff" * 6000
    (tmp_path / "data.db").write_bytes(content)
    with pytest.raises(StorageError):
        check_database(tmp_path / "data.db")
    (tmp_path / "text").write_text("no database at all, and long enough for its header" * 100)
    with pytest.raises(StorageError):
        check_database(tmp_path / "text")
