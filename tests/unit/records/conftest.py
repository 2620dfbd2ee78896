from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.records.world import World


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The world over each engine."""
    made = World(tmp_path / "data", is_postgres=request.param == "postgres")
    yield made
    made.close()
