"""The exchange of states, killed at every single step: the old or the new, whole, and nothing besides."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from rowcast.errors import DataDirError
from rowcast.storage.directory import open_directory
from rowcast.storage.swap import FOLDER, Swap

KILLED = 9
_STEPS = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"})


def make(root: Path, tag: str) -> None:
    """A data directory that says which one it is: in its database and in each of its files."""
    opened = open_directory(root)
    with opened.data.write() as tx:
        tx.run("CREATE TABLE which (tag TEXT)")
        tx.run("INSERT INTO which VALUES (?)", [tag])
    opened.close()
    for name in (f"storage/c/r/{tag}.txt", "storage/c/r/both.txt", f"{tag}_extra/file", "pb.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tag)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A directory whose new state is ready, for copies."""
    root = tmp_path / "template"
    make(root, "old")
    (root / "backups").mkdir()
    (root / "backups" / "kept.zip").write_text("kept")
    swap = Swap(root)
    swap.prepare()
    make(swap.new, "new")
    return root


def state(root: Path) -> str:
    """Open the directory as a server does and return which state it is; nothing may be mixed or left over."""
    opened = open_directory(root)
    with opened.data.read() as reader:
        tag = str(reader.value("SELECT tag FROM which"))
        assert reader.value("PRAGMA integrity_check") == "ok"
    opened.close()
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    expected = {"data.db", "auxiliary.db", f"storage/c/r/{tag}.txt", "storage/c/r/both.txt", f"{tag}_extra/file"}
    assert found == expected | {"pb.txt", "backups/kept.zip"}
    assert (root / "pb.txt").read_text() == (root / "storage/c/r/both.txt").read_text() == tag
    return tag


def prepared(template: Path, root: Path) -> Swap:
    shutil.copytree(template, root)
    return Swap(root)


def killed_at(step: int, call: object) -> bool:
    """Run `call` in a child that is killed before its n-th change of the file system; return whether it was."""
    child = os.fork()
    if not child:
        left = step

        def watch(event: str, args: object) -> None:
            nonlocal left
            if event in _STEPS or (event == "open" and args[1] and "w" in str(args[1])):  # type: ignore[index]
                if not left:
                    os._exit(KILLED)
                left -= 1

        sys.addaudithook(watch)
        try:
            call()  # type: ignore[operator]
        except BaseException:  # noqa: BLE001 -- nothing of the child may come back
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {0, KILLED}
    return status == KILLED


def test_a_kill_at_any_step_of_a_restore_leaves_the_old_or_the_new_state(tmp_path: Path, template: Path) -> None:
    found = []
    for step in range(200):
        root = tmp_path / str(step)
        swap = prepared(template, root)

        def restore(swap: Swap = swap, root: Path = root) -> None:
            swap.run()
            open_directory(root).close()

        was_killed = killed_at(step, restore)
        found.append(state(root))
        if not was_killed:
            break
    assert len(found) > 12
    assert found == ["old"] * found.index("new") + ["new"] * (len(found) - found.index("new"))
    assert found[0] == "old"


def test_a_kill_at_any_step_of_going_back_leaves_the_old_or_the_new_state(tmp_path: Path, template: Path) -> None:
    found = []
    for step in range(200):
        root = tmp_path / str(step)
        swap = prepared(template, root)
        swap.run()
        was_killed = killed_at(step, swap.undo)
        found.append(state(root))
        if not was_killed:
            break
    assert len(found) > 12
    assert found[-1] == "old"
    assert found == sorted(found)


def test_a_kill_while_a_kill_is_mended_does_no_harm(tmp_path: Path, template: Path) -> None:
    found = set()
    for first, second in [(first, second) for first in range(3, 16, 3) for second in range(0, 12, 2)]:
        root = tmp_path / f"{first}-{second}"
        swap = prepared(template, root)
        killed_at(first, swap.run)
        killed_at(second, lambda root=root: open_directory(root).close())
        found.add(state(root))
    assert found <= {"old", "new"}
    assert "new" in found


def test_a_new_state_that_does_not_open_is_taken_back_at_the_next_start(tmp_path: Path, template: Path) -> None:
    swap = prepared(template, tmp_path / "pb_data")
    (swap.new / "data.db").write_bytes(b"not a database, but as long as one" * 1000)
    swap.run()
    assert state(tmp_path / "pb_data") == "old"


def test_a_new_state_that_was_not_finished_is_forgotten(tmp_path: Path, template: Path) -> None:
    root = tmp_path / "pb_data"
    prepared(template, root)
    assert state(root) == "old"
    assert not (root / FOLDER).exists()


def test_a_step_of_a_newer_version_is_left_alone(tmp_path: Path, template: Path) -> None:
    root = tmp_path / "pb_data"
    prepared(template, root)
    (root / FOLDER / "step").write_text("sideways")
    with pytest.raises(DataDirError, match="a newer version has begun a restore"):
        open_directory(root)
    assert (root / FOLDER / "new").is_dir()
