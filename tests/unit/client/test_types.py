"""What mypy knows of the client; `make types` is the proof, running it shows that the names exist."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, assert_type

import msgspec

from rowcast.client import AuthResult, Client, Event, Gap, Leave, Page, Record, Subscription

SERVER_PARTS = ("api", "app", "storage", "records", "schema", "filters", "realtime", "config", "errors", "sql")


class Post(msgspec.Struct):
    id: str
    title: str


if TYPE_CHECKING:

    async def records_have_the_type_that_was_asked_for(client: Client) -> None:
        posts = client.collection("posts", Post)
        assert_type(await posts.get("x"), Post)
        assert_type(await posts.first(), Post)
        assert_type(await posts.list(), Page[Post])
        assert_type(posts.all(), AsyncIterator[Post])
        assert_type(await posts.create({}), Post)
        assert_type(await posts.auth_refresh(), AuthResult[Post])
        assert_type(posts.subscribe(), Subscription[Event[Post] | Gap])
        assert_type(posts.subscribe(leave=True), Subscription[Event[Post] | Leave | Gap])
        assert_type(await client.collection("posts").get("x"), Record)
        async for event in posts.subscribe():
            if isinstance(event, Gap):
                continue
            assert_type(event.record, Post)
        async with client.batch() as batch:
            made = batch.collection("posts", Post).create({})
        assert_type(made.record, Post)


def test_the_client_is_imported_without_the_server() -> None:
    code = "import sys, rowcast; rowcast.Client; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "rowcast.client" in loaded
    assert not loaded & {f"rowcast.{part}" for part in SERVER_PARTS}
    assert not loaded & {"apsw", "uvicorn", "uvloop", "bcrypt"}
