"""From an archive to a directory that is known to open, before anything is replaced; and a restore without a server."""

from __future__ import annotations

from pathlib import Path

from rowcast.backups.archive import ArchiveError, Progress, reason_of, unpack
from rowcast.errors import DataDirError
from rowcast.storage import CHANGES_TABLE, StorageError
from rowcast.storage.directory import Opening, enter_directory, open_inside, open_with
from rowcast.storage.occupancy import OccupiedError
from rowcast.storage.sqlite_copy import check_database
from rowcast.storage.swap import Swap


def stage(swap: Swap, archive: Path, progress: Progress, opening: Opening) -> None:
    """Unpack an archive beside the data that it is to replace, and check all of it. `swap.run` then exchanges them.

    Raises ArchiveError, and leaves nothing.
    """
    try:
        swap.prepare()
        unpack(archive, swap.new, progress)
        _check(swap.new, progress, opening)
    except BaseException as error:
        swap.clean()
        if isinstance(error, OSError):
            raise ArchiveError(f"the archive can't be restored: {reason_of(error)}") from error
        raise


def _check(root: Path, progress: Progress, opening: Opening) -> None:
    if not (root / "data.db").is_file():
        raise ArchiveError("data.db file is missing or invalid: it is no archive of a data directory")
    for name in ("data.db", "auxiliary.db"):
        progress(f"check {name}", 0, 0)
        try:
            if (root / name).is_file():
                check_database(root / name)
        except StorageError as error:
            raise ArchiveError(f"{name} of the archive can't be used: {error}") from error
    try:
        opened = open_with(root, opening)
        try:
            # The positions in it belong to another course of events than the one that follows now.
            with opened.data.write() as tx:
                tx.run(f'DROP TABLE IF EXISTS "{CHANGES_TABLE}"')
            opened.data.checkpoint()
        finally:
            opened.close()
    except (DataDirError, StorageError) as error:
        raise ArchiveError(f"the data of the archive can't be opened: {error}") from error


def restore(root: Path, archive: Path, progress: Progress, opening: Opening) -> None:
    """Replace the content of a directory that no server uses by that of an archive.

    Raises ArchiveError and OccupiedError; then all is as it was.
    """
    swap = Swap(root)
    if swap.step is not None:
        # First to its end with the one that was interrupted.
        open_with(root, opening).close()
    occupancy = enter_directory(root)
    try:
        if not occupancy.is_alone:
            raise OccupiedError(f"a server uses the data directory {root}; stop it first, or restore over its API")
        stage(swap, archive, progress, opening)
        try:
            swap.run()
            open_inside(occupancy, opening).close_databases()
            swap.settle()
        except (OSError, DataDirError) as error:
            swap.undo()
            raise ArchiveError(f"the former state is back, since the new one can't be used: {error}") from error
        finally:
            swap.clean()
    except OSError as error:
        raise ArchiveError(f"the archive can't be restored: {reason_of(error)}") from error
    finally:
        occupancy.leave()
