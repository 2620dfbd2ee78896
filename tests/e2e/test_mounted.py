"""rowcast inside another ASGI application, under a server that knows nothing of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import TEXT_FIELD, Api, EventStream
from tests.e2e.server import free_port, make_directory

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

HOST = """
from contextlib import asynccontextmanager

import rowcast
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

backend = rowcast.App(data_dir="pb_data")


@asynccontextmanager
async def lifespan(app):
    await backend.start()
    yield
    await backend.stop()


async def home(request):
    return PlainTextResponse("home of the host")


app = Starlette(routes=[Route("/", home), Mount("/pb", app=backend)], lifespan=lifespan)
lazy = Starlette(routes=[Mount("/pb", app=rowcast.App(data_dir="pb_data"))])
alone = rowcast.App(data_dir="pb_data")
"""


@pytest.fixture
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a plain uvicorn that serves the name of `host.py` that the test is parametrised with."""
    make_directory("rowcast", tmp_path / "pb_data")
    (tmp_path / "host.py").write_text(HOST)
    port = free_port()
    options = ["--port", str(port), "--log-level", "warning", "--timeout-graceful-shutdown", "2"]
    process = subprocess.Popen([sys.executable, "-m", "uvicorn", f"host:{request.param}", *options], cwd=tmp_path)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                Api(f"http://127.0.0.1:{port}").call("GET", "/pb/api/health")
                break
            except ConnectionRefusedError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def use(api: Api) -> None:
    """Sign in, write, and hear of it."""
    api.sign_in()
    api.create_open_collection("notes", TEXT_FIELD)
    stream = EventStream(api, ["notes/*"])
    record = api.ok("POST", "/api/collections/notes/records", {"title": "one"})
    assert f'"id":"{record["id"]}"' in stream.frame()
    assert api.ok("GET", f"/api/collections/notes/records/{record['id']}") == record
    assert api.call("GET", "/api/nothing")[0] == 404


@pytest.mark.parametrize("serve", ["app", "lazy"], indirect=True)
def test_mounted_application_does_all_of_it(serve: str) -> None:
    use(Api(serve, prefix="/pb"))


@pytest.mark.parametrize("serve", ["alone"], indirect=True)
def test_any_asgi_server_can_serve_it(serve: str) -> None:
    use(Api(serve))


@pytest.mark.parametrize("serve", ["app"], indirect=True)
def test_the_host_keeps_its_own_routes(serve: str) -> None:
    api = Api(serve)
    assert api.text("/") == "home of the host"
