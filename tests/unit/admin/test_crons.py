"""Jobs: who is started when, once, and what their failures do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rowcast.admin.crons import CronRunner, Crons
from rowcast.admin.schedule import ScheduleError
from rowcast.storage.directory import DataDir, open_directory

MINUTE = int(datetime(2026, 1, 4, 10, 5, tzinfo=UTC).timestamp())


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[DataDir]:
    opened = open_directory(tmp_path / "pb_data")
    yield opened
    opened.close()


@pytest.fixture
def crons() -> Iterator[Crons]:
    made = Crons()
    yield made
    made.wait()


def noted(into: list[str], name: str) -> Callable[[], None]:
    return lambda: into.append(name)


def tick(directory: DataDir, crons: Crons, *minutes: int) -> None:
    runner = CronRunner(crons, directory.data)
    for minute in minutes:
        runner.tick(minute)
        crons.wait()


def test_the_jobs_that_are_due_run_and_no_others(directory: DataDir, crons: Crons) -> None:
    ran: list[str] = []
    for expression in ("* * * * *", "5 10 * * 0", "5 10 4 1 *", "6 * * * *", "5 10 * * 1", "5 11 * * *"):
        crons.add(expression, expression, noted(ran, expression))
    tick(directory, crons, MINUTE)
    assert sorted(ran) == ["* * * * *", "5 10 * * 0", "5 10 4 1 *"]


def test_users_come_first_by_id_then_the_system_in_order_of_adding(crons: Crons) -> None:
    for id in ("__pbB__", "b", "__pbA__", "a", "b"):
        crons.add(id, "@daily", print)
    assert [(job.id, job.expression) for job in crons.jobs()] == [
        ("a", "0 0 * * *"), ("b", "0 0 * * *"), ("__pbB__", "0 0 * * *"), ("__pbA__", "0 0 * * *"),
    ]  # fmt: skip


def test_adding_replaces_and_removing_forgets(directory: DataDir, crons: Crons) -> None:
    ran: list[str] = []
    crons.add("a", "* * * * *", noted(ran, "old"))
    crons.add("a", "* * * * *", noted(ran, "new"))
    crons.add("b", "* * * * *", noted(ran, "gone"))
    crons.remove("b")
    crons.remove("missing")
    tick(directory, crons, MINUTE)
    assert ran == ["new"]
    assert crons.run("b") is False


def test_what_can_not_be_a_job_is_refused(crons: Crons) -> None:
    async def later() -> None: ...

    with pytest.raises(TypeError, match="plain function"):
        crons.add("a", "* * * * *", later)
    with pytest.raises(ScheduleError):
        crons.add("a", "* * *", print)
    assert crons.jobs() == []


def test_two_processes_run_a_minute_once(directory: DataDir, tmp_path: Path) -> None:
    other = open_directory(tmp_path / "pb_data")
    ran: list[str] = []
    here, there = Crons(), Crons()
    for crons, name in ((here, "here"), (there, "there")):
        crons.add("a", "* * * * *", noted(ran, name))
        crons.add(name, "* * * * *", noted(ran, f"only {name}"))
    try:
        for minute in (MINUTE, MINUTE + 60, MINUTE + 120):
            for crons, storage in ((here, directory.data), (there, other.data)):
                CronRunner(crons, storage).tick(minute)
            here.wait()
            there.wait()
            # Too late, as a process is whose clock is behind.
            tick(other, there, minute)
        shared = [name for name in ran if not name.startswith("only")]
        assert len(shared) == 3
        assert ran.count("only here") == ran.count("only there") == 3
    finally:
        other.close()
    with directory.data.read() as reader:
        assert reader.value("SELECT value FROM _params WHERE id = 'rowcast:cron:a'") == '"2026-01-04 10:07:00.000Z"'


def test_a_clock_that_was_wrong_once_does_not_stop_the_jobs(directory: DataDir, crons: Crons) -> None:
    ran: list[str] = []
    crons.add("a", "* * * * *", noted(ran, "a"))
    tick(directory, crons, MINUTE + 365 * 86_400, MINUTE, MINUTE, MINUTE + 60)
    assert ran == ["a"] * 3


def test_a_manual_run_needs_no_turn_and_takes_none(directory: DataDir, crons: Crons) -> None:
    ran: list[str] = []
    crons.add("a", "* * * * *", noted(ran, "a"))
    assert crons.run("a")
    crons.wait()
    tick(directory, crons, MINUTE)
    assert crons.run("a")
    crons.wait()
    assert ran == ["a"] * 3


def test_a_job_that_still_runs_is_not_started_again(
    directory: DataDir, crons: Crons, caplog: pytest.LogCaptureFixture
) -> None:
    started, end = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def job() -> None:
        threads.append(threading.current_thread())
        started.set()
        end.wait(10)

    crons.add("slow", "* * * * *", job)
    runner = CronRunner(crons, directory.data)
    runner.tick(MINUTE)
    assert started.wait(10)
    runner.tick(MINUTE + 60)
    crons.run("slow")
    crons.wait(0)
    end.set()
    crons.wait()
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
    assert [record.message for record in caplog.records] == [
        "the cron job slow still runs, so it is not started again",
        "the cron job slow still runs, so it is not started again",
        "rowcast-cron-slow did not end within 0 s",
    ]
    tick(directory, crons, MINUTE + 120)
    assert len(threads) == 2


def test_a_failure_is_logged_and_the_next_run_is_not_kept_off(
    directory: DataDir, crons: Crons, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("no luck")

    crons.add("bad", "* * * * *", fail)
    tick(directory, crons, MINUTE, MINUTE + 60)
    assert [record.getMessage() for record in caplog.records] == ["the cron job bad failed"] * 2
    assert "no luck" in str(caplog.records[0].exc_info)


def test_the_runner_ticks_once_a_minute_whatever_the_clock_does(directory: DataDir, crons: Crons) -> None:
    # Woken a little early, then in time, then after the machine has slept for ten minutes.
    moments = iter([30.0, 30.0, 59.99, 60.01, 61.0, 700.0, 701.0, 719.0])
    slept: list[float] = []
    ran: list[str] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.to_thread(crons.wait)

    crons.add("a", "* * * * *", noted(ran, "a"))
    runner = CronRunner(crons, directory.data, clock=lambda: MINUTE + next(moments), sleep=sleep)
    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(runner.run())
    assert len(ran) == 2
    assert [round(seconds, 2) for seconds in slept] == [30.0, 0.01, 59.0, 19.0, 1.0]
