"""Where a change is judged: on the event loop while that is quick, else in a thread.

Most rules need nothing but the record and the account, so the database is not asked
before one needs more: on PostgreSQL a change that is judged without it costs no transaction and no
thread, on any of the nodes that hear of it.

What asks is bounded: a node judges one change at a time, and one more for streams that catch up, so
it holds two connections at most, however many rules need SQL. Where the answer takes long, the
node rests for as long before it asks again (`rest`): so all nodes together take at most half of
what drowns them all, and what they have yet to tell waits in the log. A limit delays; it never drops.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, suppress

from rowcast.realtime.accounts import Accounts
from rowcast.realtime.audience import Addressee, Delivery
from rowcast.realtime.judgement import Judgement
from rowcast.realtime.tally import Tally
from rowcast.records.output import Output
from rowcast.rules import Rules
from rowcast.schema.record import Change
from rowcast.sql import Dialect, SQLValue
from rowcast.storage import BudgetExceededError, Reader, Row, Storage

_SLOW_S = 0.05
_LONGEST_REST_S = 1.0
"""From when on the database counts as slow, and how long a node leaves it alone at most."""


class Late:
    """A reader that opens its block when it is first asked, for a `with` block.

    With `is_bounded` it does so under a budget. `asked_at` is when it was asked, on the monotonic clock; 0 if never.
    """

    __slots__ = ("_blocks", "_is_bounded", "_reader", "_storage", "asked_at")

    def __init__(self, storage: Storage, *, is_bounded: bool) -> None:
        self._storage = storage
        self._is_bounded = is_bounded
        self._blocks: ExitStack | None = None
        self._reader: Reader | None = None
        self.asked_at = 0.0

    @property
    def dialect(self) -> Dialect:
        """The SQL of the storage."""
        return self._storage.dialect

    def rows(self, sql: str, params: Sequence[SQLValue] = ()) -> list[Row]:
        """Return all rows."""
        return self._ask().rows(sql, params)

    def row(self, sql: str, params: Sequence[SQLValue] = ()) -> Row | None:
        """Return the first row, or None."""
        return self._ask().row(sql, params)

    def value(self, sql: str, params: Sequence[SQLValue] = ()) -> SQLValue:
        """Return the first column of the first row, or None."""
        return self._ask().value(sql, params)

    def _ask(self) -> Reader:
        if self._reader is None:
            self.asked_at = time.monotonic()
            with ExitStack() as blocks:
                if self._is_bounded:
                    blocks.enter_context(self._storage.budget())
                self._reader = blocks.enter_context(self._storage.read())
                self._blocks = blocks.pop_all()
        return self._reader

    def __enter__(self) -> Late:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._blocks is not None:
            self._blocks.close()


class Judge:
    """Judges changes for those who asked for them, one at a time."""

    def __init__(self, storage: Storage, rules: Rules, output: Output, accounts: Accounts, tally: Tally) -> None:
        self._storage = storage
        self._rules = rules
        self._output = output
        self._accounts = accounts
        self.tally = tally
        self._rest_s = 0.0
        # What was tried at once in vain: it needs a thread.
        self._exceeding: Change | None = None

    def judge_now(self, change: Change, addressees: list[Addressee]) -> list[Delivery]:
        """Return who is told what of a change. Raises BudgetExceededError where that takes a thread."""
        try:
            deliveries, asked_at = self._judged(change, addressees, is_bounded=True)
        except BudgetExceededError:
            self._exceeding = change
            raise
        self._note(asked_at)
        return deliveries

    async def judge(self, change: Change, addressees: list[Addressee]) -> list[Delivery]:
        """Return who is told what of a change."""
        if self._exceeding is not change:
            with suppress(BudgetExceededError):
                return self.judge_now(change, addressees)
        self._exceeding = None
        deliveries, asked_at = await asyncio.to_thread(self._judged, change, addressees, is_bounded=False)
        self._note(asked_at)
        return deliveries

    def _note(self, asked_at: float) -> None:
        if asked_at:
            took_s = time.monotonic() - asked_at
            self.tally.asked(took_s)
            if took_s > _SLOW_S:
                self._rest_s = min(self._rest_s + took_s, _LONGEST_REST_S)

    @property
    def is_tired(self) -> bool:
        """Whether the database was slow: it is to be left alone for a while before the next change is judged."""
        return self._rest_s > 0

    async def rest(self) -> None:
        """Leave the database alone for as long as the last answer took."""
        rest_s, self._rest_s = self._rest_s, 0.0
        self.tally.rested_s += rest_s
        await asyncio.sleep(rest_s)

    def _judged(self, change: Change, addressees: list[Addressee], *, is_bounded: bool) -> tuple[list[Delivery], float]:
        """Return the deliveries, and when the database was first asked; 0 if it was not."""
        if change.before is not None:
            # A state before the change is asked without a block of its own.
            began = time.monotonic()
            with self._storage.budget() if is_bounded else nullcontext():
                if change.action == "delete":
                    return self._judge_by(change.before, change, addressees), began
                with Late(self._storage, is_bounded=False) as reader:
                    return self._judge_by(reader, change, addressees), reader.asked_at
        with Late(self._storage, is_bounded=is_bounded) as reader:
            return self._judge_by(reader, change, addressees), reader.asked_at

    def _judge_by(self, reader: Reader, change: Change, addressees: list[Addressee]) -> list[Delivery]:
        judgement = Judgement(change, reader, self._rules, self._output, self._accounts)
        return list(judgement.deliveries(addressees))
