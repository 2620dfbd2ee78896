"""`/api/collections/{collection}/request-…`, `/confirm-…`: what is mailed to accounts and comes back."""

from __future__ import annotations

import asyncio

from rowcast import encoding
from rowcast.api import auth_forms as forms
from rowcast.api.request import Request
from rowcast.api.responses import NO_CONTENT, Answer, picked
from rowcast.api.work import Work
from rowcast.auth import Accounts, email_change, otp, password_reset, verification
from rowcast.auth.accounts import require_auth
from rowcast.auth.otp import OTPSignInForm
from rowcast.auth.password_reset import NewPasswordForm
from rowcast.errors import BadRequestError, UnauthorizedError

_MAIL_WAIT_S = 65
"""A little longer than one mail may take."""


class AuthMailsApi:
    """Answers requests for one-time passwords, verification, password reset and e-mail change."""

    def __init__(self, work: Work, accounts: Accounts) -> None:
        self._work = work
        self._accounts = accounts

    async def request_otp(self, request: Request) -> Answer:
        """Mail a one-time password."""
        collection = require_auth(request.collection)
        otp.require_enabled(collection)
        (email,) = forms.texts(await forms.read(request), ("email",))
        otp_id = await self._work.hash(lambda: self._accounts.otps.request(collection, email))
        return picked(request, encoding.encode({"otpId": otp_id}))

    async def with_otp(self, request: Request) -> Answer:
        """Sign in with a one-time password."""
        collection = require_auth(request.collection)
        otp.require_enabled(collection)
        body = await forms.read(request)
        form = OTPSignInForm(*forms.texts(body, ("otpId", "password")))
        info, device = request.info(forms.values(body), "otp"), forms.device_of(request)
        mfa_id, flow = forms.mfa_id(request, body), self._accounts.otps
        signing_in = self._work.hash(lambda: flow.sign_in(collection, form, info, device, mfa_id=mfa_id))
        return await forms.signed_in(request, signing_in)

    async def request_verification(self, request: Request) -> Answer:
        """Mail a token that proves an address."""
        collection = require_auth(request.collection)
        verification.refuse_superusers(collection)
        (email,) = forms.texts(await forms.read(request), ("email",))
        self._accounts.verification.request(collection, email)
        return NO_CONTENT

    async def confirm_verification(self, request: Request) -> Answer:
        """Take such a token back."""
        collection = require_auth(request.collection)
        verification.refuse_superusers(collection)
        (token,) = forms.texts(await forms.read(request), ("token",))
        await self._work.hash(lambda: self._accounts.verification.confirm(collection, token))
        return NO_CONTENT

    async def request_reset(self, request: Request) -> Answer:
        """Mail a token that allows a new password."""
        collection = require_auth(request.collection)
        password_reset.require_enabled(collection)
        (email,) = forms.texts(await forms.read(request), ("email",))
        self._accounts.password_reset.request(collection, email)
        return NO_CONTENT

    async def confirm_reset(self, request: Request) -> Answer:
        """Take such a token back."""
        collection = require_auth(request.collection)
        form = NewPasswordForm(*forms.texts(await forms.read(request), ("token", "password", "passwordConfirm")))
        await self._work.hash(lambda: self._accounts.password_reset.confirm(collection, form))
        return NO_CONTENT

    async def request_email_change(self, request: Request) -> Answer:
        """Mail a token to a new address, and wait until the mail has left."""
        email_change.refuse_superusers(require_auth(request.collection))
        account = request.auth
        if account is None:
            raise UnauthorizedError("The request requires valid auth record.")
        (email,) = forms.texts(await forms.read(request), ("newEmail",))
        loop = asyncio.get_running_loop()
        has_left: asyncio.Future[bool] = loop.create_future()

        def tell(outcome: bool) -> None:
            if not has_left.done():
                has_left.set_result(outcome)

        def report(outcome: bool) -> None:
            loop.call_soon_threadsafe(tell, outcome)

        await self._work.quick(lambda: self._accounts.email_change.request(account, email, report))
        try:
            is_sent = await asyncio.wait_for(has_left, _MAIL_WAIT_S)
        except TimeoutError:
            # Behind mails to a server that hangs; it may still leave.
            is_sent = False
        if not is_sent:
            raise BadRequestError(email_change.REQUEST_FAILED)
        return NO_CONTENT

    async def confirm_email_change(self, request: Request) -> Answer:
        """Take such a token back."""
        collection = require_auth(request.collection)
        email_change.refuse_superusers(collection)
        token, password = forms.texts(await forms.read(request), ("token", "password"))
        await self._work.hash(lambda: self._accounts.email_change.confirm(collection, token, password))
        return NO_CONTENT
