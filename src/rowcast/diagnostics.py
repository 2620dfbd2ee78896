"""What the server tells those who run it: lines on its standard error, for people or as JSON.

Uses the logging of the standard library, so that a host application formats as it
likes. Fields that a call gives with `extra` stand behind the message. Tokens are
never written, and nothing that a client sends can begin a line of its own.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

import msgspec

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; the rest are fields."""

_TOKEN = re.compile(r"eyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]+", re.ASCII)
_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PLAIN = re.compile(r"[^\s\"=]+")

_COLORS = {"DEBUG": "\033[2m", "INFO": "\033[36m", "WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[31m"}
_NO_COLOR = "\033[0m"


def configure(style: LogFormat, level: LogLevel, stream: TextIO | None = None) -> None:
    """Have everything that is logged in this process written to `stream` (standard error)."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter() if style == "json" else TextFormatter(has_colors=stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("rowcast").setLevel(level.upper())


class TextFormatter(logging.Formatter):
    """`2026-01-31 10:00:00.123Z WARNING storage: message key=value`, with a traceback below where there is one."""

    def __init__(self, *, has_colors: bool = False) -> None:
        super().__init__()
        self._has_colors = has_colors

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        level = f"{record.levelname:<7}"
        if self._has_colors:
            level = f"{_COLORS.get(record.levelname, '')}{level}{_NO_COLOR}"
        fields = "".join(f" {name}={_shown(value)}" for name, value in _fields(record).items())
        line = f"{_moment(record)} {level} {record.name.removeprefix('rowcast.')}: {one_line(_message(record))}{fields}"
        trace = _trace(record)
        return f"{line}\n{trace}" if trace else line


class JSONFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the fields, and `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        for name, value in _fields(record).items():
            line.setdefault(name, value if isinstance(value, int | float | None) else hidden(str(value)))
        if trace := _trace(record):
            line["exception"] = trace
        return msgspec.json.encode(line).decode()


def hidden(text: str) -> str:
    """Return a text without the tokens and the passwords of URLs in it."""
    return _PASSWORD.sub(r"\1***@", _TOKEN.sub("[token]", text))


def one_line(text: str) -> str:
    """Return a text with its control characters escaped."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _message(record: logging.LogRecord) -> str:
    return hidden(record.getMessage())


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def _shown(value: object) -> str:
    text = one_line(hidden(str(value)))
    return text if _PLAIN.fullmatch(text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _trace(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return hidden(logging.Formatter().formatException(record.exc_info))
