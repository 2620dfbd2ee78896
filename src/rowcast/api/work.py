"""Where a call runs: on the event loop while it is quick, else in a thread.

A call is a plain function that may be run again from its start: what it did is
undone when the budget of the storage ends it. Reads and writes have threads of
their own, so that writers that wait for their turn never keep readers out. Slow reads get
their threads in fair shares of who asks.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

from rowcast.api.pool import Pool
from rowcast.api.shares import Shares
from rowcast.errors import ApiError
from rowcast.storage import BudgetExceededError, ConflictError, Storage, StorageError

T = TypeVar("T")

_READERS = 8
_READERS_EACH = 2
"""How many slow reads of one client run at a time."""

_SPARE_READERS = 2
"""Readers for what is not asked by a client with a filter, like whose token it is."""

_WRITERS = 8
_SHAPERS = 2
_TRANSFERS = 32
_UPLOADERS = 16
_REMOTES = 16

_MOST_REMOTE = 64
"""How many calls to other servers there may be, also those that wait for a thread."""

_SLOW_FOR_S = 10.0
"""How long a call that was too slow for the loop goes to a thread at once."""

_MAX_SLOW = 1024

_MOST_RUNS = 5
"""How often a write is run that other writes stand in the way of."""


class Work:
    """Runs calls of one storage. Used on the event loop."""

    def __init__(self, storage: Storage) -> None:
        self._budget = storage.budget
        self._readers = Pool("read", _READERS + _SPARE_READERS)
        self._read_shares = Shares(self._readers, most=_READERS, each=_READERS_EACH)
        self._writers = Pool("write", _WRITERS)
        # Apart from the others, which slow queries of somebody else may keep busy.
        self._shapers = Pool("shape", _SHAPERS)
        self._shape_shares = Shares(self._shapers, most=_SHAPERS, each=1)
        # One core stays free for the loop, whatever is asked of the others.
        self._hashers = Pool("hash", max(1, (os.cpu_count() or 2) - 1))
        # Apart from all others: a bucket that does not answer holds them for a minute.
        self._transfers = Pool("file", _TRANSFERS)
        self._uploaders = Pool("upload", _UPLOADERS)
        # Other servers may never answer: who waits for one keeps nobody from the threads above.
        self._remotes = Pool("remote", _REMOTES)
        self._remote_calls = 0
        self.pools = (
            self._remotes,
            self._readers,
            self._writers,
            self._shapers,
            self._hashers,
            self._transfers,
            self._uploaders,
        )
        self._slow: OrderedDict[Hashable, float] = OrderedDict()

    async def quick(self, call: Callable[[], T], key: Hashable = None, asker: Hashable = None) -> T:
        """Run a read that is likely short; `key` names its kind, to remember which ones are not.

        `asker` is who asks where it can make the read long. Raises TooManyRequestsError
        where too many long reads of this asker wait already.
        """
        if key is None or not self._slow or not self._is_slow(key):
            try:
                with self._budget():
                    return call()
            except BudgetExceededError:
                if key is not None:
                    self._remember(key)
        if asker is not None:
            return await self._read_shares.run(asker, _persistent(call))
        return await self._readers.run(_persistent(call))

    async def shape(self, call: Callable[[], T], asker: Hashable) -> T:
        """Run a read that takes long by what Python does with it, of which no budget knows, in a thread.

        Raises TooManyRequestsError as `quick` does.
        """
        return await self._shape_shares.run(asker, _persistent(call))

    async def write(self, call: Callable[[], T]) -> T:
        """Run a write: here if it is its turn and it is short, else in a thread that waits for its turn."""
        try:
            with self._budget():
                return call()
        except BudgetExceededError:
            return await self.slow(call)

    async def slow(self, call: Callable[[], T]) -> T:
        """Run a call that is long by nature (imports, schema changes) in a thread."""
        return await self._writers.run(_persistent(call))

    async def transfer(self, call: Callable[[], T]) -> T:
        """Run a call that reads a stored file."""
        return await self._transfers.run(call)

    async def upload(self, call: Callable[[], T]) -> T:
        """Run a write that brings files."""
        return await self._uploaders.run(_persistent(call))

    async def hash(self, call: Callable[[], T]) -> T:
        """Run a call that hashes or compares passwords, in threads that leave a core to the loop."""
        return await self._hashers.run(_persistent(call))

    async def remote(self, call: Callable[[], T]) -> T:
        """Run a call that waits for another server. Raises ApiError (503) where too many do already."""
        if self._remote_calls >= _MOST_REMOTE:
            raise ApiError("Too many requests are waiting for other services.", status=503)
        self._remote_calls += 1
        future = self._remotes.start(_persistent(call))
        future.add_done_callback(self._end_remote)
        return await future

    def _end_remote(self, _: object) -> None:
        self._remote_calls -= 1

    def close(self) -> None:
        """Wait for what runs and let the threads go."""
        for pool in self.pools:
            pool.close()

    def _is_slow(self, key: Hashable) -> bool:
        until = self._slow.get(key)
        if until is None:
            return False
        if until > time.monotonic():
            return True
        del self._slow[key]
        return False

    def _remember(self, key: Hashable) -> None:
        self._slow[key] = time.monotonic() + _SLOW_FOR_S
        self._slow.move_to_end(key)
        if len(self._slow) > _MAX_SLOW:
            self._slow.popitem(last=False)


def _persistent(call: Callable[[], T]) -> Callable[[], T]:
    """Return a call that is run again where others stood in its way, until it is given up as a StorageError."""

    def run() -> T:
        for left in range(_MOST_RUNS, 0, -1):
            try:
                return call()
            except ConflictError as error:
                if left == 1:
                    raise StorageError(f"the call was given up: {error}") from error
        raise AssertionError("unreachable")

    return run
