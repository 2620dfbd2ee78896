"""`/api/collections/{collection}/auth-…`: ways to sign in, signing in, and new tokens for who has."""

from __future__ import annotations

from rowcast.api import auth_forms as forms
from rowcast.api import wire
from rowcast.api.auth_mails import AuthMailsApi
from rowcast.api.request import Request
from rowcast.api.responses import Answer, picked
from rowcast.api.work import Work
from rowcast.auth import Accounts
from rowcast.auth.accounts import require_auth
from rowcast.auth.passwords import PasswordSignInForm, require_enabled
from rowcast.errors import ErrorData, ForbiddenError, InvalidFieldsError, UnauthorizedError
from rowcast.schema import checks


class AuthApi:
    """Answers requests to sign in (apis/record_auth_*.go); `mails` those about what is mailed."""

    def __init__(self, work: Work, accounts: Accounts) -> None:
        self.mails = AuthMailsApi(work, accounts)
        self._work = work
        self._accounts = accounts

    async def methods(self, request: Request) -> Answer:
        """Return how one can sign in."""
        return picked(request, self._accounts.methods(require_auth(request.collection)))

    async def with_password(self, request: Request) -> Answer:
        """Sign in with a password."""
        collection = require_auth(request.collection)
        require_enabled(collection)
        body = await forms.read(request)
        form = PasswordSignInForm(*forms.texts(body, ("identity", "password", "identityField")))
        info, device = request.info(forms.values(body), "password"), forms.device_of(request)
        mfa_id, flow = forms.mfa_id(request, body), self._accounts.passwords
        signing_in = self._work.hash(lambda: flow.sign_in(collection, form, info, device, mfa_id=mfa_id))
        return await forms.signed_in(request, signing_in)

    async def refresh(self, request: Request) -> Answer:
        """Return the account of the request with a new token."""
        info, device = request.info(forms.values(await wire.read(request))), forms.device_of(request)
        answer = await self._work.quick(lambda: self._accounts.refresh(info, device, request.token))
        return picked(request, answer)

    async def impersonate(self, request: Request) -> Answer:
        """Return an account with a token that can't be renewed."""
        collection = self._accounts.collection(request.values[0])
        account = await self._work.quick(lambda: self._accounts.find(collection, request.values[1]))
        body = await forms.read(request, hides_type=True)
        duration = forms.bind(body, {"duration": "integer"})["duration"]
        seconds = duration if isinstance(duration, int) else 0
        if error := checks.at_least(seconds, 0):
            raise InvalidFieldsError(data=ErrorData(duration=error))
        info, device = request.info(forms.values(body)), forms.device_of(request)
        answer = await self._work.quick(lambda: self._accounts.impersonate(account, info, device, seconds))
        return picked(request, answer)


def same_collection_only(request: Request) -> None:
    """Let accounts of the collection in the path pass (apis/middlewares.go, RequireSameCollectionContextAuth)."""
    auth = request.auth
    if auth is None:
        raise UnauthorizedError("The request requires valid record authorization token.")
    if auth.collection.id != request.collection.id:
        raise ForbiddenError(f"The request requires auth record from {auth.collection.name} collection.")
