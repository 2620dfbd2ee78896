from __future__ import annotations

import pytest

from rowcast.admin.schedule import ScheduleError, check_schedule


@pytest.mark.parametrize("text", ["@daily", "* * * * *", "*/5 0-23 1,15 1-12/3 0-6", "59 23 31 12 6"])
def test_expressions_that_are_taken(text: str) -> None:
    check_schedule(text)


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
        check_schedule(text)
    assert reason in str(raised.value)
