from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from rowcast.diagnostics import JSONFormatter, LogLevel, TextFormatter, configure

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJpZCI6InN5d2JoZWNuaDQ2cmhtMCJ9.UXgO3j-0BumcugrFjbd7j0M4"


def record(message: str, *args: object, level: int = logging.WARNING, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("rowcast.storage", level, "file.py", 1, message, args, None)
    made.created = 1_700_000_000.1239
    vars(made).update(extra)
    return made


def raised() -> Any:
    try:
        raise ValueError(f"with {TOKEN}")
    except ValueError as error:
        return type(error), error, error.__traceback__


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (record("took %d s", 5), "WARNING storage: took 5 s"),
        (record("ok", level=logging.INFO, status=200, path="/a b", who=""),
         'INFO    storage: ok status=200 path="/a b" who=""'),
        (record("%s", 'a\nERROR b\x1b[31m"'), 'WARNING storage: a\\nERROR b\\x1b[31m"'),
        (record("x", note='say "a=b"\r\n'), 'WARNING storage: x note="say \\"a=b\\"\\\\r\\\\n"'),
        (record("Bearer %s", TOKEN, url=f"/?token={TOKEN}"), 'WARNING storage: Bearer [token] url="/?token=[token]"'),
        (record("redis://user:secret@host:1/0"), "WARNING storage: redis://user:***@host:1/0"),
    ],
)  # fmt: skip
def test_lines_for_people(given: logging.LogRecord, line: str) -> None:
    assert TextFormatter().format(given) == f"2023-11-14 22:13:20.123Z {line}"


def test_terminals_get_colors() -> None:
    assert "\033[33mWARNING\033[0m storage: x" in TextFormatter(has_colors=True).format(record("x"))


def test_lines_for_programs() -> None:
    line = JSONFormatter().format(record("a\n%s", TOKEN, status=200, path="/", level_="x", what=[1]))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2023-11-14 22:13:20.123Z", "level": "warning", "logger": "rowcast.storage",
        "message": "a\n[token]", "status": 200, "path": "/", "level_": "x", "what": "[1]",
    }  # fmt: skip


def test_failures_are_told_whole_and_without_tokens() -> None:
    given = record("failed", exc_info=raised())
    first, *trace = TextFormatter().format(given).split("\n")
    assert first.endswith("storage: failed")
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "ValueError: with [token]"
    assert json.loads(JSONFormatter().format(given))["exception"] == "\n".join(trace)


@pytest.fixture
def untouched() -> Iterator[None]:
    """The loggers as they were, after the test."""
    root, own = logging.getLogger(), logging.getLogger("rowcast")
    before = root.handlers[:], root.level, own.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    own.setLevel(before[2])


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("level", "seen"), [("debug", "dioe"), ("info", "ioe"), ("warning", "oe"), ("error", "e")])
def test_levels_are_for_the_server_and_others_are_heard_from_warnings_on(level: LogLevel, seen: str) -> None:
    stream = io.StringIO()
    configure("json", level, stream)
    own, other = logging.getLogger("rowcast.api"), logging.getLogger("other")
    own.debug("d")
    own.info("i")
    other.info("never")
    own.warning("o")
    own.error("e")
    assert "".join(json.loads(line)["message"] for line in stream.getvalue().splitlines()) == seen
