"""A data directory with a superuser, a user and a collection, made once and copied for each test."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rowcast.auth.superusers import Superusers
from rowcast.blobs import LocalBlobs
from rowcast.schema.catalog import CatalogRef
from rowcast.storage.directory import open_directory
from tests.unit.api.client import Client, serving

ROOT, PASSWORD = "root@example.com", "Password1234"

POSTS = {
    "name": "posts",
    "type": "base",
    "listRule": "",
    "viewRule": "",
    "createRule": "",
    "updateRule": "",
    "deleteRule": "",
    "fields": [
        {"name": "title", "type": "text"},
        {"name": "count", "type": "number"},
        {"name": "files", "type": "file", "maxSelect": 5},
    ],
}


@dataclass(frozen=True)
class Template:
    """The directory and the tokens of its accounts."""

    path: Path
    root_token: str
    user_token: str


async def _make(path: Path) -> Template:
    directory = open_directory(path)
    Superusers(directory.data, CatalogRef(directory.catalog), LocalBlobs(directory.files)).create(ROOT, PASSWORD)
    directory.close()
    async with serving(path) as client:
        signed_in = await client(
            "POST",
            "/api/collections/_superusers/auth-with-password",
            {"identity": ROOT, "password": PASSWORD},
        )
        token = signed_in.json()["token"]
        assert (await client("POST", "/api/collections", POSTS, token=token)).status == 200
        user = {"email": "u@example.com", "password": PASSWORD, "passwordConfirm": PASSWORD}
        made = await client("POST", "/api/collections/users/records", user, token=token)
        assert made.status == 200, made.body
        taken = await client("POST", f"/api/collections/users/impersonate/{made.json()['id']}", token=token)
        return Template(path, token, taken.json()["token"])


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return asyncio.run(_make(tmp_path_factory.mktemp("api") / "template"))


@pytest.fixture
def data_dir(template: Template, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template.path, tmp_path / "data"))


Story = Callable[[Client], Coroutine[Any, Any, None]]


@pytest.fixture
def tell(data_dir: Path) -> Callable[..., None]:
    """Run a story against a started application."""

    def run(story: Story, **config: Any) -> None:
        async def told() -> None:
            async with serving(data_dir, **config) as client:
                await story(client)

        asyncio.run(told())

    return run
