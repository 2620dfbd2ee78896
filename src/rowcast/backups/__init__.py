"""Backups: archives of a data directory, where they lie, and what brings one back.

`archive` writes and reads the zip files, `creating` decides what goes into one,
`restoring` makes one a directory that opens before anything is replaced, `desk` is
what requests and commands ask. The exchange itself is `storage.swap`.
"""

from rowcast.backups.archive import ArchiveError, Progress
from rowcast.backups.desk import Backups
from rowcast.backups.restoring import stage

__all__ = ["ArchiveError", "Backups", "Progress", "stage"]
