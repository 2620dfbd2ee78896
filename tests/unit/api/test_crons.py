from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from rowcast import App
from tests.unit.api.client import Client
from tests.unit.api.conftest import Template

SYSTEM = ["__pbDBOptimize__", "__pbMFACleanup__", "__pbOTPCleanup__", "__pbLogsCleanup__"]


def test_jobs_of_users_are_listed_and_run(data_dir: Path, template: Template) -> None:
    async def run() -> None:
        app, ran = App(data_dir), threading.Event()
        app.crons.add("report", "@hourly", ran.set)
        await app.start()
        client = Client(app)
        listed = (await client("GET", "/api/crons", token=template.root_token)).json()
        assert listed[0] == {"id": "report", "expression": "0 * * * *"}
        assert [job["id"] for job in listed[1:]] == SYSTEM
        started = await client("POST", "/api/crons/report", token=template.root_token)
        assert (started.status, started.body) == (204, b"")
        assert await asyncio.to_thread(ran.wait, 10)
        missing = await client("POST", "/api/crons/missing", token=template.root_token)
        assert (missing.status, missing.message) == (404, "Missing or invalid cron job.")
        await app.stop()

    asyncio.run(run())


def test_the_jobs_of_the_system_run(data_dir: Path, template: Template, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        app = App(data_dir)
        await app.start()
        for id in SYSTEM:
            assert (await Client(app)("POST", f"/api/crons/{id}", token=template.root_token)).status == 204
            await asyncio.to_thread(app.crons.wait)
        assert (data_dir / "data.db-wal").stat().st_size < 100_000
        await app.stop()

    asyncio.run(run())
    assert [record for record in caplog.records if record.name == "rowcast.crons"] == []


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/__pbLogsCleanup__")])
def test_jobs_are_for_superusers(data_dir: Path, template: Template, method: str, path: str) -> None:
    async def run() -> None:
        app = App(data_dir)
        client = Client(app)
        assert (await client(method, "/api/crons" + path)).status == 401
        assert (await client(method, "/api/crons" + path, token=template.user_token)).status == 403
        await app.stop()

    asyncio.run(run())
