"""Jobs that run at certain minutes: the registry, and the task that starts what is due.

A job runs in a thread of its own, never on the event loop, and never twice at the
same time in one process. Of several processes on one database the one that claims
the minute first runs the job: the claim is a row of `_params`, so that no table is
needed that the reference does not know. Knows nothing of what the jobs do.
Copies tools/cron/cron.go; minutes are UTC.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from rowcast.admin.schedule import parse_schedule
from rowcast.schema import dates
from rowcast.storage import Storage

logger = logging.getLogger("rowcast.crons")

SYSTEM_PREFIX = "__pb"
"""What the ids of the reference's own jobs begin with; others should not."""

_MINUTE_S = 60
_DAY_S = 86_400
_STOP_S = 10.0
"""How long `wait` gives the jobs that run when the process stops."""


class Job:
    """A call and its schedule. `expression` is the one that was given, a macro replaced by its segments."""

    def __init__(self, id: str, expression: str, call: Callable[[], object]) -> None:
        self.id = id
        self.schedule = parse_schedule(expression)
        self.call = call
        self.is_running = False

    @property
    def expression(self) -> str:
        """The five segments."""
        return self.schedule.expression


class Crons:
    """The jobs of one application. Safe to use from several threads."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def add(self, id: str, expression: str, call: Callable[[], object]) -> None:
        """Have `call` run in a thread at the minutes (UTC) that `expression` names.

        A job with the same id is replaced. Raises ScheduleError for an expression that
        can't be understood, TypeError for a coroutine function.
        """
        if inspect.iscoroutinefunction(call):
            raise TypeError(f"the job {id!r} must be a plain function: jobs run in threads, not on the event loop")
        job = Job(id, expression, call)
        with self._lock:
            self._jobs.pop(id, None)
            self._jobs[id] = job

    def remove(self, id: str) -> None:
        """Forget a job; one that runs just now ends by itself."""
        with self._lock:
            self._jobs.pop(id, None)

    def jobs(self) -> list[Job]:
        """Return the jobs as the API lists them: those of users by id, then the system's in order of adding."""
        with self._lock:
            jobs = list(self._jobs.values())
        own = sorted((job for job in jobs if not job.id.startswith(SYSTEM_PREFIX)), key=lambda job: job.id)
        return own + [job for job in jobs if job.id.startswith(SYSTEM_PREFIX)]

    def run(self, id: str) -> bool:
        """Start a job now, whatever its schedule; return whether there is one. One that runs already is left alone."""
        with self._lock:
            job = self._jobs.get(id)
        if job is not None:
            self.start(job, lambda: True)
        return job is not None

    def start(self, job: Job, is_wanted: Callable[[], bool]) -> None:
        """Start a job in a thread, which asks `is_wanted` first. What fails is logged."""
        with self._lock:
            if job.is_running:
                logger.warning("the cron job %s still runs, so it is not started again", job.id)
                return
            job.is_running = True
            # A daemon: a job that hangs must not keep the process from ending.
            thread = threading.Thread(
                target=self._work, args=(job, is_wanted), name=f"rowcast-cron-{job.id}", daemon=True
            )
            self._threads.add(thread)
        thread.start()

    def wait(self, timeout_s: float = _STOP_S) -> None:
        """Wait until no job runs; those that take longer are logged and left alone."""
        end = time.monotonic() + timeout_s
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                logger.warning("%s did not end within %g s", thread.name, timeout_s)

    def _work(self, job: Job, is_wanted: Callable[[], bool]) -> None:
        try:
            if is_wanted():
                started = time.monotonic()
                job.call()
                logger.debug("the cron job %s took %.1f s", job.id, time.monotonic() - started)
        except Exception:
            logger.exception("the cron job %s failed", job.id)
        finally:
            with self._lock:
                job.is_running = False
                self._threads.discard(threading.current_thread())


class CronRunner:
    """Starts the jobs that are due. `clock` gives seconds since 1970, `sleep` waits that many on the event loop."""

    def __init__(
        self,
        crons: Crons,
        storage: Storage,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._crons = crons
        self._storage = storage
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> None:
        """Tick at the beginning of each minute until cancelled.

        Minutes that passed unseen (a machine that slept, a clock set forward) are not made up for.
        """
        last = int(self._clock()) // _MINUTE_S
        while True:
            now = self._clock()
            minute = int(now) // _MINUTE_S
            if minute == last:
                await self._sleep((last + 1) * _MINUTE_S - now)
                continue
            last = minute
            self.tick(minute * _MINUTE_S)

    def tick(self, minute: int) -> None:
        """Start what is due at a minute, given by its first second since 1970."""
        moment = datetime.fromtimestamp(minute, UTC)
        for job in self._crons.jobs():
            if job.schedule.is_due(moment):
                self._crons.start(job, lambda job=job: self._claim(job.id, minute))  # type: ignore[misc]

    def _claim(self, job_id: str, minute: int) -> bool:
        """Whether this process is the one that runs the job at that minute. Runs in the job's thread.

        A claim that lies days ahead comes from a clock that was wrong, and counts for nothing.
        """
        now = dates.now()
        with self._storage.write() as transaction:
            changed = transaction.run(
                "INSERT INTO _params (id, value, created, updated) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET value = excluded.value, updated = excluded.updated"
                " WHERE _params.value < excluded.value OR _params.value > ?",
                (f"rowcast:cron:{job_id}", _stamp(minute), now, now, _stamp(minute + _DAY_S)),
            )
        return changed > 0


def _stamp(seconds: int) -> str:
    """Return a moment as a JSON string, which is what the column holds; the order of texts is that of time."""
    return f'"{dates.from_unix(seconds)}"'
