"""Windows that processes share: the same as those of one process, exact over all, and never out of order."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcast.windows.file import MappedFile
from rowcast.windows.memory import MemoryWindows
from rowcast.windows.shared import _BUCKET, SharedWindows

HAMMER = """
import sys
from pathlib import Path
from rowcast.windows.shared import SharedWindows
windows = SharedWindows(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
counted = passed = 0
while counted < int(sys.argv[2]) or sys.argv[2] == "-1":
    passed += windows.consume(("hot",), int(sys.argv[3]), 60, 1000)
    counted += 1
print(passed, flush=True)
windows.close()
"""

HOLD = """
import sys
from pathlib import Path
from rowcast.windows.shared import SharedWindows, _BUCKET
windows = SharedWindows(Path(sys.argv[1]))
assert windows._file.acquire(windows._own_at(windows._label(repr(("hot",)))), _BUCKET)
print("ready", flush=True)
sys.stdin.readline()
"""

Process = subprocess.Popen[str]


@contextmanager
def processes(script: str, count: int, *args: object) -> Iterator[list[Process]]:
    """Run a script several times at once; all are ready, none has begun."""
    command = [sys.executable, "-c", script, *map(str, args)]
    found = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        for process in found:
            assert said(process) == "ready"
        yield found
    finally:
        for process in found:
            process.kill()
            process.communicate()


def said(process: Process) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "limits.map"


@pytest.mark.parametrize("most", [5, 2_000, 12_000])
def test_of_all_processes_together_exactly_the_most_pass(path: Path, most: int) -> None:
    with processes(HAMMER, 4, path, 3_000, most) as hammers:
        for hammer in hammers:
            go(hammer)
        assert sum(int(said(hammer)) for hammer in hammers) == most


def test_a_process_that_is_killed_while_it_counts_leaves_the_table_in_order(path: Path) -> None:
    windows = SharedWindows(path)
    for round_ in range(8):
        with processes(HAMMER, 2, path, -1, 1_000_000) as hammers:
            for hammer in hammers:
                go(hammer)
            # Until it is seen that they count.
            while windows.consume(("hot",), round_ * 3, 60, 1000):
                pass
            for hammer in hammers:
                os.kill(hammer.pid, signal.SIGKILL)
                hammer.wait()
        assert windows.consume(("hot",), 10_000_000, 60, 1000)
        assert [windows.consume((f"other {round_}",), 2, 60, 1000) for _ in range(3)] == [True, True, False]
    windows.forget(("hot",))
    assert [windows.consume(("hot",), 2, 60, 1000) for _ in range(3)] == [True, True, False]
    windows.close()


def test_a_lock_that_is_held_refuses_its_bucket_alone_and_ends_with_its_process(path: Path) -> None:
    windows = SharedWindows(path)
    with processes(HOLD, 1, path) as [holder]:
        os.kill(holder.pid, signal.SIGSTOP)
        begun = time.monotonic()
        assert not windows.consume(("hot",), 5, 60, 1000)
        windows.forget(("hot",))
        assert time.monotonic() - begun < 5
        assert windows.consume(("cold",), 5, 60, 1000)
        windows.clear()
        assert windows.consume(("cold",), 1, 60, 1000)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    assert [windows.consume(("hot",), 1, 60, 1000) for _ in range(2)] == [True, False]
    windows.close()


def test_the_file_goes_with_the_last_process(path: Path) -> None:
    windows = SharedWindows(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with processes(HAMMER, 1, path, 1, 1) as [other]:
        windows.close()
        assert path.exists()
        go(other)
        assert said(other) == "1"
        assert other.wait(10) == 0
    assert not path.exists()


def test_what_a_killed_process_left_behind_is_used_again(path: Path) -> None:
    with processes(HAMMER, 1, path, -1, 1) as [other]:
        other.kill()
        other.wait()
    assert path.exists()
    windows = SharedWindows(path)
    assert [windows.consume(("hot",), 1, 60, 1000) for _ in range(2)] == [True, False]
    windows.close()
    assert not path.exists()


def test_a_link_in_the_place_of_the_file_is_not_followed(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(b"mine")
    path.symlink_to(target)
    with pytest.raises(OSError) as caught:
        MappedFile(path, _BUCKET)
    assert caught.value.errno == errno.ELOOP
    assert target.read_bytes() == b"mine"


def test_no_number_of_keys_resets_a_window(path: Path) -> None:
    windows = SharedWindows(path, buckets=2, shared=8)
    known = [(f"known {number}",) for number in range(20)]
    for key in known * 2:
        assert windows.consume(key, 2, 60, 1000)
    passed = sum(windows.consume((f"new {number}",), 2, 60, 1000) for number in range(5_000))
    # What finds no room shares: 64 windows have room, and eight are shared.
    assert passed <= (64 + 8) * 2
    assert not any(windows.consume(key, 2, 60, 1059) for key in known)
    last = ("new 4999",)
    assert not windows.consume(last, 2, 60, 1059)
    # One that shares a window does not get out of it, also where there is room again.
    windows.forget(known[0])
    assert not windows.consume(last, 2, 60, 1059)
    assert [windows.consume(last, 2, 60, 1060) for _ in range(3)] == [True, True, False]
    assert windows.consume(known[0], 2, 60, 1060)
    windows.close()


def test_where_nobody_can_share_any_more_it_is_refused(path: Path) -> None:
    windows = SharedWindows(path, buckets=1, shared=1)
    # Each pair of most and duration shares windows of its own; there is room for 32 beside the 32.
    assert sum(windows.consume((str(number),), 1, 60 + number, 1000) for number in range(100)) == 64
    assert not windows.consume(("0",), 1, 60, 1059)
    assert windows.consume(("0",), 1, 60, 1060)
    windows.close()


def test_keys_are_told_apart_by_their_parts(path: Path) -> None:
    windows = SharedWindows(path)
    keys = [("a", "b"), ("ab",), ("a", "b", ""), ("a\0b",), ("a', 'b",), ("\udcff", "b")]
    assert all(windows.consume(key, 1, 60, 1000) for key in keys)
    windows.close()


Step = tuple[str, int, int]


@pytest.mark.property
@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["consume", "consume", "consume", "forget", "clear"]), st.integers(0, 7), st.integers(0, 4)
        ),
        max_size=80,
    )
)
def test_one_process_sees_what_it_would_see_in_its_memory(steps: list[Step]) -> None:
    kinds = [(0, 3), (1, 2), (2, 5), (3, 10)]
    now = 1000.0
    memory = MemoryWindows()
    with tempfile.TemporaryDirectory() as folder:
        shared = SharedWindows(Path(folder) / "map", buckets=4)
        for what, number, pause in steps:
            now += pause / 2
            key = ("key", str(number))
            if what == "consume":
                most, duration = kinds[number % len(kinds)]
                assert memory.consume(key, most, duration, now) == shared.consume(key, most, duration, now)
            elif what == "forget":
                memory.forget(key)
                shared.forget(key)
            elif number == 0:
                memory.clear()
                shared.clear()
        shared.close()
