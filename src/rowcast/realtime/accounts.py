"""Who is connected: accounts, their streams, and a look-up by their values.

Owned by the event loop. `with_value` alone may be called from threads that judge:
it copies what it finds, so that streams may come and go meanwhile, and an index is
made under `_lock`, so that an account that comes then is not missing from it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rowcast.schema.collection import Collection
from rowcast.schema.record import Record

if TYPE_CHECKING:
    from rowcast.realtime.stream import Stream

GUESTS = ""
"""The kind of those without an account; the kind of the others is the id of their collection."""


@dataclass(slots=True, eq=False)
class Account:
    """Who a stream belongs to, shared by all its streams; `record` is None for guests.

    `record` is swapped when the account changes, so that every stream has the new
    values at once.
    """

    record: Record | None = None

    @property
    def kind(self) -> str:
        """The id of the account's collection, or GUESTS."""
        return self.record.collection.id if self.record is not None else GUESTS

    @property
    def collection(self) -> Collection | None:
        """The account's collection, None for guests."""
        return self.record.collection if self.record is not None else None

    @property
    def is_superuser(self) -> bool:
        """Whether rules do not apply."""
        return self.record is not None and self.record.collection.name == "_superusers"


class Accounts:
    """The accounts that have streams."""

    def __init__(self) -> None:
        self.guest = Account()
        self._accounts: dict[tuple[str, str], Account] = {}
        self._streams: dict[Account, dict[Stream, None]] = {}
        # By kind and name of a value, made when it is first asked for: value -> accounts.
        self._indexes: dict[tuple[str, str], dict[str, dict[Account, None]]] = {}
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Account]:
        return iter(tuple(self._streams))

    def find(self, kind: str, record_id: str) -> Account | None:
        """Return the account of a record, None where it has no stream."""
        return self._accounts.get((kind, record_id))

    def streams(self, account: Account) -> tuple[Stream, ...]:
        """Return the streams of an account that is not the guest."""
        return tuple(self._streams.get(account, ()))

    def assign(self, stream: Stream, record: Record) -> None:
        """Make `record` the account of a stream that has none."""
        key = (record.collection.id, record.id)
        account = self._accounts.get(key)
        if account is None:
            account = Account(record)
            with self._lock:
                self._accounts[key] = account
                self._index(account)
        stream.account = account
        self._streams.setdefault(account, {})[stream] = None

    def release(self, stream: Stream) -> None:
        """Make a guest of a stream; an account without streams is forgotten."""
        account, stream.account = stream.account, self.guest
        streams = self._streams.get(account)
        if streams is None:
            return
        streams.pop(stream, None)
        if not streams and account.record is not None:
            del self._streams[account]
            with self._lock:
                self._unindex(account)
                del self._accounts[account.record.collection.id, account.record.id]

    def update(self, account: Account, record: Record) -> None:
        """Give an account its new values."""
        with self._lock:
            self._unindex(account)
            account.record = record
            self._index(account)

    def with_value(self, kind: str, name: str, value: str) -> tuple[Account, ...]:
        """Return the accounts of a kind whose text `name` is `value`."""
        if name == "id":
            account = self._accounts.get((kind, value))
            return () if account is None else (account,)
        index = self._indexes.get((kind, name))
        if index is None:
            index = self._made(kind, name)
        return tuple(index.get(value, ()))

    def _made(self, kind: str, name: str) -> dict[str, dict[Account, None]]:
        index: dict[str, dict[Account, None]] = {}
        with self._lock:
            for account in self._accounts.values():
                if account.kind == kind and account.record is not None:
                    index.setdefault(account.record.text(name), {})[account] = None
            self._indexes[kind, name] = index
        return index

    def _index(self, account: Account) -> None:
        for (kind, name), index in tuple(self._indexes.items()):
            if account.record is not None and account.kind == kind:
                index.setdefault(account.record.text(name), {})[account] = None

    def _unindex(self, account: Account) -> None:
        for (kind, name), index in tuple(self._indexes.items()):
            if account.record is not None and account.kind == kind:
                found = index.get(account.record.text(name))
                if found is not None:
                    found.pop(account, None)
                    if not found:
                        del index[account.record.text(name)]
