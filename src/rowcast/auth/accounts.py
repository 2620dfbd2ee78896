"""Everything that can be done with accounts, in one place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rowcast import credentials, encoding
from rowcast.auth import methods
from rowcast.auth.apple_names import AppleNames
from rowcast.auth.decoys import Decoys, MemoryDecoys
from rowcast.auth.email_change import EmailChange
from rowcast.auth.expiry import delete_expired
from rowcast.auth.origins import Device, Origins
from rowcast.auth.otp import OneTimePasswords
from rowcast.auth.password_reset import PasswordReset
from rowcast.auth.passwords import Passwords
from rowcast.auth.pauses import Attempts, Resends
from rowcast.auth.second_factor import SecondFactor
from rowcast.auth.signin import SignIn
from rowcast.auth.tokens import Tokens
from rowcast.auth.verification import Verification
from rowcast.config import SettingsRef
from rowcast.errors import NotFoundError
from rowcast.mail.outbox import Outbox
from rowcast.records import Records
from rowcast.records.finding import find
from rowcast.rules import Rules
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.storage import Reader, Storage
from rowcast.windows import Windows
from rowcast.windows.memory import MemoryWindows

if TYPE_CHECKING:
    from rowcast.auth.oauth2.flow import OAuth2


class Accounts:
    """Signs in and knows who is signed in. Synchronous; safe to use from several threads.

    `passwords`, `otps`, `verification`, `password_reset` and `email_change` are the
    flows, as is `oauth2`; `tokens` mints tokens and finds their accounts, `signin` ends every
    sign-in. `now` gives seconds since 1970. `windows` and `decoys` are counted and kept in; they are this
    process's own where none are given. Pictures may come from the `avatar_hosts` wherever they are.
    """

    def __init__(  # noqa: PLR0913 - the parts that meet here
        self,
        *,
        storage: Storage,
        catalog: CatalogRef,
        settings: SettingsRef,
        records: Records,
        rules: Rules,
        outbox: Outbox,
        now: Callable[[], float] = time.time,
        windows: Windows | None = None,
        decoys: Decoys | None = None,
        avatar_hosts: Iterable[str] = (),
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._records = records
        self._now = now
        self.tokens = Tokens(catalog, now=now)
        self.signin = SignIn(
            storage=storage,
            settings=settings,
            records=records,
            rules=rules,
            tokens=self.tokens,
            second_factor=SecondFactor(storage, catalog, records, rules, now=now),
            origins=Origins(storage, catalog, settings, records, outbox),
        )
        self.passwords = Passwords(storage, self.signin)
        windows = MemoryWindows() if windows is None else windows
        resends = Resends(now, windows)
        self.verification = Verification(storage, settings, records, self.tokens, outbox, resends)
        self.password_reset = PasswordReset(storage, settings, records, self.tokens, outbox, resends)
        self.email_change = EmailChange(storage, settings, records, self.tokens, outbox)
        self.otps = OneTimePasswords(
            storage=storage,
            catalog=catalog,
            settings=settings,
            records=records,
            signin=self.signin,
            outbox=outbox,
            attempts=Attempts(now, windows),
            decoys=MemoryDecoys(now) if decoys is None else decoys,
            now=now,
        )
        self.apple_names = AppleNames(now)
        self._avatar_hosts = frozenset(avatar_hosts)
        self._oauth2: OAuth2 | None = None
        self._oauth2_lock = threading.Lock()
        self._is_stopped = False

    @property
    def oauth2(self) -> OAuth2:
        """Sign-in with other services. Loads its libraries when it is first asked for; do so in a thread."""
        with self._oauth2_lock:
            if self._oauth2 is None:
                self._oauth2 = self._load_oauth2()
                if self._is_stopped:
                    self._oauth2.stop()
            return self._oauth2

    def stop(self) -> None:
        """Let everything that waits for other services fail soon, for good."""
        with self._oauth2_lock:
            self._is_stopped = True
            if self._oauth2 is not None:
                self._oauth2.stop()

    def _load_oauth2(self) -> OAuth2:
        from rowcast.auth.oauth2.flow import OAuth2  # noqa: PLC0415 - a third of a second that few starts need

        return OAuth2(
            storage=self._storage,
            catalog=self._catalog,
            records=self._records,
            signin=self.signin,
            names=self.apple_names,
            trusted=self._avatar_hosts,
            now=self._now,
        )

    def collection(self, name_or_id: str) -> Collection:
        """Return an auth collection. Raises NotFoundError."""
        return require_auth(self._catalog.current.find(name_or_id))

    def authenticate(self, reader: Reader, token: str) -> Record | None:
        """Return the account of a sign-in token, None where the token is worth nothing."""
        return self.tokens.find(reader, token)

    def methods(self, collection: Collection) -> bytes:
        """Return how one can sign in to a collection, as JSON."""
        if collection.auth is None:
            raise _no_accounts()
        return encoding.encode(methods.describe(collection.auth))

    def refresh(self, request: RequestInfo, device: Device, token: str) -> bytes:
        """Return the account of `request` with a new token, or with the same one where it can't be renewed.

        Copies apis/record_auth_refresh.go.
        """
        account = request.auth
        if account is None:
            raise NotFoundError("Missing auth record context.")
        claims = credentials.read_claims(token)
        if claims is not None and claims.refreshable is True:
            token = self.tokens.mint_auth(account)
        with self._storage.read() as reader:
            return self.signin.renew(reader, account, request, device, token)

    def find(self, collection: Collection, record_id: str) -> Record:
        """Return an account, whatever the rules. Raises NotFoundError."""
        with self._storage.read() as reader:
            account = find(reader, collection, record_id)
        if account is None:
            raise NotFoundError
        return account

    def impersonate(self, account: Record, request: RequestInfo, device: Device, duration_s: int = 0) -> bytes:
        """Return an account with a token that can't be renewed; for superusers.

        Copies apis/record_auth_impersonate.go.
        """
        token = self.tokens.mint(account, duration_s=duration_s, claims={"refreshable": False})
        with self._storage.read() as reader:
            return self.signin.renew(reader, account, request, device, token)

    def delete_expired_mfas(self) -> None:
        """Delete first factors that nobody came back with; to be called now and then."""
        delete_expired(self._storage, self._catalog, self._records, "_mfas", self._now())

    def delete_expired_otps(self) -> None:
        """Delete one-time passwords that nobody came back with; to be called now and then."""
        delete_expired(self._storage, self._catalog, self._records, "_otps", self._now())


def require_auth(collection: Collection | None) -> Collection:
    """Return an auth collection; raises NotFoundError for any other and for none."""
    if collection is None or not collection.is_auth:
        raise _no_accounts()
    return collection


def _no_accounts() -> NotFoundError:
    return NotFoundError("Missing or invalid auth collection context.")
