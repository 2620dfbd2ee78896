"""A crash of PostgreSQL takes back numbers that nobody has committed: those who come next get them again."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from rowcast.realtime.numbers import ManyWriters
from rowcast.storage import UnavailableError
from tests.postgres_server import running_postgres
from tests.unit.realtime.test_following_postgres import Node

_BACK_S = 20.0


def catch_up(node: Node) -> None:
    """Read the log as soon as it can be read."""
    until = time.monotonic() + _BACK_S
    while True:
        try:
            node.follower.catch_up()
        except UnavailableError:
            assert time.monotonic() < until
        else:
            return


def heard(node: Node) -> list[str]:
    return [change.record.id for change in asyncio.run(node.heard())]


@pytest.mark.timeout(120)
def test_what_has_numbers_that_a_crash_took_back_is_told_in_order(tmp_path: Path) -> None:
    with running_postgres() as server:
        node = Node(tmp_path / "pb_data", server.url())
        try:
            node.write("before")
            with closing(psycopg.connect(server.url())) as other:
                other.execute(f"SELECT pg_advisory_xact_lock_shared({ManyWriters.lock})")
                other.execute("SELECT nextval('_rowcast_numbers') FROM generate_series(1, 40)")
                catch_up(node)
                server.kill()
            server.start()
            catch_up(node)
            assert heard(node) == ["before"]
            with psycopg.connect(server.url()) as other:
                # Somebody has the first of these numbers, and has not committed.
                other.execute(f"SELECT pg_advisory_xact_lock_shared({ManyWriters.lock})")
                row = other.execute("SELECT nextval('_rowcast_numbers')").fetchone()
                assert row is not None
                assert row[0] <= 42
                node.write("after")
                catch_up(node)
                assert node.log.end.number < row[0]
            catch_up(node)
            assert heard(node) == ["after"]
        finally:
            node.directory.close()
