"""Cron expressions: which ones are valid, and the minutes that they name.

Copies tools/cron/schedule.go, with its texts. Runs nothing and reads no clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from rowcast.errors import RowcastError

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


class ScheduleError(RowcastError):
    """A cron expression that can't be understood."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The minutes that an expression names; `expression` has a macro replaced by its segments.

    All five parts must match, the days of the month and of the week as well (0 is Sunday).
    """

    expression: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def is_due(self, moment: datetime) -> bool:
        """Whether the minute of `moment`, in its own time zone, is one of them."""
        return (
            moment.minute in self.minutes
            and moment.hour in self.hours
            and moment.day in self.days
            and moment.month in self.months
            and moment.isoweekday() % 7 in self.weekdays
        )


def parse_schedule(text: str) -> Schedule:
    """Read a macro or five segments (minute, hour, day, month, weekday). Raises ScheduleError."""
    text = _MACROS.get(text, text)
    segments = text.split(" ")
    if len(segments) != len(_RANGES):
        raise ScheduleError(
            "invalid cron expression - must be a valid macro or to have exactly 5 space separated segments"
        )
    slots = [
        frozenset(value for part in segment.split(",") for value in _parse_part(part, low, high))
        for segment, (low, high) in zip(segments, _RANGES, strict=True)
    ]
    return Schedule(text, *slots)


def _parse_part(part: str, low: int, high: int) -> range:
    span, *steps = part.split("/")
    if len(steps) > 1:
        raise ScheduleError("invalid segment step format - must be in the format */n or 1-30/n")
    step = _number(steps[0]) if steps else 1
    if steps and not 1 <= step <= high:
        raise ScheduleError(f"invalid segment step boundary - the step must be between 1 and the {high}")
    if span == "*":
        return range(low, high + 1, step)
    first, *rest = span.split("-")
    if len(rest) > 1:
        raise ScheduleError("invalid segment range format - the range must have 1 or 2 parts")
    if not rest:
        if step != 1:
            raise ScheduleError("invalid segment step - step > 1 could be used only with the wildcard or range format")
        only = _number(first)
        if not low <= only <= high:
            raise ScheduleError("invalid segment value - must be between the min and max of the segment")
        return range(only, only + 1)
    start = _number(first)
    if not low <= start <= high:
        raise ScheduleError(f"invalid segment range minimum - must be between {low} and {high}")
    end = _number(rest[0])
    if not start <= end <= high:
        raise ScheduleError(f"invalid segment range maximum - must be between {start} and {high}")
    return range(start, end + 1, step)


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ScheduleError(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)
