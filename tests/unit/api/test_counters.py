from __future__ import annotations

from pathlib import Path

import pytest

from rowcast.api.counters import counters_of
from rowcast.bus.sockets import folder_of


@pytest.fixture(autouse=True)
def runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


def test_one_process_has_no_files(tmp_path: Path, runtime_dir: Path) -> None:
    counters = counters_of(tmp_path, 1)
    assert not counters.limits.is_shared
    assert not runtime_dir.exists()
    counters.close()


def test_several_processes_share_files_that_go_with_them(tmp_path: Path) -> None:
    counters = counters_of(tmp_path, 2)
    folder = folder_of(tmp_path)
    assert counters.limits.is_shared
    assert counters.accounts.is_shared
    assert sorted(each.name for each in folder.iterdir()) == ["accounts.map", "decoys.map", "limits.map"]
    assert sum(each.stat().st_size for each in folder.iterdir()) < 5_000_000
    counters.limits.consume(("a",), 1, 60, 1000)
    counters.limits.clear()
    counters.accounts.consume(("a",), 1, 60, 1000)
    assert counters.limits.consume(("a",), 1, 60, 1000)
    assert not counters.accounts.consume(("a",), 1, 60, 1000)
    counters.close()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("spoiled", ["folder", "limits.map", "accounts.map", "decoys.map"])
def test_where_they_cannot_be_had_each_process_counts_and_says_so(
    tmp_path: Path, spoiled: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_of(tmp_path)
    if spoiled == "folder":
        folder.chmod(0o755)
    else:
        (folder / spoiled).mkdir()
    counters = counters_of(tmp_path, 2)
    assert not counters.limits.is_shared
    assert not counters.accounts.is_shared
    assert "limits count in each process by itself" in caplog.text
    assert [each.name for each in folder.iterdir()] == ([] if spoiled == "folder" else [spoiled])
    counters.close()
