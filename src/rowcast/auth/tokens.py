"""Tokens of accounts: minted, and traced back to the account that they belong to.

A token is signed with the account's `tokenKey` and its collection's secret for that
kind of token, so both are looked up before anything in it is believed. What was
verified once is remembered together with the key that verified it: a changed key
ends a remembered token at once. Safe to use from several threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rowcast.credentials import TokenKind, is_signed, read_claims, secret_of, sign
from rowcast.errors import InternalError
from rowcast.records.finding import find
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.record import Record
from rowcast.storage import Reader

_MOST_REMEMBERED = 10_000

_Verified = tuple[str, str, float, str]
"""Collection id, record id, end, key."""


class Tokens:
    """Mints tokens and finds their accounts. `now` gives seconds since 1970."""

    def __init__(self, catalog: CatalogRef, *, now: Callable[[], float] = time.time) -> None:
        self._catalog = catalog
        self._now = now
        self._verified: dict[str, _Verified] = {}

    def find(self, reader: Reader, token: str, kind: TokenKind = "auth") -> Record | None:
        """Return the account of a token of this kind.

        None for a token that is malformed, of another kind, not begun, ended, or not
        signed by its account's present key. Copies core/record_query.go, FindAuthRecordByToken.
        """
        known = self._verified.get(token) if kind == "auth" else None
        if known is not None:
            collection_id, record_id, ends, key = known
            if self._now() < ends:
                account = self._account(reader, collection_id, record_id)
                if account is not None and key_of(account, kind) == key:
                    return account
            self._verified.pop(token, None)
        return self._verify(reader, token, kind)

    def mint(
        self,
        account: Record,
        kind: TokenKind = "auth",
        *,
        duration_s: int = 0,
        claims: Mapping[str, object] | None = None,
    ) -> str:
        """Return a new token; without `duration_s` it lives as long as the collection says.

        `claims` are those that only this kind has. Copies core/record_tokens.go.
        """
        options = account.collection.auth
        key = key_of(account, kind)
        if options is None or not key:
            raise InternalError("Failed to create auth token.")
        seconds = duration_s if duration_s > 0 else secret_of(options, kind).duration
        said = {"type": kind, "id": account.id, "collectionId": account.collection.id, **(claims or {})}
        return sign({**said, "exp": int(self._now()) + seconds}, key)

    def mint_auth(self, account: Record) -> str:
        """Return a new token for signing in, which can be renewed."""
        return self.mint(account, claims={"refreshable": True})

    def _verify(self, reader: Reader, token: str, kind: TokenKind) -> Record | None:
        claims = read_claims(token)
        if claims is None or claims.type != kind or not claims.id or not claims.is_current(self._now()):
            return None
        account = self._account(reader, claims.collection_id, claims.id)
        if account is None or not is_signed(token, key_of(account, kind)):
            return None
        if kind == "auth":
            if len(self._verified) >= _MOST_REMEMBERED:
                self._verified = {}
            self._verified[token] = (claims.collection_id, claims.id, claims.ends, key_of(account, kind))
        return account

    def _account(self, reader: Reader, collection_id: str, record_id: str) -> Record | None:
        collection = self._catalog.current.find(collection_id)
        # Found by its id, not by its name.
        if collection is None or not collection.is_auth or collection.id != collection_id:
            return None
        return find(reader, collection, record_id)


def key_of(account: Record, kind: TokenKind) -> str:
    """Return the key that signs a kind of token of an account, "" where there is none."""
    options = account.collection.auth
    return account.text("tokenKey") + secret_of(options, kind).secret if options is not None else ""
