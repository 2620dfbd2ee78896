"""Ids that nobody got, known to several processes: as those that one process keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rowcast.auth.decoys import Decoys, MemoryDecoys
from rowcast.auth.shared_decoys import SharedDecoys
from rowcast.schema.collection import Collection
from tests.unit.auth.test_pauses import Clock

USERS, STAFF = Collection(id="u", name="users"), Collection(id="s", name="staff")

OTHER = """
import sys
from pathlib import Path
from rowcast.auth.shared_decoys import SharedDecoys
from rowcast.schema.collection import Collection
decoys = SharedDecoys(Path(sys.argv[1]), lambda: 1000)
users = Collection(id="u", name="users")
print(decoys.owner(users, sys.argv[2]), decoys.issue(users, "a@b.c", 60))
decoys.close()
"""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "shared"])
def decoys(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Decoys:
    return MemoryDecoys(clock) if request.param == "memory" else SharedDecoys(tmp_path / "map", clock)


def test_ids_belong_to_an_address_and_end(decoys: Decoys, clock: Clock) -> None:
    first, second = decoys.issue(USERS, "a@b.c", 60), decoys.issue(USERS, "A@B.C", 90)
    other, elsewhere = decoys.issue(USERS, "x@b.c", 90), decoys.issue(STAFF, "a@b.c", 90)
    assert len({first, second, other, elsewhere}) == 4
    assert all(len(each) == 15 for each in (first, second, other, elsewhere))
    owner = decoys.owner(USERS, first)
    assert owner
    assert decoys.owner(USERS, second) == owner
    assert decoys.owner(USERS, other) not in {"", owner}
    assert decoys.owner(STAFF, first) == decoys.owner(USERS, elsewhere) == ""
    for unknown in ("", "x", "y" * 15, "ü" * 15, first[:14], "\0" * 15, "\udcff" * 15):
        assert decoys.owner(USERS, unknown) == ""
    clock.now += 60.5
    assert decoys.owner(USERS, first) == ""
    assert decoys.owner(USERS, second) == owner


def test_the_newest_of_ten_is_given_again(decoys: Decoys, clock: Clock) -> None:
    ids = []
    for _ in range(10):
        ids.append(decoys.issue(USERS, "a@b.c", 60))
        decoys.issue(USERS, "x@b.c", 60)
        clock.now += 1
    assert len(set(ids)) == 10
    assert {decoys.issue(USERS, "a@b.c", 60) for _ in range(3)} == {ids[-1]}
    clock.now += 50.5
    assert decoys.issue(USERS, "a@b.c", 60) not in ids


def test_the_oldest_go_first(tmp_path: Path, clock: Clock) -> None:
    decoys = SharedDecoys(tmp_path / "map", clock, most=12)
    ids = [decoys.issue(USERS, f"{number}@b.c", 60) for number in range(30)]
    assert [bool(decoys.owner(USERS, each)) for each in ids] == [False] * 18 + [True] * 12
    mine = [decoys.issue(USERS, "a@b.c", 60) for _ in range(10)]
    # The ring has begun again in between; the newest is known nevertheless.
    assert decoys.issue(USERS, "a@b.c", 60) == mine[-1]
    decoys.close()


def test_another_process_knows_them_and_goes_on_with_them(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "map"
    decoys = SharedDecoys(path, clock)
    mine = decoys.issue(USERS, "a@b.c", 60)
    ran = subprocess.run([sys.executable, "-c", OTHER, path, mine], capture_output=True, text=True, check=True)
    owner, theirs = ran.stdout.split()
    assert owner == decoys.owner(USERS, mine) == decoys.owner(USERS, theirs)
    assert path.exists()
    # Addresses do not stand in the file.
    assert b"a@b.c" not in path.read_bytes()
    decoys.close()
