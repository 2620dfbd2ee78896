"""Temporary files lie in the data directory, and what was killed leaves none for long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rowcast.blobs.spool import Spool


def test_files_go_when_they_are_done_with(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(KeyError), spool.file() as path:
        path.write_bytes(b"x")
        assert path.parent == tmp_path / ".pb_temp_to_delete"
        raise KeyError
    assert list(spool.folder.iterdir()) == []
    with spool.file():
        pass  # nobody has to make it


def test_only_old_files_of_our_own_are_swept(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.sweep()
    old, young = spool.path(), spool.path()
    foreign = spool.folder / "pb_import"
    for path in (old, young, foreign):
        path.write_bytes(b"x")
    for path in (old, foreign):
        os.utime(path, (0, 0))
    spool.sweep()
    assert sorted(spool.folder.iterdir()) == sorted([young, foreign])
