"""Servers for the tests of this folder."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from rowcast.client import Client
from tests.e2e.client import OPENED, Api
from tests.e2e.server import Kind, Server, make_directory, running


@pytest.fixture(params=["rowcast", "reference"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of server that is here; what must hold over both engines asks for "postgres" as well."""
    name: Kind = request.param
    if name == "reference" and not os.environ.get("ROWCAST_REFERENCE"):
        pytest.skip("ROWCAST_REFERENCE does not name a PocketBase binary")
    return name


@dataclass(frozen=True, slots=True)
class Shared:
    """A server that one test after another has for itself, and what it holds before and after each."""

    server: Server
    token: str
    superuser: Any
    collections: Any
    settings: Any

    @classmethod
    def of(cls, server: Server) -> Shared:
        """Remember what a new server holds."""
        api = Api(server.url)
        api.sign_in()
        collections = api.ok("GET", "/api/collections?perPage=1000")["items"]
        superuser = api.ok("GET", "/api/collections/_superusers/records")["items"][0]
        return cls(server, api.token, superuser, collections, api.ok("GET", "/api/settings"))

    def put_back(self) -> None:
        """Take away what a test has made, once its streams have ended."""
        OPENED.close()
        api = Api(self.server.url)
        api.token = self.token
        api.ok("PUT", "/api/collections/import", {"collections": self.collections, "deleteMissing": True})
        api.ok("DELETE", "/api/collections/users/truncate")
        api.ok("PATCH", "/api/settings", self.settings)
        if self.server.kind == "rowcast":
            while api.ok("GET", "/api/realtime/clients")["items"]:
                assert self.server.process.poll() is None, self.server.output()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Kind], Shared]]:
    """Returns the server of a kind, which is started for the first who asks."""
    with ExitStack() as stack:

        @cache
        def of(kind: Kind) -> Shared:
            data_dir = tmp_path_factory.mktemp(kind) / "pb_data"
            make_directory(kind, data_dir)
            return Shared.of(stack.enter_context(running(kind, data_dir)))

        yield of


@pytest.fixture
def server(kind: Kind, shared: Callable[[Kind], Shared]) -> Iterator[Server]:
    """A server with one superuser and nothing else."""
    found = shared(kind)
    yield found.server
    found.put_back()


@pytest.fixture(autouse=True)
def _sockets_are_closed() -> Iterator[None]:
    yield
    OPENED.close()


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio."""
    return "asyncio"


@pytest.fixture
async def root(server: Server, shared: Callable[[Kind], Shared]) -> AsyncIterator[Client]:
    """A Python client that is signed in as a superuser."""
    async with Client(server.url) as client:
        found = shared(server.kind)
        client.auth_store.save(found.token, found.superuser)
        yield client
