"""From where somebody signed in before, and the mail about a new place.

Copies apis/record_helpers.go, authAlert, except that the mail is sent in the
background: a new place is remembered once its mail has left, so that the next
sign-in from there is told again where it has not.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from rowcast.config import SettingsRef
from rowcast.errors import RowcastError
from rowcast.mail.outbox import Outbox
from rowcast.mail.render import escape, render
from rowcast.records import Records
from rowcast.records.finding import find_all
from rowcast.schema import dates
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.schema.rows import new_record
from rowcast.storage import Storage, Transaction

_log = logging.getLogger("rowcast.auth")

_ORIGINS = "_authOrigins"
_MOST_ORIGINS = 5
_LONGEST_AGENT = 200


@dataclass(frozen=True, slots=True)
class Device:
    """What a request tells about where it comes from."""

    address: str = ""
    user_agent: str = ""

    @property
    def described(self) -> str:
        """Address and browser, as the mail shows them."""
        return f"{self.address} {self._agent.decode('utf-8', 'replace')}"

    @property
    def fingerprint(self) -> str:
        """A short text that is equal for equal devices."""
        return hashlib.md5(self.address.encode() + self._agent, usedforsecurity=False).hexdigest()

    @property
    def _agent(self) -> bytes:
        agent = self.user_agent.encode("utf-8", "replace")
        return agent if len(agent) <= _LONGEST_AGENT else agent[:_LONGEST_AGENT] + b"..."


class Origins:
    """Keeps the last places of each account in `_authOrigins`."""

    def __init__(
        self, storage: Storage, catalog: CatalogRef, settings: SettingsRef, records: Records, outbox: Outbox
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._settings = settings
        self._records = records
        self._outbox = outbox

    def note(self, account: Record, device: Device) -> None:
        """Remember a sign-in; tell the account by mail if it is from a new place. Never raises RowcastError."""
        try:
            if not self._remember(account, device, is_told=False):
                self._tell(account, device)
        except RowcastError as error:
            _log.warning("a sign-in could not be noted: %s", error)

    def _tell(self, account: Record, device: Device) -> None:
        options = account.collection.auth
        if options is None:
            return
        info = escape(f"{dates.now()} - {device.described}")
        message = render(self._settings.current.meta, account, options.auth_alert.email_template, {"ALERT_INFO": info})
        self._outbox.send(message, then=lambda: self._after_mail(account, device))

    def _after_mail(self, account: Record, device: Device) -> None:
        self._remember(account, device, is_told=True)

    def _remember(self, account: Record, device: Device, *, is_told: bool) -> bool:
        """Store the origin; False where the account must be told of it first."""
        collection = self._catalog.current.find(_ORIGINS)
        if collection is None:
            return True
        with self._storage.write() as tx:
            belongs = {"collectionRef": account.collection.id, "recordRef": account.id}
            origins = find_all(tx, collection, belongs, newest_first=True)
            fingerprint = device.fingerprint
            known = next((origin for origin in origins if origin.text("fingerprint") == fingerprint), None)
            if known is None and origins and account.text("email") and not is_told:
                return False
            if known is None:
                self._drop_oldest(tx, origins)
                known = _new_origin(collection, account, fingerprint)
            self._records.save(tx, known)
            return True

    def _drop_oldest(self, tx: Transaction, origins: list[Record]) -> None:
        for origin in origins[_MOST_ORIGINS - 1 :]:
            self._records.delete_record(tx, origin)


def _new_origin(collection: Collection, account: Record, fingerprint: str) -> Record:
    origin = new_record(collection)
    origin.set("collectionRef", account.collection.id)
    origin.set("recordRef", account.id)
    origin.set("fingerprint", fingerprint)
    return origin
