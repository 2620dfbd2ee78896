"""Numbers in the log where transactions commit side by side: none is told before a lower one is decided."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from rowcast.realtime.numbers import ManyWriters
from rowcast.schema.record import Position
from rowcast.storage.postgres import PostgresStorage
from tests import postgres


@pytest.fixture
def url() -> Iterator[str]:
    made = postgres.new_database()
    yield made
    postgres.drop_database(made)


@pytest.fixture
def storage(url: str) -> Iterator[PostgresStorage]:
    opened = PostgresStorage(url)
    with opened.write() as tx:
        ManyWriters().create(tx, Position(0, "tag"))
    yield opened
    opened.close()


def begun(url: str) -> psycopg.Connection[tuple[int, ...]]:
    """A transaction of another node that has taken a number."""
    connection = psycopg.connect(url)
    connection.execute(f"SELECT pg_advisory_xact_lock_shared({ManyWriters.lock})")
    return connection


def number(connection: psycopg.Connection[tuple[int, ...]]) -> int:
    row = connection.execute("SELECT nextval('_rowcast_numbers')").fetchone()
    assert row is not None
    return row[0]


def test_a_number_is_decided_once_all_lower_ones_are(storage: PostgresStorage, url: str) -> None:
    numbers = ManyWriters()
    with begun(url) as early, begun(url) as late:
        first, second = number(early), number(late)
        assert first < second
        late.commit()
        assert numbers.decided(storage) < first
        assert numbers.is_waiting
        early.rollback()
        assert numbers.decided(storage) >= second
        assert not numbers.is_waiting


def test_who_takes_a_number_later_does_not_keep_those_before_it_waiting(storage: PostgresStorage, url: str) -> None:
    numbers = ManyWriters()
    with begun(url) as early, begun(url) as late:
        first = number(early)
        assert numbers.decided(storage) < first
        early.commit()
        with begun(url) as latest:
            number(latest)
            late.commit()
            decided = numbers.decided(storage)
            assert decided >= first
            assert numbers.is_waiting


def test_a_transaction_that_has_a_lock_but_no_number_yet_holds_back_what_it_may_take(
    storage: PostgresStorage, url: str
) -> None:
    numbers = ManyWriters()
    with begun(url) as holder:
        with storage.write() as tx:
            (taken,) = ManyWriters().take(tx, 1, 0)
        assert numbers.decided(storage) < taken
        holder.commit()
        assert numbers.decided(storage) >= taken


def test_numbers_of_one_transaction_are_in_order(storage: PostgresStorage) -> None:
    with storage.write() as tx:
        taken = ManyWriters().take(tx, 1_000, 0)
    assert taken == sorted(set(taken))
    assert ManyWriters().settled(storage) == taken[-1]
