"""The CPU time of what every request pays for limits and its log, in this process and without a network."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rowcast.admin.activity import ActivityLog
from rowcast.admin.activity_rows import Entry
from rowcast.api.limits import RateLimits
from rowcast.api.request import Request
from rowcast.config import RateLimitsSettings, Settings, SettingsRef
from rowcast.errors import TooManyRequestsError
from rowcast.schema.collection import Collection
from rowcast.storage.directory import open_directory
from rowcast.windows import Windows
from rowcast.windows.memory import MemoryWindows
from rowcast.windows.shared import SharedWindows

REQUEST_LOG = "request log, until it is committed"

_COUNT = 50_000
_BATCH = 2_048
_POSTS = Collection(id="p", name="posts")


@dataclass(frozen=True, slots=True)
class Row:
    """One cost, in microseconds of CPU."""

    name: str
    cpu_us: float


def measure() -> list[Row]:
    """Measure all of them; takes some ten seconds."""
    return [Row(name, cost) for name, cost in (*_limits(), *_request_log())]


def _limits() -> list[tuple[str, float]]:
    """Return the cost of a check under the default rules, by the number of addresses."""

    def asks(number: int) -> Request:
        headers: list[tuple[bytes, bytes]] = []
        made = Request(
            {"type": "http", "method": "GET", "path": "/api/x", "raw_path": b"/api/x", "query_string": b"",
             "headers": headers, "root_path": "", "client": None},
            _never,
        )  # fmt: skip
        made.address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        return made

    with tempfile.TemporaryDirectory() as folder:
        return [*_checks("", MemoryWindows, asks), *_checks(" of several processes", lambda: _shared(folder), asks)]


def _shared(folder: str) -> Windows:
    # A file of its own each time, so that no windows are left in it.
    return SharedWindows(Path(folder) / str(time.monotonic_ns()))


def _checks(kind: str, made: Callable[[], Windows], asks: Callable[[int], Request]) -> list[tuple[str, float]]:
    def check(limits: RateLimits, request: Request) -> None:
        with suppress(TooManyRequestsError):
            limits.check_collection(request, _POSTS, ("list",))

    found = []
    for name, addresses in (("1 address", 1), ("10,000 addresses", 10_000), ("a new address each time", _COUNT * 4)):
        windows = made()
        limits = RateLimits(SettingsRef(Settings(rate_limits=RateLimitsSettings(enabled=True))), windows)
        requests = [asks(number) for number in range(min(addresses, _COUNT * 4))]
        if addresses > _COUNT:
            # All windows are taken before it is measured.
            for request in requests[_COUNT:]:
                check(limits, request)
        asked = [requests[number % len(requests)] for number in range(_COUNT)]

        def checks(limits: RateLimits = limits, asked: list[Request] = asked) -> None:
            for request in asked:
                check(limits, request)

        found.append((f"rate limit check{kind}, {name}", _cpu_us(checks, _COUNT)))
        windows.close()
    return found


def _request_log() -> list[tuple[str, float]]:
    """Return the cost of logging a request, from `add` until it is committed, and what sorting it in costs later."""
    with tempfile.TemporaryDirectory() as folder:
        directory = open_directory(Path(folder) / "data")
        log = ActivityLog(directory.auxiliary, SettingsRef(Settings()))
        numbers = itertools.count()

        def add() -> None:
            # Some thousand addresses, each with a character that is escaped.
            url = f"/api/collections/posts/records/{next(numbers) * 7919 % 5_000:015d}?expand=author%2Cteam"
            log.add(
                Entry(
                    at=time.time(), took_s=0.0015, method="GET", url=url,
                    status=200, auth_collection="users", auth_id="u1", user_ip="10.0.0.1", remote_ip="127.0.0.1",
                    referer="", user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
                )
            )  # fmt: skip

        def batches() -> None:
            for _ in range(_COUNT // _BATCH):
                for _ in range(_BATCH):
                    add()
                log.flush()

        count = _COUNT // _BATCH * _BATCH
        batches()
        logged = _cpu_us(batches, count)
        settled = _cpu_us(log.settle, 2 * count)
        log.close()
        directory.close()
    return [(REQUEST_LOG, logged), ("request log, sorted in later, for who reads it", settled)]


def _cpu_us(call: Callable[[], object], count: int) -> float:
    started = time.process_time()
    call()
    return (time.process_time() - started) / count * 1e6


async def _never() -> dict[str, object]:
    raise AssertionError("there is no body")
