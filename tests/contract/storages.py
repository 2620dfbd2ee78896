"""A table for the tests of storage drivers, and what is done with it."""

from __future__ import annotations

import threading
from queue import Queue

from rowcast.schema.collection import Collection
from rowcast.schema.record import Change, Logged, Record
from rowcast.storage import Snapshot, Storage

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def create_table(storage: Storage) -> None:
    """Create the table `t`, empty, with a unique index."""
    with storage.write() as tx:
        tx.run("CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a TEXT, b TEXT)")
        tx.run("CREATE UNIQUE INDEX ab ON t (a, b) WHERE a != ''")


def change(id: str, before: Snapshot | None = None) -> Change:
    return Change("create", Record(Collection(id="c", name="t"), {"id": id}), before=before)


def records(logged: list[Logged]) -> list[Change]:
    """Return what was published of records, which is all."""
    return [each for each in logged if isinstance(each, Change)]


def insert(storage: Storage, *ids: str) -> None:
    with storage.write() as tx:
        for id in ids:
            tx.run("INSERT INTO t (id, a) VALUES (?, '')", (id,))


def ids(storage: Storage) -> list[object]:
    with storage.read() as reader:
        return [row[0] for row in reader.rows("SELECT id FROM t ORDER BY id")]


def in_thread(call: object) -> object:
    """Run `call` in a new thread; return its result or raise what it raised."""
    results: Queue[object] = Queue()

    def run() -> None:
        try:
            results.put(call())  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001 - raised again by the caller
            results.put(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    result = results.get()
    if isinstance(result, Exception):
        raise result
    return result
