"""What is logged of a request, and the row that it becomes.

Owns the form of `_logs` rows, and that making one takes a few microseconds. Copies
apis/middlewares.go, logRequest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from rowcast import encoding
from rowcast.schema.generate import ID_ALPHABET, random_text

LEVEL_INFO = 0
LEVEL_ERROR = 8

LogRow = tuple[str, int, str, str, str]

_ENDINGS = [a + b for a in "0123456789abcdefghijklmnopqrstuvwxyz" for b in "0123456789abcdefghijklmnopqrstuvwxyz"]


class Entry(msgspec.Struct, array_like=True, gc=False):
    """One answered request. `at` is a Unix time in seconds, `took_s` in seconds; `error` is "" for success.

    Addresses and the account's id are None where they are not to be logged. The order of
    the fields is that of stored entries: new ones go to the end, with a default.
    """

    at: float
    took_s: float
    method: str
    url: str
    status: int
    auth_collection: str
    auth_id: str | None
    user_ip: str | None
    remote_ip: str | None
    referer: str
    user_agent: str
    error: str = ""
    details: dict[str, Any] | None = None

    @property
    def level(self) -> int:
        """The level under which it is logged."""
        return LEVEL_ERROR if self.error else LEVEL_INFO


class _Data(msgspec.Struct, gc=False):
    """The column `data`, its keys in alphabetical order as Go writes maps."""

    auth: str
    auth_id: str | msgspec.UnsetType = msgspec.field(name="authId")
    details: dict[str, Any] | msgspec.UnsetType
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


def new_sheaf_id() -> str:
    """Return an id of 15 characters for entries that are kept together, which ascends with the time."""
    return _base36(time.time_ns() // 1000).rjust(11, "0")[-11:] + random_text(4, ID_ALPHABET)


def rows_of(entries: Sequence[Entry]) -> Iterator[LogRow]:
    """Yield the rows (id, level, message, data, created) of entries.

    The ids begin with the time, so that the index over them grows at its end.
    """
    second, stamp, prefix = -1, "", ""
    for number, (entry, data) in enumerate(zip(entries, _data(entries), strict=True)):
        if not (place := number % len(_ENDINGS)):
            prefix = _base36(int(time.time() * 1000)).rjust(8, "0")[-8:] + random_text(5, ID_ALPHABET)
        if (now := int(entry.at)) != second:
            second, stamp = now, time.strftime("%Y-%m-%d %H:%M:%S.", time.gmtime(now))
        millis = min(999, round((entry.at - second) * 1e6) // 1000)
        url = unquote_to_bytes(entry.url).decode("utf-8", "replace") if "%" in entry.url else entry.url
        yield (
            prefix + _ENDINGS[place],
            entry.level,
            f"{entry.method} {url}",
            data,
            f"{stamp}{millis:03d}Z",
        )


def _data(entries: Sequence[Entry]) -> list[str]:
    unset = msgspec.UNSET
    return encoding.encode_each(
        [
            _Data(
                auth=entry.auth_collection,
                auth_id=unset if entry.auth_id is None or not entry.auth_collection else entry.auth_id,
                details=entry.details or {} if entry.error else unset,
                error=entry.error or unset,
                exec_time=int(entry.took_s * 1e9) / 1e6,
                method=entry.method,
                referer=entry.referer,
                remote_ip=unset if entry.remote_ip is None else entry.remote_ip,
                status=entry.status,
                type="request",
                url=entry.url,
                user_agent=entry.user_agent,
                user_ip=unset if entry.user_ip is None else entry.user_ip,
            )
            for entry in entries
        ]
    )


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + text
    return text
