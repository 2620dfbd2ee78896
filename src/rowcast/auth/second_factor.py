"""Sign-in with two methods: the first leaves a row in `_mfas`, another one takes it.

Copies apis/record_helpers.go (checkMFA, wantsMFA) and core/mfa_model.go. Which two
methods does not matter, as long as they differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rowcast.errors import BadRequestError, FilterError, RowcastError
from rowcast.records import Records
from rowcast.records.finding import find
from rowcast.rules import Rules
from rowcast.schema import dates
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import new_record, to_row
from rowcast.storage import Reader, Storage, Transaction

_MFAS = "_mfas"


class SecondFactorError(RowcastError):
    """The first method was right; a second one must follow and name `mfa_id`."""

    def __init__(self, mfa_id: str) -> None:
        super().__init__("mfa required")
        self.mfa_id = mfa_id


class SecondFactor:
    """Begins and completes sign-ins with two methods."""

    def __init__(
        self,
        storage: Storage,
        catalog: CatalogRef,
        records: Records,
        rules: Rules,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._records = records
        self._rules = rules
        self._now = now

    def is_wanted(self, reader: Reader, account: Record, request: RequestInfo) -> bool:
        """Whether this account must sign in with two methods. Raises BadRequestError for a broken rule."""
        options = account.collection.auth
        if options is None or not options.mfa.enabled:
            return False
        if not options.mfa.rule:
            return True
        try:
            return self._rules.holds(
                reader, options.mfa.rule, account.collection, account.id, request, row=to_row(account)
            )
        except FilterError as error:
            raise BadRequestError("Failed to authenticate.") from error

    def check(self, account: Record, method: str, mfa_id: str) -> None:
        """Take what the first method left, or leave something for the second.

        Raises SecondFactorError for the first method, BadRequestError where the second
        one does not go with it. An id works once, also for requests at the same time.
        """
        collection = self._catalog.current.find(_MFAS)
        if collection is None:
            raise BadRequestError("Failed to authenticate.")
        with self._storage.write() as tx:
            if not mfa_id:
                begun = self._begin(tx, collection, account, method)
                problem = ""
            else:
                begun = ""
                problem = self._complete(tx, collection, account, method, mfa_id)
        # Only now, because an exception would undo what was written.
        if begun:
            raise SecondFactorError(begun)
        if problem:
            raise BadRequestError(problem)

    def _begin(self, tx: Transaction, collection: Collection, account: Record, method: str) -> str:
        mfa = new_record(collection)
        mfa.set("collectionRef", account.collection.id)
        mfa.set("recordRef", account.id)
        mfa.set("method", method)
        self._records.save(tx, mfa)
        return mfa.id

    def _complete(self, tx: Transaction, collection: Collection, account: Record, method: str, mfa_id: str) -> str:
        """Delete the row of a begun sign-in; return what is wrong with it."""
        mfa = find(tx, collection, mfa_id)
        if mfa is None:
            return "Invalid or expired MFA session."
        options = account.collection.auth
        lives_s = options.mfa.duration if options is not None else 0
        if self._now() - dates.to_unix(mfa.text("created")) > lives_s:
            self._records.delete_record(tx, mfa)
            return "Invalid or expired MFA session."
        if mfa.text("recordRef") != account.id or mfa.text("collectionRef") != account.collection.id:
            return "Invalid MFA session."
        if mfa.text("method") == method:
            return "A different authentication method is required."
        self._records.delete_record(tx, mfa)
        return ""
