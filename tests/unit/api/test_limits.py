"""Rate limits pick and count as the reference's do."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rowcast.api.limits import RateLimits
from rowcast.api.request import Request
from rowcast.config import RateLimitRule, RateLimitsSettings, Settings, SettingsRef
from rowcast.errors import TooManyRequestsError
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.windows.memory import MemoryWindows
from rowcast.windows.shared import SharedWindows
from tests.unit.api.client import request

USERS = Collection(id="u", name="users", type="auth")
POSTS = Collection(id="p", name="posts")
ROOTS = Collection(id="r", name="_superusers", type="auth")


class Clock:
    """The seconds that limits see."""

    now = 1_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("rowcast.api.limits.time", clock)
    return clock


def limits(*rules: tuple[Any, ...], excluded: tuple[str, ...] = (), enabled: bool = True) -> RateLimits:
    """Each rule: label, audience, most requests, seconds."""
    made = tuple(
        RateLimitRule(label=label, audience=audience, max_requests=most, duration=duration)
        for label, audience, most, duration in rules
    )
    settings = Settings(rate_limits=RateLimitsSettings(rules=made, excluded_ips=excluded, enabled=enabled))
    return RateLimits(SettingsRef(settings), MemoryWindows())


def asks(
    method: str = "GET", path: str = "/api/x", *, by: Collection | None = None, address: str = "1.1.1.1"
) -> Request:
    made = request(method, path)
    made.address = address
    if by is not None:
        made.auth = Record(by, {"id": "1"})
    return made


def passes(counted: RateLimits, asked: Request, collection: Collection | None = None, *tags: str) -> bool:
    try:
        if collection is None:
            counted.check_path(asked)
        else:
            counted.check_collection(asked, collection, tags)
    except TooManyRequestsError:
        return False
    return True


def test_a_window_starts_with_its_first_request_and_ends_after_its_time(clock: Clock) -> None:
    counted = limits(("/api/x", "", 2, 10))
    assert [passes(counted, asks()) for _ in range(3)] == [True, True, False]
    clock.now += 9
    assert not passes(counted, asks())
    clock.now += 1
    assert [passes(counted, asks()) for _ in range(3)] == [True, True, False]


def test_none_are_allowed_where_the_most_is_none() -> None:
    assert not passes(limits(("/api/", "", 0, 10)), asks())


@pytest.mark.parametrize(
    "counted",
    [
        limits(("/api/x", "", 0, 10), enabled=False),
        limits(("/api/x", "", 0, 10), excluded=("2.2.2.2", "1.1.0.0/16")),
        limits(("/api/y", "", 0, 10)),
        limits(("POST /api/x", "", 0, 10)),
        limits(("/api/x", "@auth", 0, 10)),
        limits(),
    ],
)
def test_not_every_request_is_counted(counted: RateLimits) -> None:
    assert passes(counted, asks())


def test_superusers_are_not_counted() -> None:
    counted = limits(("/", "", 0, 10))
    assert passes(counted, asks(by=ROOTS))
    assert passes(counted, asks(by=ROOTS), POSTS, "list")
    assert not passes(counted, asks(by=USERS))


@pytest.mark.parametrize(
    ("rules", "is_allowed"),
    [
        ([("/api/", "", 0, 1), ("/api/x", "", 9, 1)], True),  # the label with the method comes first, as prefix too
        ([("/api/x", "", 0, 1), ("/", "", 9, 1)], False),
        ([("/", "", 9, 1), ("/api/", "", 0, 1)], True),  # prefixes in the order of the rules
        ([("/api/x/", "", 0, 1)], False),  # a path counts as its own prefix
        ([("GET /api/x", "", 9, 1), ("/api/x", "", 0, 1)], True),
        ([("GET /api/", "", 0, 1), ("/api/x", "", 9, 1)], False),
        ([("/api/x", "@auth", 0, 1), ("/api/", "", 9, 1)], True),
        ([("/api/x", "@guest", 0, 1), ("/api/x", "", 9, 1)], False),
    ],
)
def test_the_first_rule_that_fits_counts(rules: list[tuple[Any, ...]], is_allowed: bool) -> None:
    assert passes(limits(*rules), asks()) is is_allowed


def test_the_audiences_have_rules_of_their_own() -> None:
    counted = limits(("/api/x", "@guest", 1, 60), ("/api/x", "@auth", 2, 60))
    assert [passes(counted, asks()) for _ in range(2)] == [True, False]
    assert [passes(counted, asks(by=USERS)) for _ in range(3)] == [True, True, False]


def test_addresses_are_counted_apart() -> None:
    counted = limits(("/api/x", "", 1, 60))
    assert passes(counted, asks())
    assert passes(counted, asks(address="2.2.2.2"))
    assert not passes(counted, asks())


def test_paths_under_a_prefix_share_its_counter_and_collections_do_not() -> None:
    counted = limits(("/api/", "", 1, 60))
    assert passes(counted, asks(path="/api/a"))
    assert not passes(counted, asks(path="/api/b"))
    assert passes(counted, asks(), POSTS, "list")
    assert not passes(counted, asks(), POSTS, "list")
    assert passes(counted, asks(), POSTS, "view")
    assert passes(counted, asks(), USERS, "list")


@pytest.mark.parametrize(
    ("rules", "is_allowed"),
    [
        ([("posts:create", "", 0, 1), ("*:create", "", 9, 1)], False),
        ([("*:create", "", 0, 1), ("posts:create", "", 9, 1)], True),
        ([("*:create", "", 0, 1), ("/api/x", "", 9, 1)], False),
        ([("users:create", "", 0, 1), ("*:list", "", 0, 1)], True),
        ([("*:auth", "", 0, 1), ("posts:other", "", 9, 1)], False),
    ],
)
def test_tags_of_a_collection_come_before_paths(rules: list[tuple[Any, ...]], is_allowed: bool) -> None:
    assert passes(limits(*rules), asks(), POSTS, "create", "auth") is is_allowed


def test_new_settings_start_all_counters_anew() -> None:
    rules = (RateLimitRule(label="/api/x", max_requests=1, duration=60),)
    ref = SettingsRef(Settings(rate_limits=RateLimitsSettings(rules=rules, enabled=True)))
    counted = RateLimits(ref, MemoryWindows())
    assert [passes(counted, asks()) for _ in range(2)] == [True, False]
    ref.current = Settings(rate_limits=RateLimitsSettings(rules=rules, enabled=True))
    assert passes(counted, asks())


def test_counters_that_processes_share_are_cleared_once_by_the_one_that_saves(tmp_path: Path) -> None:
    def saved() -> Settings:
        rules = (RateLimitRule(label="/api/x", max_requests=1, duration=60),)
        return Settings(rate_limits=RateLimitsSettings(rules=rules, enabled=True))

    windows = SharedWindows(tmp_path / "map")
    saver, other = SettingsRef(saved()), SettingsRef(saved())
    mine, theirs = RateLimits(saver, windows), RateLimits(other, windows)
    assert [passes(mine, asks()), passes(theirs, asks())] == [True, False]
    # Another part of the settings, or the catalog beside them, starts nothing anew.
    saver.swap(msgspec.structs.replace(saver.current, superuser_ips=("10.0.0.1",)))
    assert not passes(mine, asks())
    saver.swap(saved())
    assert [passes(mine, asks()), passes(theirs, asks())] == [True, False]
    other.follow(saved())
    assert [passes(mine, asks()), passes(theirs, asks())] == [False, False]
    windows.close()


def kept(counted: RateLimits) -> MemoryWindows:
    assert isinstance(counted._windows, MemoryWindows)
    return counted._windows


def address(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def test_windows_that_are_over_make_room(clock: Clock) -> None:
    counted = limits(("/api/x", "", 1, 60))
    windows = kept(counted)
    for number in range(1_000):
        assert passes(counted, asks(address=address(number)))
    assert len(windows) == 1_000
    for number in range(1_000, 2_000):
        clock.now += 1
        assert passes(counted, asks(address=address(number)))
    # Two are looked at for each that comes, so at most about as many are over as are not.
    assert len(windows) <= 130


def test_no_number_of_addresses_makes_the_server_forget(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowcast.windows.memory._MAX_WINDOWS", 100)
    monkeypatch.setattr("rowcast.windows.memory._SHARED", 16)
    counted = limits(("/api/x", "", 2, 60))
    known = [asks(address=address(number)) for number in range(50)]
    for _ in range(2):
        assert all(passes(counted, one) for one in known)
    for number in range(50, 5_000):
        passes(counted, asks(address=address(number)))
    assert not any(passes(counted, one) for one in known)
    assert len(kept(counted)) <= 100 + 16
    # Who came last shares a window, and does not get out of it before its time.
    last = asks(address=address(4_999))
    assert not passes(counted, last)
    clock.now += 59
    assert not passes(counted, last)
    clock.now += 1
    assert passes(counted, last)
    assert passes(counted, known[0])


def test_a_step_looks_at_few_windows_whatever_their_number(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    class Counting(OrderedDict[Any, Any]):
        def popitem(self, last: bool = True) -> Any:
            looked.append(1)
            return super().popitem(last)

    monkeypatch.setattr("rowcast.windows.memory._MAX_WINDOWS", 1_000)
    counted = limits(("/api/x", "", 1, 60))
    kept(counted)._own = Counting()
    most = 0
    for number in range(3_000):
        clock.now += 0.01
        looked.clear()
        passes(counted, asks(address=address(number)))
        most = max(most, len(looked))
    assert most == 2
