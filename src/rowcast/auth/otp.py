"""Sign-in with a password that is mailed and works once.

Copies apis/record_auth_otp_request.go and record_auth_with_otp.go. Rule: whether there
is an account shows neither in the answer nor in the work that it takes, neither when
a password is asked for nor when somebody comes back with its id.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from rowcast import credentials
from rowcast.auth import changes
from rowcast.auth.decoys import MOST_CURRENT, Decoys
from rowcast.auth.forms import email_error, require_valid, text_error
from rowcast.auth.origins import Device
from rowcast.auth.pauses import Attempts
from rowcast.auth.signin import SignIn
from rowcast.config import SettingsRef
from rowcast.errors import BadRequestError, ForbiddenError, InternalError, RowcastError
from rowcast.mail.outbox import Outbox
from rowcast.mail.render import render
from rowcast.records import Records
from rowcast.records.finding import find, find_all, find_unique
from rowcast.schema import dates
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection, OTPOptions
from rowcast.schema.fields import PasswordField
from rowcast.schema.generate import random_id, random_text
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import new_record
from rowcast.storage import Reader, Storage, Transaction

METHOD = "otp"

_log = logging.getLogger("rowcast.auth")

_OTPS = "_otps"
_DIGITS = "1234567890"
_LONGEST_PASSWORD = 71
_REFUSED = "Invalid or expired OTP"


@dataclass(frozen=True, slots=True)
class OTPSignInForm:
    """What is submitted."""

    otp_id: str = ""
    password: str = ""


class OneTimePasswords:
    """Mails passwords and takes them back. `now` gives seconds since 1970."""

    def __init__(  # noqa: PLR0913 - the parts that meet here
        self,
        *,
        storage: Storage,
        catalog: CatalogRef,
        settings: SettingsRef,
        records: Records,
        signin: SignIn,
        outbox: Outbox,
        attempts: Attempts,
        decoys: Decoys,
        now: Callable[[], float],
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._settings = settings
        self._records = records
        self._signin = signin
        self._outbox = outbox
        self._now = now
        self._attempts = attempts
        self._decoys = decoys

    def request(self, collection: Collection, email: str) -> str:
        """Mail a new password to an account and return its id. Takes long; call it in a thread.

        An id is returned also where there is no account. Raises BadRequestError with `data` by field.
        """
        options = require_enabled(collection)
        require_valid(email=email_error(email))
        otps = self._otps()
        password, lives_s = random_text(options.length, _DIGITS), options.duration
        # Before the account is looked for, so that it takes as long without one.
        hashed = changes.hash_for(otps, password)
        with self._storage.write() as tx:
            account = find_unique(tx, collection, "email", email)
            current = self._current(tx, otps, collection, account.id if account is not None else random_id())
            if len(current) >= MOST_CURRENT:
                _log.warning("too many one-time passwords are asked for; the last one must do")
                return current[0].id
            otp = _new_otp(otps, collection, account.id if account is not None else random_id())
            changes.set_password(otp, password, hashed)
            if account is None:
                self._pretend(tx, otp)
            else:
                self._records.save(tx, otp)
        self._outbox.later(lambda: self._mail(account, otp, password))
        return otp.id if account is not None else self._decoys.issue(collection, email, lives_s)

    def sign_in(
        self, collection: Collection, form: OTPSignInForm, request: RequestInfo, device: Device, *, mfa_id: str = ""
    ) -> bytes:
        """Return the answer `{record, token}` as JSON. Takes long; call it in a thread.

        Raises BadRequestError with `data` by field for an unusable form and without it
        for a wrong password, TooManyRequestsError, and what `SignIn.complete` raises.
        """
        require_enabled(collection)
        require_valid(otpId=text_error(form.otp_id), password=text_error(form.password, _LONGEST_PASSWORD))
        otps = self._otps()
        with self._storage.read() as reader:
            otp, account = self._find(reader, otps, collection, form.otp_id) or (None, None)
        owner = account.id if account is not None else self._decoys.owner(collection, form.otp_id)
        if owner:
            self._attempts.count(collection, owner, device.address)
        # Compared also where there is nothing to compare with, so that it takes as long.
        is_right = credentials.is_password(form.password, otp.text("password") if otp is not None else _decoy(otps))
        if otp is None or account is None or not is_right:
            raise BadRequestError(_REFUSED)
        hashed = changes.random_hash(collection) if _is_locked_by(otp, account) else ""
        with self._storage.write() as tx:
            # Once more, because in the meantime the same password may have been used.
            found = self._find(tx, otps, collection, form.otp_id)
            if found is None:
                raise BadRequestError(_REFUSED)
            otp, account = found
            self._records.delete_record(tx, otp)
            self._verify(tx, otp, account, hashed)
        return self._signin.complete(account, request, device, METHOD, mfa_id=mfa_id)

    def _otps(self) -> Collection:
        collection = self._catalog.current.find(_OTPS)
        if collection is None:
            raise InternalError
        return collection

    def _current(self, reader: Reader, otps: Collection, collection: Collection, account_id: str) -> list[Record]:
        """Return the one-time passwords of an account that have not expired, the newest first."""
        belongs = {"collectionRef": collection.id, "recordRef": account_id}
        found = find_all(reader, otps, belongs, newest_first=True)
        return [otp for otp in found if not self._is_expired(otp, collection)]

    def _pretend(self, tx: Transaction, otp: Record) -> None:
        """Do the work of saving a one-time password, and leave nothing behind."""
        with contextlib.suppress(_UndoneError), tx.savepoint():
            # The account that it belongs to is not there, which validation would tell.
            self._records.save(tx, otp, validate=False)
            raise _UndoneError

    def _is_expired(self, otp: Record, collection: Collection) -> bool:
        lives_s = collection.auth.otp.duration if collection.auth is not None else 0
        return self._now() - dates.to_unix(otp.text("created")) > lives_s

    def _find(
        self, reader: Reader, otps: Collection, collection: Collection, otp_id: str
    ) -> tuple[Record, Record] | None:
        """Return a one-time password that has not expired, and its account."""
        otp = find(reader, otps, otp_id)
        if otp is None or otp.text("collectionRef") != collection.id or self._is_expired(otp, collection):
            return None
        account = find(reader, collection, otp.text("recordRef"))
        return (otp, account) if account is not None else None

    def _verify(self, tx: Transaction, otp: Record, account: Record, hashed: str) -> None:
        """Mark an address as verified that got the mail; what is wrong with the account otherwise does not matter."""
        if not _proves_email(otp, account):
            return
        account.set("verified", True)
        if hashed:
            # Whoever signed up with somebody else's address must not come back with its first password.
            changes.lock_password(account, hashed)
        try:
            with tx.savepoint():
                changes.save(self._records, tx, account, _REFUSED)
        except BadRequestError as error:
            _log.warning("the verified state of an account could not be saved: %s", error)
            account.values = dict(account.original)

    def _mail(self, account: Record | None, otp: Record, password: str) -> None:
        if account is None:
            return
        options = require_enabled(account.collection)
        values = {"OTP": password, "OTP_ID": otp.id}
        message = render(self._settings.current.meta, account, options.email_template, values)
        self._outbox.send(
            message, then=lambda: self._note_sent(otp.id, message.to), otherwise=lambda: self._forget(otp.id)
        )

    def _note_sent(self, otp_id: str, to: str) -> None:
        with self._storage.write() as tx:
            otp = find(tx, self._otps(), otp_id)
            if otp is not None and not otp.text("sentTo"):
                otp.set("sentTo", to)
                self._records.save(tx, otp)

    def _forget(self, otp_id: str) -> None:
        with self._storage.write() as tx:
            otp = find(tx, self._otps(), otp_id)
            if otp is not None:
                self._records.delete_record(tx, otp)


def require_enabled(collection: Collection) -> OTPOptions:
    """Return the options of one-time passwords. Raises ForbiddenError where they are off."""
    if collection.auth is None or not collection.auth.otp.enabled:
        raise ForbiddenError("The collection is not configured to allow OTP authentication.")
    return collection.auth.otp


class _UndoneError(RowcastError):
    """Ends a savepoint of which nothing shall stay."""


def _new_otp(otps: Collection, collection: Collection, account_id: str) -> Record:
    otp = new_record(otps)
    otp.set("collectionRef", collection.id)
    otp.set("recordRef", account_id)
    return otp


def _decoy(otps: Collection) -> str:
    """Return a hash that no password fits, of the cost of a real one."""
    field = otps.field("password")
    return credentials.decoy_hash(field.cost if isinstance(field, PasswordField) else 0)


def _proves_email(otp: Record, account: Record) -> bool:
    """Whether the mail went to an address of the account that is not verified yet."""
    return not account.flag("verified") and bool(otp.text("sentTo")) and otp.text("sentTo") == account.text("email")


def _is_locked_by(otp: Record, account: Record) -> bool:
    """Whether the old password of the account must end with this sign-in."""
    options = account.collection.auth
    return _proves_email(otp, account) and options is not None and not options.mfa.enabled
