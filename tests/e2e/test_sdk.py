"""The official JS SDK, unchanged, against a real server: one suite of node tests per file in sdk/.

Each node test is reported as a subtest. A suite that reports nothing fails.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.server import SUPERUSER, Server, command
from tests.node import SDK, NodeError, Result, run

SUITES = sorted(SDK.glob("*.test.mjs"))

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def run_suite(suite: Path, server: Server) -> list[Result]:
    """Run one file of tests against a server."""
    email, password = SUPERUSER
    environment = {
        "SERVER_URL": server.url,
        "SERVER_KIND": server.kind,
        "SERVER_COMMAND": json.dumps(command(server.kind)),
        "SUPERUSER_EMAIL": email,
        "SUPERUSER_PASSWORD": password,
    }
    try:
        return run(suite, environment, timeout_s=170)
    except NodeError as error:
        pytest.fail(f"{error}\n{server.output()}")


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name.removesuffix(".test.mjs"))
def test_sdk(suite: Path, server: Server, subtests: pytest.Subtests) -> None:
    if not (SDK / "node_modules").is_dir():
        pytest.skip("the JS SDK is not installed: make install")
    for result in run_suite(suite, server):
        with subtests.test(msg=result.name):
            if result.outcome == "skip":
                pytest.skip(result.text)
            assert result.outcome == "pass", f"{result.text}\n{server.output()[-4000:]}"
    assert server.process.poll() is None, f"the server died:\n{server.output()}"


def test_all_suites_are_found() -> None:
    assert {suite.name.removesuffix(".test.mjs") for suite in SUITES} == {
        "auth",
        "backups",
        "collections",
        "fields",
        "files",
        "operators",
        "records",
        "realtime",
        "realtime_rules",
        "resume",
    }
