"""A restore of a running application: from the archive to a server that has gone on with it.

Everything that takes long happens while the old state is still served. Only then
the application stops, the states are exchanged and it starts anew; if it can't, it
goes on as it was. Other processes that serve the directory step aside meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from rowcast.backups.archive import ArchiveError
from rowcast.backups.desk import Backups, describe
from rowcast.backups.restoring import stage
from rowcast.errors import BadRequestError, RowcastError
from rowcast.storage.directory import DataDir, Opening
from rowcast.storage.occupancy import OccupiedError, is_taken
from rowcast.storage.swap import Swap

_log = logging.getLogger("rowcast.backups")

_PAUSE_S = 0.05
_DELAY_S = 1.0
"""The time in which the answer reaches the client (apis/backup.go, backupRestore)."""

Exchange = Callable[[Swap], Awaitable[None]]


def begin_restore(
    backups: Backups, directory: DataDir, key: str, exchange: Exchange, opening: Opening, *, has_others: bool
) -> asyncio.Task[None]:
    """Begin to restore a backup; `exchange` stops the application, runs the swap and starts it again.

    `has_others` says whether there are other processes that step aside when they are asked to. Raises
    BadRequestError where another backup or restore is under way, or where processes use
    the directory that can't be asked.
    """
    turn = ExitStack()
    turn.enter_context(backups.turn(key))
    try:
        # From now on nobody else comes in; those who step aside do so when the new state is ready.
        if not has_others:
            directory.occupancy.claim()
    except OccupiedError as error:
        turn.close()
        text = "Other processes use the data directory; a backup can be restored only while a single one does."
        raise BadRequestError(text) from error
    swap = Swap(directory.path)

    def prepare() -> None:
        with backups.fetched(key, backups.watched()) as archive:
            stage(swap, archive, backups.watched(), opening)

    async def carry_out() -> None:
        try:
            await asyncio.sleep(_DELAY_S)
            await asyncio.to_thread(prepare)
            await exchange(swap)
        finally:
            await asyncio.to_thread(swap.clean)
            directory.occupancy.share()
            turn.close()

    async def run() -> None:
        # Told when the next backup or restore may begin.
        try:
            await carry_out()
            _log.info("the backup %s is restored", key)
        except RowcastError as error:
            _log.error("the backup %s could not be restored: %s", key, describe(error))
        except Exception as error:  # noqa: BLE001 -- nobody waits for this task
            _log.error("the backup %s could not be restored", key, exc_info=error)

    return asyncio.ensure_future(run())


async def stand_aside(directory: DataDir, is_over: Callable[[], bool]) -> None:
    """Wait outside of a directory, which was closed, while another process has its turn at a backup or restore."""
    while not is_over() and await asyncio.to_thread(is_taken, directory.temporary):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(_PAUSE_S)


async def exchange(swap: Swap, start: Callable[[], object]) -> None:
    """Put the new state in its place and start; where either fails, bring the old one back and start with that.

    Raises ArchiveError in the second case, and what `start` raises then.
    """
    try:
        await asyncio.to_thread(swap.run)
        start()
    except Exception as error:
        await asyncio.to_thread(swap.undo)
        start()
        raise ArchiveError(f"the restored data can't be used, so the former state is back: {error}") from error
    await asyncio.to_thread(swap.settle)
