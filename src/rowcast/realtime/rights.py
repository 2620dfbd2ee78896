"""What streams may hear by their accounts, and how they lose it.

An account that changes gives its streams its new values at once; one that is deleted, or
whose tokens end, makes guests of them. Owned by the event loop.
"""

from __future__ import annotations

from collections.abc import Callable

from rowcast.bus import CollectionChange
from rowcast.realtime.accounts import Account, Accounts
from rowcast.realtime.stream import Stream
from rowcast.schema.record import Change, Record
from rowcast.schema.rows import moved


class Rights:
    """Gives streams their accounts, and takes them away.

    A stream is taken out of the topic index by `leave` before its account changes, and put in again by `join`.
    """

    def __init__(self, accounts: Accounts, *, leave: Callable[[Stream], None], join: Callable[[Stream], None]) -> None:
        self._accounts = accounts
        self._leave = leave
        self._join = join
        # Counts what was heard of accounts: who looked one up before may have to look again.
        self.changes = 0

    def assign(self, stream: Stream, auth: Record | None) -> None:
        """Give a stream, which is in no index, the account of a request."""
        self._accounts.release(stream)
        if auth is None:
            return
        known = self._accounts.find(auth.collection.id, auth.id)
        if known is not None and known.record is not None and known.record.text("tokenKey") != auth.text("tokenKey"):
            # The change that ends the older tokens is still on its way here.
            self._revoke(known)
        self._accounts.assign(stream, auth)

    def _revoke(self, account: Account) -> None:
        """Make guests of all streams of an account; they keep their topics."""
        for stream in self._accounts.streams(account):
            self._leave(stream)
            self._accounts.release(stream)
            self._join(stream)

    def change(self, change: Change) -> None:
        """Take over the new values of an account, or its rights away. Copies realtimeUpdateClientsAuth."""
        record = change.record
        if not record.collection.is_auth:
            return
        self.changes += 1
        account = self._accounts.find(record.collection.id, record.id)
        if account is None or account.record is None:
            return
        if change.action == "delete" or account.record.text("tokenKey") != record.text("tokenKey"):
            self._revoke(account)
        else:
            self._accounts.update(account, record)

    def change_collection(self, event: CollectionChange) -> None:
        """Take the rights of accounts away whose collection is gone or has a new token secret."""
        self.changes += 1
        before, after = event.before, event.after
        is_revoked = after is None or (
            before.auth is not None
            and after.auth is not None
            and before.auth.auth_token.secret != after.auth.auth_token.secret
        )
        for account in self._accounts:
            if account.kind != before.id or account.record is None:
                continue
            if is_revoked:
                self._revoke(account)
            elif after is not None:
                self._accounts.update(account, moved(account.record, after))
