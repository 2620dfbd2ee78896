"""Files on their way: uploads that are not stored yet, pictures that are worked on.

They lie in the data directory, so that a finished upload becomes the stored file
without being copied, and a small /tmp is no limit. The directory is the reference's
for the same purpose; no backup holds it.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = ".pb_temp_to_delete"
"""core/base.go, LocalTempDirName."""

_PREFIX = "rowcast-"
_OLD_S = 24 * 3600

_log = logging.getLogger("rowcast.blobs")


class Spool:
    """A directory of temporary files, which is made with the first one."""

    def __init__(self, data_dir: str | Path) -> None:
        self.folder = Path(data_dir) / FOLDER

    def path(self) -> Path:
        """Return where a new temporary file can be made. Raises OSError where the directory can't be."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{_PREFIX}{secrets.token_hex(16)}"

    @contextmanager
    def file(self) -> Iterator[Path]:
        """Give where a new temporary file can be made, and remove it at the end."""
        path = self.path()
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def sweep(self, older_than_s: float = _OLD_S) -> None:
        """Remove what a process that was killed has left; younger files may be those of another one."""
        until = time.time() - older_than_s
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if not path.name.startswith(_PREFIX):
                    continue
                try:
                    if path.stat().st_mtime < until:
                        path.unlink()
                except OSError as error:
                    _log.warning("the temporary file %s is left over: %s", path, error.strerror)
