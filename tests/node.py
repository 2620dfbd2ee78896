"""Runs tests under node's runner and reads what it reports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SDK = Path(__file__).parent / "e2e" / "sdk"
"""Where the official JS SDK is installed."""

_NODE = Path(sys.executable).parent / "node"
_REPORTER = SDK / "reporter.mjs"


@dataclass(frozen=True, slots=True)
class Result:
    """What node's runner told about one test."""

    name: str
    outcome: str
    text: str


class NodeError(Exception):
    """The runner wrote no report; the message holds what it printed."""


def run(suite: Path, environment: Mapping[str, str], *, timeout_s: float) -> list[Result]:
    """Run one file of tests; each line of its output is a result as JSON. Raises NodeError."""
    ended = subprocess.run(
        [
            str(_NODE),
            "--test",
            "--test-force-exit",
            f"--test-reporter={_REPORTER}",
            "--test-reporter-destination=stdout",
            "--test-timeout=60000",
            suite.name,
        ],
        cwd=suite.parent,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    try:
        results = [Result(**json.loads(line)) for line in ended.stdout.splitlines()]
    except ValueError:
        raise NodeError(f"{suite.name} wrote no report:\n{ended.stdout}{ended.stderr}") from None
    if not results:
        raise NodeError(f"{suite.name} reported no test:\n{ended.stderr}")
    return results
