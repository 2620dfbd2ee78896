"""The official JS SDK, unchanged, against a real server: one suite of node tests per file in sdk/.

Each node test is reported as a subtest. A suite that reports nothing fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import oidc_provider
from tests.e2e.server import SUPERUSER, Kind, Server, command, make_directory, running
from tests.e2e.server import environment as server_environment
from tests.node import SDK, NodeError, Result, run

ROOT = Path(__file__).parents[2]
SUITES = sorted(SDK.glob("*.test.mjs"))

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """A provider of OpenID Connect in a process of its own."""
    arguments = [sys.executable, "-m", oidc_provider.__name__]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture
def server(kind: Kind, tmp_path: Path) -> Iterator[Server]:
    """A server of its own: suites change settings, and restart it."""
    data_dir = tmp_path / "pb_data"
    make_directory(kind, data_dir)
    with running(kind, data_dir) as started:
        yield started


def run_suite(suite: Path, server: Server, provider: str) -> list[Result]:
    """Run one file of tests against a server."""
    email, password = SUPERUSER
    environment = {
        "SERVER_URL": server.url,
        "SERVER_KIND": server.kind,
        "SERVER_COMMAND": json.dumps(command(server.kind)),
        **server_environment(server.kind, server.data_dir),
        "SUPERUSER_EMAIL": email,
        "SUPERUSER_PASSWORD": password,
        "MAIL_SINK": json.dumps([sys.executable, "-m", "tests.unit.mail.sink"]),
        "OIDC_URL": provider,
        "OIDC_CLIENT_ID": oidc_provider.CLIENT_ID,
        "OIDC_CLIENT_SECRET": oidc_provider.CLIENT_SECRET,
    }
    try:
        return run(suite, environment, timeout_s=170)
    except NodeError as error:
        pytest.fail(f"{error}\n{server.output()}")


@pytest.mark.parametrize("kind", ["rowcast", "postgres", "reference"], indirect=True)
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name.removesuffix(".test.mjs"))
def test_sdk(suite: Path, server: Server, provider: str, subtests: pytest.Subtests) -> None:
    if not (SDK / "node_modules").is_dir():
        pytest.skip("the JS SDK is not installed: make install")
    for result in run_suite(suite, server, provider):
        with subtests.test(msg=result.name):
            if result.outcome == "skip":
                pytest.skip(result.text)
            assert result.outcome == "pass", f"{result.text}\n{server.output()[-4000:]}"
    assert server.process.poll() is None, f"the server died:\n{server.output()}"


def test_all_suites_are_found() -> None:
    assert {suite.name.removesuffix(".test.mjs") for suite in SUITES} == {
        "auth",
        "batch",
        "backups",
        "collections",
        "fields",
        "files",
        "operators",
        "mails",
        "mfa",
        "otp",
        "oauth2",
        "records",
        "realtime",
        "realtime_rules",
        "resume",
    }
