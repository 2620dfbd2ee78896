from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres
from tests.unit.admin.office import Office


@pytest.fixture(params=["sqlite", "postgres"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Office]:
    """The office over each engine; tests of the SQL that one engine speaks are marked."""
    if request.param == "postgres" and request.node.get_closest_marker("sqlite"):
        pytest.skip("speaks SQLite's SQL")
    database = postgres.new_database() if request.param == "postgres" else ""
    office = Office(tmp_path / "pb_data", database)
    yield office
    office.close()
    if database:
        postgres.drop_database(database)
