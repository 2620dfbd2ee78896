"""Replacing what a data directory holds, so that a crash leaves the old or the new, never a mix.

The new content lies ready in `.rowcast_restore/new`. Swapping moves every entry of
the directory to `.rowcast_restore/old` ("out"), then every new one to its place
("in"). The new state is then on trial: it is kept once it was opened, else the old
one comes back ("clear", then "back"). A file names the step under way, and each
step can be run again from its start, so whoever opens the directory next finishes
what was begun. Without that file `.rowcast_restore` means nothing and is deleted.

The reference deletes its own temporary directory at every start, so the old state
must not lie there.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal, get_args

from rowcast.errors import DataDirError

FOLDER = ".rowcast_restore"
TEMPORARY = ".pb_temp_to_delete"
"""What lies here is deleted by the next process that opens the directory alone (core/base.go)."""

NOT_CONTENT = frozenset({"backups", TEMPORARY, ".notify", ".autocert_cache", "lost+found", FOLDER})
"""The entries of a data directory that are in no backup and stay where they are (core/base_backup.go)."""

Step = Literal["out", "in", "trial", "clear", "back"]


class Swap:
    """The exchange of the content of one data directory. Its owner has the directory alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / FOLDER
        self.new, self.old, self._failed = self.folder / "new", self.folder / "old", self.folder / "failed"
        self._journal = self.folder / "step"

    @property
    def step(self) -> Step | None:
        """The step under way, None where nothing is. Raises DataDirError for one that this version does not know."""
        try:
            text = self._journal.read_text()
        except FileNotFoundError:
            return None
        for known in get_args(Step):
            if text == known:
                found: Step = known
                return found
        raise DataDirError(f"{self._journal} names a step that is not known; a newer version has begun a restore here")

    def prepare(self) -> None:
        """Make an empty place for the new content."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.new.mkdir(parents=True)

    def run(self) -> None:
        """Put the new content in its place. Raises OSError; `undo` then brings the old one back."""
        self.old.mkdir(exist_ok=True)
        self._failed.mkdir(exist_ok=True)
        # All of it must be on the disk before anything points there.
        os.sync()
        self._enter("out")
        self.resume()

    def undo(self) -> None:
        """Bring the old content back, from whatever step. Raises OSError."""
        if self.step == "out":
            # Nothing new is in its place yet.
            self._enter("back")
        elif self.step in {"in", "trial"}:
            self._enter("clear")
        self.resume()

    def resume(self) -> None:
        """Finish what is under way; what was put in its place is then on trial. Raises OSError."""
        if self.step == "out":
            _move_all(self.root, self.old)
            self._enter("in")
        if self.step == "in":
            _move_all(self.new, self.root)
            self._enter("trial")
        if self.step == "clear":
            _move_all(self.root, self._failed)
            self._enter("back")
        if self.step == "back":
            _move_all(self.old, self.root)
            self.settle()

    def settle(self) -> None:
        """Leave it as it is now."""
        _sync(self.root)
        self._journal.unlink(missing_ok=True)
        _sync(self.folder)

    def clean(self) -> None:
        """Delete what nobody needs any more, if nothing is under way. May take long."""
        if self.step is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _enter(self, step: Step) -> None:
        """Note the next step, once all that was done before is on the disk."""
        for folder in (self.root, self.new, self.old, self._failed):
            _sync(folder)
        written = self._journal.with_suffix(".new")
        with written.open("w") as file:
            file.write(step)
            file.flush()
            os.fsync(file.fileno())
        written.replace(self._journal)
        _sync(self.folder)


def _move_all(source: Path, target: Path) -> None:
    for entry in sorted(source.iterdir()):
        if entry.name not in NOT_CONTENT:
            entry.rename(target / entry.name)


def _sync(folder: Path) -> None:
    """Have the names in a folder written to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
