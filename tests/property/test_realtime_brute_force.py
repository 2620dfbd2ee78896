"""What every stream gets is what asking for each stream one by one would have given.

Random collections, rules, accounts, topics and writes on a real data directory. After
each commit the hub catches up; then each stream must hold exactly the events, in the
order of the changes and with the bodies, that `asking` finds on the states before and
after that commit. Where writers rush, the hub is behind; then no rule reads other rows.
ROWCAST_BRUTE_FORCE=2000 runs that many examples of each test.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from rowcast.realtime import judgement
from tests.property.play import play
from tests.property.scenarios import Scenario, scenarios

pytestmark = [pytest.mark.property, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module", autouse=True)
def _few_accounts_are_many() -> Iterator[None]:
    """Rules over relations look for who can come into question already where two accounts listen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judgement, "MANY_ACCOUNTS", 2)
        yield


EXAMPLES = int(os.environ.get("ROWCAST_BRUTE_FORCE", "80"))


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(scenario=scenarios())
def test_streams_get_what_asking_one_by_one_gives(scenario: Scenario) -> None:
    asyncio.run(play(scenario))


@settings(max_examples=EXAMPLES // 2, suppress_health_check=list(HealthCheck))
@given(scenario=scenarios(is_rushing=True))
def test_streams_get_the_same_while_writers_rush(scenario: Scenario) -> None:
    asyncio.run(play(scenario))
