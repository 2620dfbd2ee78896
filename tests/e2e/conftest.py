"""Servers for the tests of this folder."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rowcast.client import Client
from tests.e2e.client import OPENED
from tests.e2e.server import SUPERUSER, Kind, Server, running, upsert_superuser


@pytest.fixture(params=["rowcast", "reference"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of server that is here; what must hold over both engines asks for "postgres" as well."""
    name: Kind = request.param
    if name == "reference" and not os.environ.get("ROWCAST_REFERENCE"):
        pytest.skip("ROWCAST_REFERENCE does not name a PocketBase binary")
    return name


@pytest.fixture
def server(kind: Kind, tmp_path: Path) -> Iterator[Server]:
    """A server on a new data directory with one superuser."""
    data_dir = tmp_path / "pb_data"
    upsert_superuser(kind, data_dir)
    with running(kind, data_dir) as started:
        yield started


@pytest.fixture(autouse=True)
def _sockets_are_closed() -> Iterator[None]:
    yield
    OPENED.close()


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio."""
    return "asyncio"


@pytest.fixture
async def root(server: Server) -> AsyncIterator[Client]:
    """A Python client that is signed in as a superuser."""
    async with Client(server.url) as client:
        await client.collection("_superusers").auth_with_password(*SUPERUSER)
        yield client
