"""The databases that properties are played on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.property import emptied


@pytest.fixture(scope="session")
def postgres_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Make one database on PostgreSQL for all examples; each of them empties it first."""
    with emptied.database(tmp_path_factory.mktemp("emptied") / "pb_data") as url:
        yield url
