"""A PostgreSQL database for many examples: made once, and emptied for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from rowcast.storage.directory import open_directory
from tests import postgres
from tests.property.scenarios import SUPERUSERS
from tests.property.worlds import NAMES

_LOCK_S = 10


@contextmanager
def database(path: Path) -> Iterator[str]:
    """Make a database that is set up as a new data directory at `path` is, until the block ends."""
    url = postgres.new_database()
    try:
        open_directory(path, database=url).close()
        yield url
    finally:
        postgres.drop_database(url)


def empty(url: str) -> None:
    """Drop the collections of an example and its superusers. The log of changes stays: its numbers go on.

    Raises psycopg.errors.LockNotAvailable where the example before has left a transaction open.
    """
    names = ", ".join(f"'{name}'" for name in NAMES)
    with psycopg.connect(url) as connection:
        connection.execute(f"SET LOCAL lock_timeout TO '{_LOCK_S}s'".encode())
        connection.execute(f"DROP TABLE IF EXISTS {', '.join(NAMES)}".encode())
        connection.execute(f"DELETE FROM _collections WHERE name IN ({names})".encode())
        connection.execute(f"DELETE FROM {SUPERUSERS}".encode())
