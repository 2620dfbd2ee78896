"""Ids of one-time passwords that nobody got: what an answer says where there is no account.

They must look like real ones to who comes back with them, or who asks for an
address, guesses and watches would learn whether it is known: the tenth id in their
lifetime is given again, guesses at them are counted, and they end. Kept in memory, by
this process or (`shared_decoys`) by all; the oldest go first. Beyond the reference, which
forgets them at once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rowcast.schema.collection import Collection
from rowcast.schema.generate import random_id

MOST_CURRENT = 10
"""How many one-time passwords of one account are valid at the same time."""

_MOST_KEPT = 10_000


class Decoys(Protocol):
    """Gives ids and knows them again. Safe to use from several threads."""

    def issue(self, collection: Collection, email: str, lives_s: float) -> str:
        """Return the id that is answered for an address without an account."""
        ...

    def owner(self, collection: Collection, otp_id: str) -> str:
        """Return what stands for the address that an id was given to, "" where it was given to none or has ended."""
        ...

    def close(self) -> None:
        """Give back what was taken from the system."""
        ...


@dataclass(frozen=True, slots=True)
class _Decoy:
    collection_id: str
    email: str
    ends: float


class MemoryDecoys:
    """Ids that this process gives. `now` gives seconds since 1970."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Decoy] = OrderedDict()
        self._of: dict[tuple[str, str], list[str]] = {}

    def issue(self, collection: Collection, email: str, lives_s: float) -> str:
        """Return the id that is answered for an address without an account."""
        owner = (collection.id, email.lower())
        with self._lock:
            current = [otp_id for otp_id in self._of.get(owner, []) if self._kept[otp_id].ends >= self._now()]
            if len(current) >= MOST_CURRENT:
                return current[-1]
            while len(self._kept) >= _MOST_KEPT:
                self._drop_oldest()
            otp_id = random_id()
            self._kept[otp_id] = _Decoy(*owner, self._now() + lives_s)
            self._of.setdefault(owner, []).append(otp_id)
            return otp_id

    def owner(self, collection: Collection, otp_id: str) -> str:
        """Return the address that an id was given to, "" where it was given to none or has ended."""
        with self._lock:
            decoy = self._kept.get(otp_id)
        if decoy is None or decoy.collection_id != collection.id or decoy.ends < self._now():
            return ""
        return decoy.email

    def close(self) -> None:
        """Do nothing: the memory goes with the object."""

    def _drop_oldest(self) -> None:
        otp_id, decoy = self._kept.popitem(last=False)
        owner = (decoy.collection_id, decoy.email)
        self._of[owner].remove(otp_id)
        if not self._of[owner]:
            del self._of[owner]
