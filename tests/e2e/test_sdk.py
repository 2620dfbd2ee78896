"""The official JS SDK, unchanged, against a real server: one suite of node tests per file in sdk/.

Each node test is reported as a subtest. A suite that reports nothing fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.server import SUPERUSER, Server

SDK = Path(__file__).parent / "sdk"
SUITES = sorted(SDK.glob("*.test.mjs"))
_NODE = Path(sys.executable).parent / "node"

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@dataclass(frozen=True, slots=True)
class Result:
    """What node's runner told about one test."""

    name: str
    outcome: str
    text: str


def run_suite(suite: Path, server: Server) -> list[Result]:
    """Run one file of tests under node's runner; each line of its output is a result as JSON."""
    email, password = SUPERUSER
    run = subprocess.run(
        [str(_NODE), "--test", "--test-reporter=./reporter.mjs", "--test-timeout=60000", suite.name],
        cwd=SDK,
        env={
            "PATH": os.environ["PATH"],
            "SERVER_URL": server.url,
            "SERVER_KIND": server.kind,
            "SUPERUSER_EMAIL": email,
            "SUPERUSER_PASSWORD": password,
        },
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    try:
        results = [Result(**json.loads(line)) for line in run.stdout.splitlines()]
    except ValueError:
        pytest.fail(f"{suite.name} wrote no report:\n{run.stdout}{run.stderr}\n{server.output()}")
    assert results, f"{suite.name} reported no test:\n{run.stderr}\n{server.output()}"
    return results


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
        "collections",
        "fields",
        "records",
        "realtime",
        "realtime_rules",
    }
