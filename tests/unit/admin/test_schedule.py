from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rowcast.admin.schedule import ScheduleError, parse_schedule


@pytest.mark.parametrize("text", ["@daily", "* * * * *", "*/5 0-23 1,15 1-12/3 0-6", "59 23 31 12 6"])
def test_expressions_that_are_taken(text: str) -> None:
    assert parse_schedule(text).is_due(datetime(2022, 12, 31, 23, 59, tzinfo=UTC)) is (
        text in ("* * * * *", "59 23 31 12 6")
    )


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("1 2 3 4 5", ({1}, {2}, {3}, {4}, {5})),
        ("*/15 */6 */10 */5 */3", ({0, 15, 30, 45}, {0, 6, 12, 18}, {1, 11, 21, 31}, {1, 6, 11}, {0, 3, 6})),
        ("1-9/4,58 * 1 1 1,2-5/2", ({1, 5, 9, 58}, set(range(24)), {1}, {1}, {1, 2, 4})),
        ("@weekly", ({0}, {0}, set(range(1, 32)), set(range(1, 13)), {0})),
        ("@yearly", ({0}, {0}, {1}, {1}, set(range(7)))),
    ],
)
def test_expressions_name_minutes(text: str, slots: tuple[set[int], ...]) -> None:
    schedule = parse_schedule(text)
    found = (schedule.minutes, schedule.hours, schedule.days, schedule.months, schedule.weekdays)
    assert tuple(set(part) for part in found) == slots


@pytest.mark.parametrize(
    ("text", "moment", "is_due"),
    [
        ("5 1 1 1 *", (2026, 1, 1, 1, 5), True),
        ("5 1 1 1 *", (2026, 1, 1, 1, 6), False),
        ("* * * * 0", (2026, 1, 4, 0, 0), True),  # a Sunday
        ("* * * * 6", (2026, 1, 4, 0, 0), False),
        ("0 0 1 * 1", (2026, 1, 1, 0, 0), False),  # the day fits, the weekday does not: both must
        ("* * 1,2,5,15-18/2 * *", (2026, 1, 17, 1, 1), True),
        ("* * 1,2,5,15-18/2 * *", (2026, 1, 18, 1, 1), False),
        ("0 0 31 2 *", (2026, 3, 3, 0, 0), False),
    ],
)
def test_a_minute_is_due_where_all_parts_match(text: str, moment: tuple[int, int, int, int, int], is_due: bool) -> None:
    assert parse_schedule(text).is_due(datetime(*moment, 59, tzinfo=UTC)) is is_due


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "5 space separated"),
        ("* * * *", "5 space separated"),
        ("@never", "5 space separated"),
        ("60 * * * *", "between the min and max"),
        ("x * * * *", 'strconv.Atoi: parsing "x": invalid syntax'),
        ("*/0 * * * *", "must be between 1 and the 59"),
        ("*/60 * * * *", "must be between 1 and the 59"),
        ("*/2/3 * * * *", "in the format */n"),
        ("5/2 * * * *", "step > 1"),
        ("1-2-3 * * * *", "1 or 2 parts"),
        ("* 24-25 * * *", "range minimum - must be between 0 and 23"),
        ("* 5-4 * * *", "range maximum - must be between 5 and 23"),
        ("* * 0 * *", "between the min and max"),
    ],
)
def test_expressions_that_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ScheduleError, match=r".*") as raised:
        parse_schedule(text)
    assert reason in str(raised.value)
