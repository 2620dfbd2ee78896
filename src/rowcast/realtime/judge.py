"""Where a change is judged: on the event loop while that is quick, else in a thread."""

from __future__ import annotations

import asyncio

from rowcast.realtime.accounts import Accounts
from rowcast.realtime.audience import Addressee, Delivery
from rowcast.realtime.judgement import Judgement
from rowcast.records.output import Output
from rowcast.rules import Rules
from rowcast.schema.record import Change
from rowcast.storage import BudgetExceededError, Reader, Storage


class Judge:
    """Judges changes for those who asked for them."""

    def __init__(self, storage: Storage, rules: Rules, output: Output, accounts: Accounts) -> None:
        self._storage = storage
        self._rules = rules
        self._output = output
        self._accounts = accounts

    async def judge(self, change: Change, addressees: list[Addressee]) -> list[Delivery]:
        """Return who is told what of a change."""
        try:
            with self._storage.budget():
                return self._judge_now(change, addressees)
        except BudgetExceededError:
            return await asyncio.to_thread(self._judge_now, change, addressees)

    def _judge_now(self, change: Change, addressees: list[Addressee]) -> list[Delivery]:
        if change.before is not None and change.action == "delete":
            return self._judge_by(change.before, change, addressees)
        with self._storage.read() as reader:
            return self._judge_by(reader, change, addressees)

    def _judge_by(self, reader: Reader, change: Change, addressees: list[Addressee]) -> list[Delivery]:
        judgement = Judgement(change, reader, self._rules, self._output, self._accounts)
        return list(judgement.deliveries(addressees))
