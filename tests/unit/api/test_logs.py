from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from rowcast.storage.directory import open_directory
from tests.unit.api.client import Client, serving
from tests.unit.api.conftest import Template

ROWS = [
    ("a", 0, "first", '{"status":200,"auth":"users"}', "2999-01-01 10:20:00.000Z"),
    ("b", 8, "second", '{"status":404}', "2999-01-01 10:40:00.000Z"),
    ("c", 8, "broken", "no json", "2999-01-02 00:00:00.000Z"),
]


@pytest.fixture
def logged(data_dir: Path) -> Path:
    directory = open_directory(data_dir)
    with directory.auxiliary.write() as tx:
        tx.run("DELETE FROM _logs")
        tx.run_many("INSERT INTO _logs (id, level, message, data, created) VALUES (?, ?, ?, ?, ?)", ROWS)
    directory.close()
    return data_dir


def run(data_dir: Path, call: Callable[[Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serving(data_dir) as client:
            await call(client)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "abc"),
        ("?sort=-created", "cba"),
        ("?sort=-level,-message", "bca"),
        ("?filter=data.status>200", "b"),
        ("?filter=data.auth='users'", "a"),
        ("?filter=level>0%26%26message~'bro'", "c"),
        ("?filter=created>@now&perPage=1&page=2", "b"),
        ("?filter=data~'404'", "b"),
    ],
)
def test_pages(logged: Path, template: Template, query: str, found: str) -> None:
    async def call(client: Client) -> None:
        page = (await client("GET", "/api/logs" + query, token=template.root_token)).json()
        assert "".join(item["id"] for item in page["items"]) == found

    run(logged, call)


@pytest.mark.parametrize(
    "query",
    ["filter=password='x'", "sort=x", "filter=(", "page=x", "skipTotal=x", "filter=@request.method='GET'",
     "filter=@collection.users.id!=''"],
)  # fmt: skip
def test_what_is_no_column_of_the_log_is_refused(logged: Path, template: Template, query: str) -> None:
    async def call(client: Client) -> None:
        refused = await client("GET", "/api/logs?" + query, token=template.root_token)
        assert refused.status == 400

    run(logged, call)


def test_entries_totals_and_counts(logged: Path, template: Template) -> None:
    async def call(client: Client) -> None:
        async def ask(path: str) -> object:
            return (await client("GET", "/api/logs" + path, token=template.root_token)).json()

        entry = {
            "id": "a",
            "created": ROWS[0][4],
            "data": {"status": 200, "auth": "users"},
            "message": "first",
            "level": 0,
        }
        assert await ask("/a") == entry
        assert await ask("?perPage=1&fields=id") == {
            "items": [{"id": "a"}], "page": 1, "perPage": 1, "totalItems": 3, "totalPages": 3,
        }  # fmt: skip
        counts = await ask("?skipTotal=1&fields=totalItems,data")
        assert isinstance(counts, dict)
        assert (counts["totalItems"], counts["totalPages"]) == (-1, -1)
        assert (await ask("/c?fields=data")) == {"data": {}}
        assert await ask("/stats") == [
            {"date": "2999-01-01 10:00:00.000Z", "total": 2},
            {"date": "2999-01-02 00:00:00.000Z", "total": 1},
        ]
        assert await ask("/stats?filter=data.status=404") == [{"date": "2999-01-01 10:00:00.000Z", "total": 1}]
        missing = await client("GET", "/api/logs/none", token=template.root_token)
        assert missing.status == 404
        refused = await client("GET", "/api/logs/stats?filter=(", token=template.root_token)
        assert (refused.status, refused.message) == (400, "Invalid filter format.")

    run(logged, call)


@pytest.mark.parametrize("path", ["", "/stats", "/a"])
def test_logs_are_for_superusers(logged: Path, template: Template, path: str) -> None:
    async def call(client: Client) -> None:
        assert (await client("GET", "/api/logs" + path)).status == 401
        assert (await client("GET", "/api/logs" + path, token=template.user_token)).status == 403

    run(logged, call)


@pytest.mark.parametrize(
    ("break_it", "mend_it"),
    [("query_only=ON", "query_only=OFF"), ("max_page_count=1", "max_page_count=1000000")],
    ids=["read-only", "full"],
)
def test_requests_do_not_fail_with_the_log(data_dir: Path, template: Template, break_it: str, mend_it: str) -> None:
    async def call(client: Client) -> None:
        running = client.app._running
        connection = running.directory.auxiliary._writer.connection
        connection.execute(f"PRAGMA {break_it}").fetchall()
        for _ in range(600):
            assert (await client("GET", "/api/collections/posts/records")).status == 200
        await asyncio.to_thread(running.activity.flush)
        listed = await client("GET", "/api/logs?filter=message~'posts'", token=template.root_token)
        assert (listed.status, listed.json()["totalItems"]) == (200, 0)
        connection.execute(f"PRAGMA {mend_it}").fetchall()
        await asyncio.to_thread(running.activity.flush)
        listed = await client("GET", "/api/logs?filter=message~'posts'", token=template.root_token)
        assert listed.json()["totalItems"] == 600

    directory = open_directory(data_dir)
    with directory.auxiliary.write() as tx:
        tx.run("DELETE FROM _logs")
    directory.close()
    run(data_dir, call)
