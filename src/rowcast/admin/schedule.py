"""Cron expressions: which ones are valid.

Copies tools/cron/schedule.go, NewSchedule, with its texts. Runs nothing.
"""

from __future__ import annotations

import re

from rowcast.errors import RowcastError

_MACROS = frozenset(("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"))
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


class ScheduleError(RowcastError):
    """A cron expression that can't be understood."""


def check_schedule(text: str) -> None:
    """Raise ScheduleError for what is neither a macro nor five segments (minute, hour, day, month, weekday)."""
    if text in _MACROS:
        return
    segments = text.split(" ")
    if len(segments) != len(_RANGES):
        raise ScheduleError(
            "invalid cron expression - must be a valid macro or to have exactly 5 space separated segments"
        )
    for segment, (low, high) in zip(segments, _RANGES, strict=True):
        for part in segment.split(","):
            _check_part(part, low, high)


def _check_part(part: str, low: int, high: int) -> None:
    span, *steps = part.split("/")
    if len(steps) > 1:
        raise ScheduleError("invalid segment step format - must be in the format */n or 1-30/n")
    step = _number(steps[0]) if steps else 1
    if not 1 <= step <= high and steps:
        raise ScheduleError(f"invalid segment step boundary - the step must be between 1 and the {high}")
    if span == "*":
        return
    first, *rest = span.split("-")
    if len(rest) > 1:
        raise ScheduleError("invalid segment range format - the range must have 1 or 2 parts")
    if not rest:
        if step != 1:
            raise ScheduleError("invalid segment step - step > 1 could be used only with the wildcard or range format")
        if not low <= _number(first) <= high:
            raise ScheduleError("invalid segment value - must be between the min and max of the segment")
        return
    start = _number(first)
    if not low <= start <= high:
        raise ScheduleError(f"invalid segment range minimum - must be between {low} and {high}")
    if not start <= _number(rest[0]) <= high:
        raise ScheduleError(f"invalid segment range maximum - must be between {start} and {high}")


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ScheduleError(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)
