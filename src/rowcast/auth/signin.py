"""The answer that every sign-in ends with, and what must hold before it is given.

Copies apis/record_helpers.go, recordAuthResponse: the addresses of superusers, the
auth rule, the second factor, the record as its owner sees it, the new place.
"""

from __future__ import annotations

from dataclasses import replace

from rowcast import encoding
from rowcast.auth.origins import Device, Origins
from rowcast.auth.second_factor import SecondFactor
from rowcast.auth.tokens import Tokens
from rowcast.config import SettingsRef
from rowcast.errors import FilterError, ForbiddenError
from rowcast.records import Records, pick
from rowcast.rules import Rules
from rowcast.schema.networks import is_listed
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.schema.rows import to_row
from rowcast.storage import Reader, Storage

_REFUSED = "The request doesn't satisfy the collection requirements to authenticate."


class SignIn:
    """Gives the answers `{meta?, record, token}`."""

    def __init__(
        self,
        *,
        storage: Storage,
        settings: SettingsRef,
        records: Records,
        rules: Rules,
        tokens: Tokens,
        second_factor: SecondFactor,
        origins: Origins,
    ) -> None:
        self._storage = storage
        self._settings = settings
        self._records = records
        self._rules = rules
        self._tokens = tokens
        self._second_factor = second_factor
        self._origins = origins

    def complete(
        self,
        account: Record,
        request: RequestInfo,
        device: Device,
        method: str,
        *,
        mfa_id: str = "",
        meta: object = None,
    ) -> bytes:
        """Return the answer to who proved by `method` to be this account.

        Raises ForbiddenError, BadRequestError, and SecondFactorError where another
        method must follow.
        """
        pick.parse(request.query.get("fields", ""))
        with self._storage.read() as reader:
            self._check(reader, account, request, device)
            is_second_wanted = self._second_factor.is_wanted(reader, account, request)
        if is_second_wanted:
            self._second_factor.check(account, method, mfa_id)
        with self._storage.read() as reader:
            answer = self._answer(reader, account, request, self._tokens.mint_auth(account), meta)
        options = account.collection.auth
        if options is not None and options.auth_alert.enabled:
            self._origins.note(account, device)
        return answer

    def renew(self, reader: Reader, account: Record, request: RequestInfo, device: Device, token: str) -> bytes:
        """Return the answer with a token that needs no second factor and is no news to the account."""
        self._check(reader, account, request, device)
        return self._answer(reader, account, request, token, None)

    def _check(self, reader: Reader, account: Record, request: RequestInfo, device: Device) -> None:
        addresses = self._settings.current.superuser_ips
        if account.collection.name == "_superusers" and addresses and not is_listed(addresses, device.address):
            raise ForbiddenError
        if not self._is_allowed(reader, account, request):
            raise ForbiddenError(_REFUSED)

    def _is_allowed(self, reader: Reader, account: Record, request: RequestInfo) -> bool:
        """Whether the auth rule lets who asks sign in to this account; null is for superusers only."""
        rule = account.collection.auth.auth_rule if account.collection.auth is not None else None
        if not rule or request.is_superuser:
            return rule is not None or request.is_superuser
        try:
            return self._rules.holds(reader, rule, account.collection, account.id, request, row=to_row(account))
        except FilterError:
            return False

    def _answer(self, reader: Reader, account: Record, request: RequestInfo, token: str, meta: object) -> bytes:
        shown = self._records.output.public(
            reader,
            account,
            replace(request, auth=account),
            expand=request.query.get("expand", ""),
            ignore_email_visibility=True,
        )
        answer: dict[str, object] = {} if meta is None else {"meta": meta}
        return encoding.encode({**answer, "record": shown, "token": token})
