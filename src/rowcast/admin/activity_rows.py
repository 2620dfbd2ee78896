"""What is logged of a request, and the row that it becomes.

Owns the form of `_logs` rows, and that making one takes a few microseconds. Copies
apis/middlewares.go, logRequest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from urllib.parse import unquote_to_bytes

import msgspec

from rowcast import encoding
from rowcast.config import LogsSettings
from rowcast.errors import ErrorData
from rowcast.schema.generate import ID_ALPHABET, random_text

LEVEL_INFO = 0
LEVEL_ERROR = 8

MOST_ROWS = 36**2
"""How many rows `rows_of` can number."""

LogRow = tuple[str, int, str, str, str]

_ENDINGS = [a + b for a in "0123456789abcdefghijklmnopqrstuvwxyz" for b in "0123456789abcdefghijklmnopqrstuvwxyz"]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One answered request. `at` is a Unix time in seconds, `took_s` in seconds; `error` is "" for success."""

    at: float
    took_s: float
    method: str
    url: str
    status: int
    auth_collection: str
    auth_id: str
    user_ip: str
    remote_ip: str
    referer: str
    user_agent: str
    error: str = ""
    details: ErrorData | None = None

    @property
    def level(self) -> int:
        """The level under which it is logged."""
        return LEVEL_ERROR if self.error else LEVEL_INFO


class _Data(msgspec.Struct, gc=False):
    """The column `data`, its keys in alphabetical order as Go writes maps."""

    auth: str
    auth_id: str | msgspec.UnsetType = msgspec.field(name="authId")
    details: dict[str, object] | msgspec.UnsetType
    error: str | msgspec.UnsetType
    exec_time: float = msgspec.field(name="execTime")
    method: str
    referer: str
    remote_ip: str | msgspec.UnsetType = msgspec.field(name="remoteIP")
    status: int
    type: str
    url: str
    user_agent: str = msgspec.field(name="userAgent")
    user_ip: str | msgspec.UnsetType = msgspec.field(name="userIP")


Noted = tuple[Entry, LogsSettings]
"""An entry and the settings under which it was made."""


def rows_of(entries: Sequence[Noted]) -> Iterator[LogRow]:
    """Yield the rows (id, level, message, data, created) of up to `MOST_ROWS` entries.

    The ids begin with the time, so that the index over them grows at its end.
    """
    prefix = _base36(int(time.time() * 1000)).rjust(8, "0")[-8:] + random_text(5, ID_ALPHABET)
    second, stamp = -1, ""
    for (entry, logs), ending in zip(entries, _ENDINGS, strict=False):
        if (now := int(entry.at)) != second:
            second, stamp = now, time.strftime("%Y-%m-%d %H:%M:%S.", time.gmtime(now))
        millis = min(999, round((entry.at - second) * 1e6) // 1000)
        url = unquote_to_bytes(entry.url).decode("utf-8", "replace") if "%" in entry.url else entry.url
        yield (
            prefix + ending,
            LEVEL_ERROR if entry.error else LEVEL_INFO,
            f"{entry.method} {url}",
            _data(entry, logs),
            f"{stamp}{millis:03d}Z",
        )


def _data(entry: Entry, logs: LogsSettings) -> str:
    unset = msgspec.UNSET
    error, shows_ip = entry.error, logs.log_ip
    # By position: this runs once for each request.
    return encoding.encode(
        _Data(
            entry.auth_collection,
            entry.auth_id if logs.log_auth_id and entry.auth_collection else unset,
            (entry.details.to_json() if entry.details else {}) if error else unset,
            error or unset,
            round(entry.took_s * 1000, 6),
            entry.method,
            entry.referer,
            entry.remote_ip if shows_ip else unset,
            entry.status,
            "request",
            entry.url,
            entry.user_agent,
            entry.user_ip if shows_ip else unset,
        )
    ).decode()


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + text
    return text
