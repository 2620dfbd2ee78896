"""The link over PostgreSQL: connections that are lost, poolers that let nobody hear, hints by the thousand."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from rowcast.bus import Link, LinkError
from rowcast.bus.alone import Alone
from rowcast.bus.choice import check, link_of
from rowcast.bus.postgres import PostgresLink
from rowcast.bus.sockets import SocketLink
from tests import postgres
from tests.contract.links import opened, until


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    found = postgres.new_database()
    yield found
    postgres.drop_database(found)


def run(database: str, statement: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(statement.encode())


@asynccontextmanager
async def pooler(database: str, folder: Path) -> AsyncIterator[str]:
    """Serve a database without its notifications, as a pooler does that lends connections for a transaction."""
    with psycopg.connect(database) as connection:
        info = connection.info
        directory, port = info.host, info.port
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = asyncio.open_unix_connection(f"{directory}/.s.PGSQL.{port}")
        there, back = await (upstream if directory.startswith("/") else asyncio.open_connection(directory, port))

        async def requests() -> None:
            while data := await reader.read(65_536):
                back.write(data)
            back.close()

        running.add(asyncio.create_task(requests()))
        try:
            while True:
                head = await there.readexactly(5)
                body = await there.readexactly(int.from_bytes(head[1:]) - 4)
                if head[:1] != b"A":
                    writer.write(head + body)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_unix_server(serve, folder / f".s.PGSQL.{port}")
    parts = urlsplit(database)
    try:
        user = f"{parts.username}@" if parts.username else ""
        yield f"postgresql://{user}/{parts.path[1:]}?host={folder}&port={port}"
    finally:
        server.close()
        for task in running:
            task.cancel()


def test_connections_that_are_lost_are_made_anew(database: str) -> None:
    async def play() -> None:
        async with opened(lambda name: PostgresLink(name, database, Alone(name)), "one", "two") as (one, two):
            assert await one.link.nodes() == ["two"]
            run(
                database,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'rowcast%'",
            )
            for node in (one, two):
                await until(lambda node=node: _is(node.link.counts.connects == 2))  # type: ignore[misc]
                # The other one may not be back yet.
                assert node.link.has_others
            await until(lambda: _are(one.link, ["two"]))
            two.hinted.clear()
            one.link.hint()
            await two.heard()
            assert await two.link.ask("one", b"?") == b"answer to ?"

    asyncio.run(play())


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short enough for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="s") as found:
        yield Path(found)


def test_behind_a_pooler_the_processes_of_a_machine_have_their_sockets(database: str, folder: Path) -> None:
    async def play() -> None:
        (folder / "sockets").mkdir()
        async with pooler(database, folder) as url:

            def make(name: str) -> Link:
                return PostgresLink(name, url, SocketLink(name, folder / "sockets"))

            async with opened(make, "one", "two") as (one, two):
                assert one.link.has_others
                assert await one.link.nodes() == ["two"]
                two.hinted.clear()
                one.link.hint()
                await two.heard()
                assert await two.link.ask("one", b"?") == b"answer to ?"
                assert one.link.counts.kind == "sockets"

    asyncio.run(play())


def test_a_server_that_is_away_keeps_no_node_from_starting() -> None:
    async def play() -> None:
        gone = "postgresql://nobody@127.0.0.1:1/none"
        async with opened(lambda name: PostgresLink(name, gone, Alone(name)), "one") as (one,), asyncio.timeout(3):
            assert one.link.has_others
            assert await one.link.nodes() == []
            assert await one.link.ask("two", b"?") is None

    asyncio.run(play())


def test_thousands_of_hints_are_few_notifications(database: str) -> None:
    async def play() -> None:
        async with opened(lambda name: PostgresLink(name, database, Alone(name)), "one", "two") as (one, two):
            two.hinted.clear()
            for _ in range(5_000):
                one.link.hint()
                await asyncio.sleep(0)
            await two.heard()
            assert one.link.counts.hints_sent < 500

    asyncio.run(play())


def test_nodes_of_two_schemas_do_not_know_each_other(database: str) -> None:
    run(database, "CREATE SCHEMA second")
    separator = "&" if "?" in database else "?"

    async def play() -> None:
        async with (
            opened(lambda name: PostgresLink(name, database, Alone(name)), "one") as (one,),
            opened(lambda name: PostgresLink(name, f"{database}{separator}schema=second", Alone(name)), "two"),
        ):
            assert await one.link.nodes() == []
            assert await one.link.ask("two", b"?") is None

    asyncio.run(play())


def test_the_database_brings_the_link_unless_another_is_named(tmp_path: Path) -> None:
    url = "postgresql://h/d"
    assert isinstance(link_of("", url, "one"), PostgresLink)
    assert isinstance(link_of(f"{url}?sslmode=require", url, "one"), PostgresLink)
    assert not isinstance(link_of("", f"{url}?listen=off", "one"), PostgresLink)
    assert not isinstance(link_of("", tmp_path, "one"), PostgresLink)
    check(url)
    with pytest.raises(LinkError, match="whose database is there"):
        link_of(url, tmp_path, "one")


async def _is(holds: bool) -> bool:
    return holds


async def _are(link: Link, names: list[str]) -> bool:
    return await link.nodes() == names
