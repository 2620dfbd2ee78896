"""The module for the JS SDK in clients/js: its own tests, and that the package is whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rowcast
from tests.node import SDK, run

CLIENT = Path(__file__).parents[3] / "clients" / "js"
PACKAGE = json.loads((CLIENT / "package.json").read_text())
SUITES = sorted((CLIENT / "test").glob("*.test.mjs"))


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name.removesuffix(".test.mjs"))
def test_client(suite: Path, subtests: pytest.Subtests) -> None:
    if not (SDK / "node_modules").is_dir():
        pytest.skip("the JS SDK is not installed: make install")
    for result in run(suite, {}, timeout_s=55):
        with subtests.test(msg=result.name):
            assert result.outcome == "pass", result.text


def test_all_suites_are_found() -> None:
    assert [suite.name.removesuffix(".test.mjs") for suite in SUITES] == ["polyfill", "resume", "start"]


def test_package_needs_nothing_and_has_the_version_of_the_server() -> None:
    assert "dependencies" not in PACKAGE
    assert PACKAGE["version"] == rowcast.__version__
    assert PACKAGE["license"] == "MIT"
    assert (CLIENT / "LICENSE").read_text() == (CLIENT.parents[1] / "LICENSE").read_text()


def test_every_file_of_the_package_is_there() -> None:
    named = [*PACKAGE["files"], *PACKAGE["exports"]["."].values(), PACKAGE["types"], "README.md"]
    assert all((CLIENT / name).exists() for name in named)
