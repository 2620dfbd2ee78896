"""The house itself: sizes, names, exports, and that what is written about the project is so."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rowcast

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "rowcast").rglob("*.py"))
LOCKS = ("requirements.lock", "requirements-dev.lock", "tests/e2e/sdk/package-lock.json")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

MAX_LINES = 400
HARD_MAX_LINES = 600
LONG_FILES: dict[str, str] = {}
"""Files over MAX_LINES with the reason why they are not split."""

DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager", "managers", "service", "services"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_module_is_short_and_says_what_it_owns(path: Path) -> None:
    text = path.read_text()
    lines = text.count("\n")
    assert lines <= HARD_MAX_LINES
    assert lines <= MAX_LINES or relative(path) in LONG_FILES, f"{lines} lines: split it by noun"
    assert not text or ast.get_docstring(ast.parse(text)), "no docstring"


def test_long_files_are_still_long() -> None:
    for name in LONG_FILES:
        assert (ROOT / name).read_text().count("\n") > MAX_LINES, f"{name} can leave the list"


def test_no_module_is_a_drawer() -> None:
    assert not [relative(path) for path in SOURCES if path.stem in DRAWERS or path.parent.name in DRAWERS]


def test_packages_hold_reexports_or_protocols_only() -> None:
    for path in SOURCES:
        if path.name != "__init__.py":
            continue
        functions = [
            node.name
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "__getattr__"
        ]
        assert not functions, f"{relative(path)} has functions: {functions}"


def test_public_names_are_pinned() -> None:
    exported: list[str] = rowcast.__all__
    assert exported == sorted(exported)
    assert exported == ["App", "Client", "Config", "__version__"]
    assert all(hasattr(rowcast, name) for name in exported)


def test_changelog_and_version_agree() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    released = headings[1:]
    assert not released or released[0] == rowcast.__version__


@pytest.mark.parametrize("name", LOCKS)
def test_lock_file_names_no_host(name: str) -> None:
    assert not re.search(r"https?:|\bgit\+|--index-url", (ROOT / name).read_text())


def test_every_dependency_is_locked_with_hashes() -> None:
    build, dev = PROJECT["dependency-groups"]["build"], PROJECT["dependency-groups"]["dev"]
    extras = [each for group in PROJECT["project"]["optional-dependencies"].values() for each in group]
    needed = [*PROJECT["project"]["dependencies"], *extras, *build]
    wanted = {"requirements.lock": needed, "requirements-dev.lock": dev}
    for name, requirements in wanted.items():
        text = (ROOT / name).read_text()
        locked = set(re.findall(r"^([a-z0-9-]+)==\S+.*\\\n    --hash=sha256:", text, re.MULTILINE))
        for requirement in requirements:
            if isinstance(requirement, str):
                package = re.split(r"[<>=!~ \[]", requirement)[0].replace("_", "-").lower()
                assert package in locked, f"{package} is not in {name}: make lock"


def test_both_lock_files_agree() -> None:
    pins = [dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE)) for name in LOCKS[:2]]
    shared = pins[0].keys() & pins[1].keys()
    assert {name: pins[0][name] for name in shared} == {name: pins[1][name] for name in shared}


def test_make_targets_that_are_written_about_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    for page in pages:
        for target in re.findall(r"(?:`|^|SE=\S+ |CE=\S+ )make ([a-z]+)", page.read_text(), re.MULTILINE):
            assert target in targets, f"{relative(page)} speaks of make {target}"


def test_ci_runs_what_the_readme_names() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "make test" in script
    assert "make check" in script
    assert "\nmake test " in (ROOT / "README.md").read_text()


def test_layers_are_written_about() -> None:
    page = (ROOT / "docs" / "internals" / "layout.md").read_text()
    for path in (ROOT / "src" / "rowcast").iterdir():
        if path.name.startswith(("__", "py.typed")):
            continue
        assert f"`{path.stem}`" in page, f"docs/internals/layout.md does not know {path.stem}"


def claims(page: Path) -> list[tuple[str, str]]:
    """Return the tests that a page names, as file below tests/ and function; "" is the whole file.

    A function without a file is in the file that the line named before it.
    """
    found, file = [], ""
    for line in page.read_text().splitlines():
        for named, function in re.findall(r"`((?:unit|e2e|contract|property|soak)/[^`:]+)?(?:::)?(test_\w+)?`", line):
            file = named or file
            if named or function:
                found.append((file, function))
    return found


def test_what_is_said_to_be_proved_has_a_test() -> None:
    named = claims(ROOT / "docs" / "security.md")
    assert len(named) > 100
    for file, function in named:
        path = ROOT / "tests" / file
        assert path.is_file(), f"docs/security.md names {file}, which is not there"
        if function:
            assert re.search(rf"\bdef {function}\(", path.read_text()), f"{file}::{function}"


def test_every_line_of_the_security_page_names_a_test() -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "security.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith(("| threat", "| ---"))
    ]
    assert len(rows) > 50
    assert not [row for row in rows if not re.search(r"`(?:unit|e2e|contract|property|soak)/", row.rsplit(" | ", 1)[1])]


PLANTED = {
    "upward import": ("errors.py", "import rowcast.schema.collection\n"),
    "input and output in the core": ("filters/planted.py", '"""Planted."""\n\nimport asyncio  # noqa: F401\n'),
    "web server below the edge": ("records/planted.py", '"""Planted."""\n\nimport uvicorn  # noqa: F401\n'),
    "driver outside of its home": ("admin/planted.py", '"""Planted."""\n\nimport apsw  # noqa: F401\n'),
    "server in the client": ("client/planted.py", '"""Planted."""\n\nimport rowcast.errors  # noqa: F401\n'),
    "module without a place": ("helpers.py", '"""Planted."""\n'),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_import_contracts_find_a_planted_fault(fault: str, tmp_path: Path) -> None:
    package = tmp_path / "src" / "rowcast"
    shutil.copytree(ROOT / "src" / "rowcast", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    name, text = PLANTED[fault]
    target = package / name
    target.write_text((target.read_text() if target.exists() else "") + text)
    run = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "BROKEN" in run.stdout or "helpers" in run.stdout + run.stderr, run.stdout + run.stderr
