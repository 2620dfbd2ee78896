"""Sign-in, and what an account asks for by mail: the part of a collection of accounts that is not records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, Unpack
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec

from rowcast.client import tokens
from rowcast.client.errors import DecodeError
from rowcast.client.query import RequestOptions, merged, path
from rowcast.client.records import AuthResult, Model
from rowcast.client.transport import Transport

T = TypeVar("T")


class PasswordMethod(msgspec.Struct, rename="camel"):
    """Whether one may sign in with a password, and what names an account."""

    enabled: bool = False
    identity_fields: list[str] = []


class TimedMethod(msgspec.Struct):
    """Whether a method is on, and for how many seconds its id is good."""

    enabled: bool = False
    duration: int = 0


class OAuth2Provider(msgspec.Struct):
    """A provider to sign in with; keep `state` and `code_verifier` until it sends the browser back."""

    name: str
    state: str
    display_name: str = msgspec.field(default="", name="displayName")
    auth_url: str = msgspec.field(default="", name="authURL")
    code_verifier: str = msgspec.field(default="", name="codeVerifier")
    code_challenge: str = msgspec.field(default="", name="codeChallenge")
    code_challenge_method: str = msgspec.field(default="", name="codeChallengeMethod")

    def sign_in_url(self, redirect_url: str, *, scopes: list[str] | None = None) -> str:
        """Return where to send the browser; it comes back to `redirect_url` with `code` and `state`."""
        url = urlsplit(self.auth_url)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        query["redirect_uri"] = redirect_url
        if scopes:
            query["scope"] = " ".join(scopes)
        return url._replace(query=urlencode(query, quote_via=quote)).geturl()


class OAuth2Method(msgspec.Struct):
    """Whether one may sign in with a provider, and with which."""

    enabled: bool = False
    providers: list[OAuth2Provider] = []


class AuthMethods(msgspec.Struct):
    """How one may sign in to a collection."""

    password: PasswordMethod
    oauth2: OAuth2Method
    otp: TimedMethod
    mfa: TimedMethod


class Accounts(Generic[T]):
    """The accounts of a collection; `Collection` inherits from it. Every method raises ClientResponseError.

    What signs in saves the account in the store of the client, which uses it from then on.
    """

    def __init__(self, transport: Transport, name: str, model: Model[T]) -> None:
        self.name = name
        self._transport = transport
        self._model = model

    async def list_auth_methods(self, **options: Unpack[RequestOptions]) -> AuthMethods:
        """Return how one may sign in."""
        answer = await self._transport.send("GET", self._path("auth-methods"), options)
        try:
            return msgspec.json.decode(answer.content, type=AuthMethods)
        except msgspec.DecodeError as error:
            raise DecodeError(f"the server did not answer with its methods: {error}") from error

    async def auth_with_password(
        self,
        identity: str,
        password: str,
        *,
        mfa_id: str = "",
        expand: str | None = None,
        fields: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> AuthResult[T]:
        """Sign in with a password. Raises MfaRequiredError if a second factor is wanted, which takes its `mfa_id`."""
        form = {"identity": identity, "password": password, **_mfa(mfa_id)}
        return await self._sign_in("auth-with-password", form, merged(options, expand=expand, fields=fields))

    async def request_otp(self, email: str, **options: Unpack[RequestOptions]) -> str:
        """Have a one-time password sent by mail; return its id, also where there is no such account."""
        answer = await self._transport.send("POST", self._path("request-otp"), options, {"email": email})
        return str(answer.json()["otpId"])

    async def auth_with_otp(
        self,
        otp_id: str,
        password: str,
        *,
        mfa_id: str = "",
        expand: str | None = None,
        fields: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> AuthResult[T]:
        """Sign in with a one-time password. Raises MfaRequiredError if a second factor is wanted."""
        form = {"otpId": otp_id, "password": password, **_mfa(mfa_id)}
        return await self._sign_in("auth-with-otp", form, merged(options, expand=expand, fields=fields))

    async def auth_with_oauth2_code(  # noqa: PLR0913 - what the provider's answer consists of
        self,
        provider: str,
        code: str,
        code_verifier: str,
        redirect_url: str,
        *,
        create_data: Mapping[str, Any] | None = None,
        mfa_id: str = "",
        expand: str | None = None,
        fields: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> AuthResult[T]:
        """Sign in with the code of an OAuth2 provider (see `list_auth_methods`); `create_data` is for a new account."""
        form = {"provider": provider, "code": code, "codeVerifier": code_verifier, "redirectURL": redirect_url}
        body = {**form, **({"createData": create_data} if create_data else {}), **_mfa(mfa_id)}
        return await self._sign_in("auth-with-oauth2", body, merged(options, expand=expand, fields=fields))

    async def auth_refresh(
        self, *, expand: str | None = None, fields: str | None = None, **options: Unpack[RequestOptions]
    ) -> AuthResult[T]:
        """Get a new token and the record of the account as it is now."""
        return await self._sign_in("auth-refresh", {}, merged(options, expand=expand, fields=fields))

    async def request_verification(self, email: str, **options: Unpack[RequestOptions]) -> None:
        """Have a mail sent to prove an address."""
        await self._transport.send("POST", self._path("request-verification"), options, {"email": email})

    async def confirm_verification(self, token: str, **options: Unpack[RequestOptions]) -> None:
        """Prove an address with the token of the mail; the stored account is marked if it is this one."""
        await self._transport.send("POST", self._path("confirm-verification"), options, {"token": token})
        store = self._transport.auth_store
        if store.record is not None and self._is_about_store(token) and not store.record.get("verified"):
            store.save(store.token, {**store.record, "verified": True})

    async def request_password_reset(self, email: str, **options: Unpack[RequestOptions]) -> None:
        """Have a mail sent to set a new password."""
        await self._transport.send("POST", self._path("request-password-reset"), options, {"email": email})

    async def confirm_password_reset(
        self, token: str, password: str, password_confirm: str | None = None, **options: Unpack[RequestOptions]
    ) -> None:
        """Set a new password with the token of the mail; all tokens of the account end."""
        repeated = password if password_confirm is None else password_confirm
        form = {"token": token, "password": password, "passwordConfirm": repeated}
        await self._transport.send("POST", self._path("confirm-password-reset"), options, form)

    async def request_email_change(self, new_email: str, **options: Unpack[RequestOptions]) -> None:
        """Have a mail sent to a new address of the account that is signed in."""
        await self._transport.send("POST", self._path("request-email-change"), options, {"newEmail": new_email})

    async def confirm_email_change(self, token: str, password: str, **options: Unpack[RequestOptions]) -> None:
        """Change the address with the token of the mail; all tokens end, so the store is cleared if it is this one."""
        form = {"token": token, "password": password}
        await self._transport.send("POST", self._path("confirm-email-change"), options, form)
        if self._is_about_store(token):
            self._transport.auth_store.clear()

    def _path(self, *parts: str) -> str:
        return path("collections", self.name, *parts)

    async def _sign_in(self, action: str, form: Mapping[str, Any], options: RequestOptions) -> AuthResult[T]:
        answer = (await self._transport.send("POST", self._path(action), options, form)).json()
        token, record = signed_in(answer)
        result = AuthResult(token, self._model.decode(record), answer.get("meta") or {})
        self._transport.auth_store.save(token, record)
        return result

    def _is_about_store(self, token: str) -> bool:
        """Whether a token is for the account of the store."""
        record, held = self._transport.auth_store.record, tokens.payload(token)
        return (
            record is not None
            and record.get("id") == held.get("id")
            and record.get("collectionId") == held.get("collectionId")
        )


def signed_in(answer: object) -> tuple[str, dict[str, Any]]:
    """Return token and record of a sign-in. Raises DecodeError."""
    if isinstance(answer, dict):
        token, record = answer.get("token"), answer.get("record")
        if isinstance(token, str) and isinstance(record, dict):
            return token, record
    raise DecodeError("the server did not answer with a token and a record")


def _mfa(mfa_id: str) -> dict[str, str]:
    return {"mfaId": mfa_id} if mfa_id else {}
