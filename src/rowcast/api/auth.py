"""`/api/collections/{collection}/auth-…`: ways to sign in, signing in, and new tokens for who has."""

from __future__ import annotations

from rowcast import encoding
from rowcast.api import wire
from rowcast.api.request import Request
from rowcast.api.responses import Answer, json, picked
from rowcast.api.wire import Body, Kind, MalformedBodyError
from rowcast.api.work import Work
from rowcast.auth import Accounts, Device, SecondFactorError
from rowcast.auth.accounts import require_auth
from rowcast.auth.passwords import PasswordSignInForm, require_enabled
from rowcast.errors import BadRequestError, ErrorData, ForbiddenError, InvalidFieldsError, UnauthorizedError
from rowcast.schema import checks

_PASSWORD_FORM: dict[str, Kind] = {"identity": "text", "password": "text", "identityField": "text"}
_IMPERSONATE_FORM: dict[str, Kind] = {"duration": "integer"}

_UNREADABLE = "An error occurred while loading the submitted data."


class AuthApi:
    """Answers requests to sign in (apis/record_auth_*.go)."""

    def __init__(self, work: Work, accounts: Accounts) -> None:
        self._work = work
        self._accounts = accounts

    async def methods(self, request: Request) -> Answer:
        """Return how one can sign in."""
        return picked(request, self._accounts.methods(require_auth(request.collection)))

    async def with_password(self, request: Request) -> Answer:
        """Sign in with a password; where a second method must follow, answer 401 with the id to name there."""
        collection = require_auth(request.collection)
        require_enabled(collection)
        body = await _read(request)
        given = _bind(body, _PASSWORD_FORM)
        form = PasswordSignInForm(str(given["identity"]), str(given["password"]), str(given["identityField"]))
        info = request.info(_values(body), "password")
        mfa_id = request.query.get("mfaId") or str(_bind(body, {"mfaId": "text"})["mfaId"])
        try:
            answer = await self._work.hash(
                lambda: self._accounts.passwords.sign_in(collection, form, info, _device(request), mfa_id=mfa_id)
            )
        except SecondFactorError as error:
            return json(encoding.encode({"mfaId": error.mfa_id}), 401)
        return picked(request, answer)

    async def refresh(self, request: Request) -> Answer:
        """Return the account of the request with a new token."""
        info = request.info(_values(await wire.read(request)))
        answer = await self._work.quick(lambda: self._accounts.refresh(info, _device(request), request.token))
        return picked(request, answer)

    async def impersonate(self, request: Request) -> Answer:
        """Return an account with a token that can't be renewed."""
        collection = self._accounts.collection(request.values[0])
        account = await self._work.quick(lambda: self._accounts.find(collection, request.values[1]))
        body = await _read(request)
        duration = _bind(body, _IMPERSONATE_FORM)["duration"]
        seconds = duration if isinstance(duration, int) else 0
        if error := checks.at_least(seconds, 0):
            raise InvalidFieldsError(data=ErrorData(duration=error))
        info = request.info(_values(body))
        answer = await self._work.quick(lambda: self._accounts.impersonate(account, info, _device(request), seconds))
        return picked(request, answer)


def same_collection_only(request: Request) -> None:
    """Let accounts of the collection in the path pass (apis/middlewares.go, RequireSameCollectionContextAuth)."""
    auth = request.auth
    if auth is None:
        raise UnauthorizedError("The request requires valid record authorization token.")
    if auth.collection.id != request.collection.id:
        raise ForbiddenError(f"The request requires auth record from {auth.collection.name} collection.")


def _device(request: Request) -> Device:
    return Device(request.address, request.header(b"user-agent"))


async def _read(request: Request) -> Body:
    try:
        return await wire.read(request)
    except MalformedBodyError as error:
        raise BadRequestError(_UNREADABLE) from error


def _bind(body: Body, kinds: dict[str, Kind]) -> dict[str, object]:
    try:
        return body.bind(kinds)
    except MalformedBodyError as error:
        raise BadRequestError(_UNREADABLE) from error


def _values(body: Body) -> dict[str, object]:
    """Return what rules see of a body that was read as a form."""
    return body.values() if body.form is not None or isinstance(body.json, dict) else {}
