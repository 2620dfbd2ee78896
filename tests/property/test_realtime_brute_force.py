"""What every stream gets is what asking for each stream one by one would have given.

Random collections, rules, accounts, topics and writes on a real data directory. After
each commit the hub catches up; then each stream must hold exactly the events, in the
order of the changes and with the bodies, that `asking` finds on the states before and
after that commit. Where writers rush, the hub is behind; then no rule reads other rows.
On PostgreSQL the SQL is judged there, the state before a delete is a connection, and changes come
through the log of changes (see `engine`).
ROWCAST_BRUTE_FORCE=2000 runs that many examples of each test.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from rowcast.realtime import follower, judgement
from tests.property import emptied
from tests.property.play import play
from tests.property.scenarios import Scenario, scenarios

pytestmark = [pytest.mark.property, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module", autouse=True)
def _few_accounts_are_many() -> Iterator[None]:
    """Rules over relations look for who can come into question already where two accounts listen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judgement, "MANY_ACCOUNTS", 2)
        yield


@pytest.fixture(scope="module", autouse=True)
def _looks_follow_each_other_at_once() -> Iterator[None]:
    """Steps wait for the log more often than anybody else does, and no server is to be spared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follower, "_SPACE_S", 0.0)
        patch.setattr(follower, "_SPACE_BUSY_S", 0.0)
        yield


EXAMPLES = int(os.environ.get("ROWCAST_BRUTE_FORCE", "80"))

EXAMPLES_ON_POSTGRES = int(os.environ.get("ROWCAST_BRUTE_FORCE", "14"))
"""Fewer: one takes more than a second, most of it turns with the server, and what is no SQL was played on SQLite."""

ON_POSTGRES = settings(
    suppress_health_check=list(HealthCheck),
    # To make a failing example small takes hundreds of them: five minutes in which it looks as if nothing happened.
    phases=[phase for phase in Phase if phase is not Phase.shrink],
)


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(scenario=scenarios())
def test_streams_get_what_asking_one_by_one_gives(scenario: Scenario) -> None:
    asyncio.run(play(scenario))


@settings(max_examples=EXAMPLES // 2, suppress_health_check=list(HealthCheck))
@given(scenario=scenarios(is_rushing=True))
def test_streams_get_the_same_while_writers_rush(scenario: Scenario) -> None:
    asyncio.run(play(scenario))


@settings(ON_POSTGRES, max_examples=EXAMPLES_ON_POSTGRES)
@given(scenario=scenarios())
def test_streams_get_what_asking_one_by_one_gives_on_postgres(postgres_database: str, scenario: Scenario) -> None:
    emptied.empty(postgres_database)
    asyncio.run(play(scenario, postgres_database))


@settings(ON_POSTGRES, max_examples=EXAMPLES_ON_POSTGRES // 2)
@given(scenario=scenarios(is_rushing=True))
def test_streams_get_the_same_while_writers_rush_on_postgres(postgres_database: str, scenario: Scenario) -> None:
    emptied.empty(postgres_database)
    asyncio.run(play(scenario, postgres_database))
