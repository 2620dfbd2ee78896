"""`auth-with-oauth2` and `/api/oauth2-redirect`: the two ends of a sign-in with another service.

The browser window in which a user signs in comes back to the redirect, which tells the
stream of the waiting client; that client then signs in with the code.
"""

from __future__ import annotations

from rowcast import encoding
from rowcast.api import auth_forms as forms
from rowcast.api import wire
from rowcast.api.request import Request
from rowcast.api.responses import Answer, picked, redirect
from rowcast.api.wire import Kind
from rowcast.api.work import Work
from rowcast.auth import Accounts
from rowcast.auth.accounts import require_auth
from rowcast.errors import BadRequestError, ForbiddenError
from rowcast.realtime.nodes import Nodes

_FORM: dict[str, Kind] = {
    "provider": "text",
    "code": "text",
    "codeVerifier": "text",
    "redirectURL": "text",
    "redirectUrl": "text",
    "createData": "object",
}
_REDIRECT: dict[str, Kind] = {"state": "text", "code": "text", "error": "text", "user": "text"}

_FAILURE = "../_/#/auth/oauth2-redirect-failure"
_SUCCESS = "../_/#/auth/oauth2-redirect-success"


class OAuth2Api:
    """Answers requests of sign-ins with other services."""

    def __init__(self, work: Work, accounts: Accounts, nodes: Nodes) -> None:
        self._work = work
        self._accounts = accounts
        self._nodes = nodes

    async def sign_in(self, request: Request) -> Answer:
        """Sign in with the code of a provider (apis/record_auth_with_oauth2.go)."""
        collection = require_auth(request.collection)
        if collection.auth is None or not collection.auth.oauth2.enabled:
            raise ForbiddenError("The collection is not configured to allow OAuth2 authentication.")
        body = await forms.read(request)
        given = forms.bind(body, _FORM)
        info, device = request.info(forms.values(body), "oauth2"), forms.device_of(request)
        mfa_id = forms.mfa_id(request, body)
        # It may load its libraries now, which is nothing for the event loop.
        flow = await self._work.remote(lambda: self._accounts.oauth2)
        form = flow.form(given)
        proof = await self._work.remote(lambda: flow.ask(collection, form, info))
        signing_in = self._work.hash(lambda: flow.sign_in(collection, form, proof, info, device, mfa_id=mfa_id))
        return await forms.signed_in(request, signing_in)

    async def redirect(self, request: Request) -> Answer:
        """Tell the client that waits what its provider says (apis/record_auth_with_oauth2_redirect.go).

        The answer is for the window of the user: a page that says how it went.
        """
        status = 307 if request.method == "GET" else 303
        try:
            given = await _redirected(request)
        except BadRequestError:
            return redirect(status, _FAILURE)
        state, code, error = given["state"], given["code"], given["error"]
        data = {"state": state, "code": code} | ({"error": error} if error else {})
        is_told = bool(state) and await self._nodes.answer_oauth2(state, encoding.encode(data), request.address)
        is_done = is_told and not error and bool(code)
        if is_done and given["user"]:
            # Apple tells the name here, and never again.
            self._accounts.apple_names.keep(code, given["user"])
        return redirect(status, _SUCCESS if is_done else _FAILURE)

    async def apple_secret(self, request: Request) -> Answer:
        """Make a client secret for Apple (apis/settings.go)."""
        kinds: dict[str, Kind] = {
            "clientId": "text",
            "teamId": "text",
            "keyId": "text",
            "privateKey": "text",
            "duration": "integer",
        }
        given = forms.bind(await forms.read(request, hides_type=True), kinds)
        secret = await self._work.remote(lambda: self._accounts.oauth2.apple_secret(given))
        return picked(request, encoding.encode({"secret": secret}))


async def _redirected(request: Request) -> dict[str, str]:
    """Return what a provider hands over: in the query, or in a form as Apple does. Raises BadRequestError."""
    if request.method != "POST":
        return {name: request.query.get(name, "") if name != "user" else "" for name in _REDIRECT}
    found = (await wire.read(request)).bind(_REDIRECT)
    return {name: str(value) for name, value in found.items()}
