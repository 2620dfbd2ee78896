"""Dates as PocketBase writes them: "2022-01-01 10:00:00.123Z", "" for none.

A date is always its text in UTC with milliseconds, so that dates compare as
texts in SQL, in Python and in clients alike. `parse` takes the layouts that the
reference takes (tools/types/datetime.go over spf13/cast, internal/time.go) and
returns "" for everything else; fractions of a millisecond are cut off, not rounded.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

_MONTHS = {
    name: i
    for i, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1)
}
_DAY = r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d\d):(?P<second>\d\d)(?P<fraction>[.,]\d+)?"
_SHORT_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)"
_MONTH = r"(?P<month>[A-Za-z]{3})"
_ZONE = r"(?:[A-Z]{3}|[A-Z]{3}T|WITA|ChST|MeST|[A-Z]{4}T|GMT[+-]\d{1,2}|[+-]\d\d)"
_OFFSET = r"(?P<sign>[+-])(?P<offset_hour>\d\d)(?P<offset_minute>\d\d)"
_COLON_OFFSET = r"(?P<sign>[+-])(?P<offset_hour>\d\d):(?P<offset_minute>\d\d)"
_WEEKDAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_WEEKDAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"

# Each is one layout of the reference or several that differ only in the zone; a text fits at most one.
_LAYOUTS = tuple(
    re.compile(layout.replace(" ", " +"), re.ASCII | re.IGNORECASE)
    for layout in (
        _DAY,
        rf"{_DAY}T{_CLOCK}(?:Z|{_COLON_OFFSET})?",
        rf"{_DAY}T{_CLOCK}{_OFFSET}",
        rf"{_DAY} {_CLOCK}(?:Z|{_COLON_OFFSET})?",
        rf"{_DAY} {_CLOCK}(?: )?{_OFFSET}",
        rf"{_DAY} {_CLOCK} {_OFFSET} {_ZONE}",
        rf"{_DAY} {_CLOCK} {_COLON_OFFSET}",
        rf"{_WEEKDAY}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_CLOCK} (?:{_OFFSET}|{_ZONE})",
        rf"(?P<day>\d\d) {_MONTH} (?P<short_year>\d\d) {_SHORT_CLOCK} (?:{_OFFSET}|{_ZONE})",
        rf"{_LONG_WEEKDAY}, (?P<day>\d\d)-{_MONTH}-(?P<short_year>\d\d) {_CLOCK} {_ZONE}",
        rf"{_WEEKDAY} {_MONTH} (?P<day>\d{{1,2}}) {_CLOCK}(?: {_ZONE})? (?P<year>\d{{4}})",
        rf"{_WEEKDAY} {_MONTH} (?P<day>\d\d) {_CLOCK} {_OFFSET} (?P<year>\d{{4}})",
        rf"(?P<day>\d\d) {_MONTH} (?P<year>\d{{4}})",
        rf"{_SHORT_CLOCK}(?P<half>[AP]M)",
        rf"{_MONTH} (?P<day>\d{{1,2}}) {_CLOCK}",
    )
)
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_ZERO = "0001-01-01 00:00:00.000Z"


def now() -> str:
    """Return the current time."""
    return from_unix(time.time())


def from_unix(seconds: float) -> str:
    """Return the date that is `seconds` after 1970."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def to_unix(text: str) -> float:
    """Return a date of this module's form in seconds since 1970; 0 for ""."""
    if not text:
        return 0.0
    return datetime.fromisoformat(text[:-1] + "+00:00").timestamp()


def is_canonical(text: str) -> bool:
    """Whether a text has the form of a stored date. Says nothing about its numbers."""
    return len(text) == 24 and text[10] == " " and text[19] == "." and text[23] == "Z"


def parse(raw: object) -> str:
    """Return `raw` in the form of this module, "" where it isn't a date.

    Numbers are never dates: the reference reads them as floats and then as texts.
    """
    if not isinstance(raw, str) or not raw:
        return ""
    if _CANONICAL.fullmatch(raw) and raw[:4] != "0000":
        try:
            datetime.fromisoformat(raw)
        except ValueError:
            return ""
        return raw if raw != _ZERO else ""
    for layout in _LAYOUTS:
        if (match := layout.fullmatch(raw)) is not None:
            return _assemble(match.groupdict())
    return ""


def _assemble(parts: dict[str, str | None]) -> str:
    year = _year(parts)
    month, day = _month(parts.get("month")), int(parts.get("day") or 1)
    hour, minute, second = _hour(parts), int(parts.get("minute") or 0), int(parts.get("second") or 0)
    # The calendar repeats after 400 years, and Python's starts with year 1.
    cycle = 2000 + year % 400
    try:
        moment = datetime(cycle, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return ""
    offset = _offset(parts)
    if offset is None:
        return ""
    moment -= offset
    year += moment.year - cycle
    fraction = (parts.get("fraction") or ".")[1:4].ljust(3, "0")
    if not 0 <= year <= 9999:
        return ""
    text = f"{year:04d}-{moment:%m-%d %H:%M:%S}.{fraction}Z"
    return text if text != _ZERO else ""


def _year(parts: dict[str, str | None]) -> int:
    if short := parts.get("short_year"):
        return int(short) + (1900 if int(short) >= 69 else 2000)
    return int(parts.get("year") or 0)


def _month(text: str | None) -> int:
    if text is None:
        return 1
    return int(text) if text.isdigit() else _MONTHS.get(text.lower(), 0)


def _hour(parts: dict[str, str | None]) -> int:
    hour = int(parts.get("hour") or 0)
    half = parts.get("half")
    if half is None:
        return hour
    if not 0 <= hour <= 12:
        return -1
    return hour % 12 + (12 if half.upper() == "PM" else 0)


def _offset(parts: dict[str, str | None]) -> timedelta | None:
    if parts.get("sign") is None:
        return timedelta()
    hours, minutes = int(parts["offset_hour"] or 0), int(parts["offset_minute"] or 0)
    if hours > 24 or minutes > 60:
        return None
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if parts["sign"] == "-" else offset
