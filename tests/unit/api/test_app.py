"""The application as hosts see it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import rowcast
from rowcast import App, Config
from rowcast.errors import DataDirError
from tests.unit.api.client import Client, serving


def live(app: App) -> list[str]:
    """Send the lifespan events of a host; return what the application says."""

    async def run() -> list[str]:
        events = ["lifespan.startup", "lifespan.shutdown"]
        said: list[str] = []

        async def receive() -> dict[str, Any]:
            return {"type": events.pop(0)}

        async def send(message: Any) -> None:
            said.append(message["type"] + (": " + message["message"] if "message" in message else ""))

        await app({"type": "lifespan"}, receive, send)
        return said

    return asyncio.run(run())


def test_the_package_offers_the_application_and_nothing_else() -> None:
    assert rowcast.__all__ == ["App", "Client", "Config", "__version__"]
    assert rowcast.App is App
    with pytest.raises(AttributeError, match="nothing"):
        rowcast.nothing  # noqa: B018


def test_a_new_directory_is_made(tmp_path: Path) -> None:
    app = App(tmp_path / "new", config=Config(data_dir="elsewhere", dev=True))
    assert app.config.data_dir == str(tmp_path / "new")
    assert app.config.dev
    assert not app.has_superuser()
    assert live(app) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert (tmp_path / "new" / "data.db").exists()


def test_a_directory_that_can_not_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "data.db").write_bytes(b"nonsense" * 1000)
    (said,) = live(App(tmp_path))
    assert said.startswith("lifespan.startup.failed: ")
    assert "data.db" in said
    with pytest.raises(DataDirError):
        asyncio.run(App(tmp_path).start())


def test_it_can_be_started_again_but_not_by_a_late_request(data_dir: Path) -> None:
    async def run() -> None:
        app = App(data_dir)
        client = Client(app)
        # Without a lifespan the first request starts it.
        assert (await client("GET", "/api/health")).status == 200
        await app.start()
        assert app.has_superuser()
        await app.stop()
        await app.stop()
        with pytest.raises(RuntimeError, match="stopped"):
            await client("GET", "/api/health")
        await app.start()
        assert (await client("GET", "/api/health")).status == 200
        await app.stop()

    asyncio.run(run())


def test_a_token_is_known_while_the_collection_of_its_account_changes(data_dir: Path) -> None:
    account = {"email": "a@example.com", "password": "12345678", "passwordConfirm": "12345678"}

    def rename() -> None:
        """Rename a field as another process does: between its commit and the look at it of this one."""
        with closing(sqlite3.connect(data_dir / "data.db")) as database, database:
            database.execute("ALTER TABLE users RENAME COLUMN name TO nick")
            database.execute(
                """UPDATE _collections SET updated = '2999', fields = replace(fields, '"name":"name"', '"name":"nick"')
                WHERE name = 'users'"""
            )

    async def run() -> None:
        async with serving(data_dir) as client:
            assert (await client("POST", "/api/collections/users/records", account)).status == 200
            form = {"identity": account["email"], "password": account["password"]}
            signed = (await client("POST", "/api/collections/users/auth-with-password", form)).json()
            rename()
            seen = await client(
                "GET", f"/api/collections/users/records/{signed['record']['id']}", token=signed["token"]
            )
            assert seen.status == 200, seen.body
            assert "nick" in seen.json()

    asyncio.run(run())


def test_it_can_be_mounted(data_dir: Path, tmp_path: Path) -> None:
    async def run() -> None:
        app = App(data_dir, config=Config(public_dir=str(tmp_path / "none")))
        client = Client(Starlette(routes=[Mount("/sub path", app=app)]))
        below = "/sub%20path/api"
        assert (await client("GET", below + "/health")).json()["code"] == 200
        made = await client("POST", below + "/collections/posts/records", {"title": "é"})
        assert made.json()["title"] == "é"
        seen = await client("GET", f"{below}/collections/posts/records/{made.json()['id']}?fields=title")
        assert seen.json() == {"title": "é"}
        assert (await client("GET", below + "/nope")).status == 404
        moved = await client("GET", below + "//health")
        assert moved.headers["location"] == below + "/health"
        assert (await client("GET", "/api/health")).body == b"Not Found"
        await app.stop()

    asyncio.run(run())


def test_websockets_are_refused(data_dir: Path) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    asyncio.run(App(data_dir)({"type": "websocket"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1000}]
