"""Who is in a data directory: many, or one alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rowcast.storage.directory import open_directory
from rowcast.storage.occupancy import Occupancy, OccupiedError, alone_at


def test_the_first_is_alone_until_it_lets_others_in(tmp_path: Path) -> None:
    first = Occupancy(tmp_path)
    assert first.is_alone
    with pytest.raises(OccupiedError, match="being replaced by another process"):
        Occupancy(tmp_path, wait_s=0)
    first.share()
    second = Occupancy(tmp_path, wait_s=0)
    assert not second.is_alone
    with pytest.raises(OccupiedError, match="stop them first"):
        first.claim()
    second.leave()
    first.claim()
    assert first.is_alone
    first.leave()
    first.leave()


def test_who_could_not_be_alone_is_still_in(tmp_path: Path) -> None:
    first = Occupancy(tmp_path)
    first.share()
    second = Occupancy(tmp_path)
    with pytest.raises(OccupiedError):
        first.claim()
    with pytest.raises(OccupiedError):
        second.claim()
    second.leave()
    first.claim()
    first.leave()


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        Occupancy(tmp_path)
        os._exit(9)
    os.waitpid(child, 0)
    again = Occupancy(tmp_path, wait_s=0)
    assert again.is_alone
    again.leave()


def test_an_open_directory_is_shared_and_left_when_it_is_closed(tmp_path: Path) -> None:
    root = tmp_path / "pb_data"
    first, second = open_directory(root), open_directory(root)
    first.close()
    with pytest.raises(OccupiedError):
        second.occupancy.claim()
        Occupancy(root, wait_s=0)
    second.close()
    last = Occupancy(root, wait_s=0)
    assert last.is_alone
    last.leave()


def test_a_folder_is_had_alone(tmp_path: Path) -> None:
    with alone_at(tmp_path), pytest.raises(OccupiedError), alone_at(tmp_path):
        raise AssertionError
    with alone_at(tmp_path):
        assert tmp_path.is_dir()
