"""Sign-in with another service.

Two steps, so that no provider is waited for where others wait for the database:
`ask` talks to the provider and fetches the picture, `sign_in` finds or makes the
account in one write transaction. Copies apis/record_auth_with_oauth2.go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec

from rowcast.auth import changes
from rowcast.auth.apple_names import AppleNames
from rowcast.auth.oauth2 import apple_secret, avatars, users
from rowcast.auth.oauth2.accounts import Linking, OAuth2Proof
from rowcast.auth.oauth2.apple_secret import AppleSecretForm
from rowcast.auth.oauth2.exchange import Code, ExchangeError, exchange
from rowcast.auth.oauth2.idtokens import IdTokenError
from rowcast.auth.oauth2.users import Asking, User, UserError
from rowcast.auth.oauth2.web import Web, WebError
from rowcast.auth.origins import Device
from rowcast.auth.providers import PROVIDERS, Endpoints, endpoints
from rowcast.auth.signin import SignIn
from rowcast.blobs import BlobError
from rowcast.errors import BadRequestError, FieldError, InternalError
from rowcast.records import Records
from rowcast.schema import checks
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection, OAuth2Options
from rowcast.schema.fields import FileField
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from rowcast.storage import Storage

METHOD = "oauth2"

_log = logging.getLogger("rowcast.auth")

_SECONDS = 30
_LONGEST_NAME = 100
_NO_USER = "Failed to fetch OAuth2 user."
_UNREADABLE = "An error occurred while loading the submitted data."


@dataclass(frozen=True, slots=True)
class OAuth2SignInForm:
    """What is submitted. `create_data` is for the record of a new account."""

    provider: str
    code: str
    verifier: str
    redirect_url: str
    create_data: Mapping[str, object]

    @classmethod
    def from_values(cls, values: Mapping[str, object]) -> OAuth2SignInForm:
        """Read submitted values by their names in JSON; `redirectUrl` is of older clients."""
        given = values["createData"]
        return cls(
            str(values["provider"]),
            str(values["code"]),
            str(values["codeVerifier"]),
            str(values["redirectURL"] or values["redirectUrl"]),
            given if isinstance(given, dict) else {},
        )


class OAuth2:
    """Signs in with other services. `now` gives seconds since 1970; `trusted` are hosts of pictures."""

    def __init__(
        self,
        *,
        storage: Storage,
        catalog: CatalogRef,
        records: Records,
        signin: SignIn,
        names: AppleNames,
        trusted: frozenset[str],
        now: Callable[[], float],
    ) -> None:
        self._storage = storage
        self._signin = signin
        self._names = names
        self._trusted = trusted
        self._now = now
        self._records = records
        self._linking = Linking(catalog, records)
        self._web = Web()

    def ask(self, collection: Collection, form: OAuth2SignInForm, request: RequestInfo) -> OAuth2Proof:
        """Return who the user of a code is. Waits for the provider, up to half a minute; call it in a thread.

        Raises BadRequestError, with `data` by field for an unusable form.
        """
        target = _check(collection.auth.oauth2 if collection.auth is not None else OAuth2Options(), form)
        user, token = self._user(target, form)
        raw = _as_json(user)
        if form.provider == "apple" and not user.name:
            user = replace(user, name=self._names.take(form.code))
        with self._storage.read() as reader:
            account = self._linking.find(reader, collection, form.provider, user, request)
        picture = None
        if account is None and user.avatar and _takes_pictures(collection, form.create_data):
            picture = avatars.fetch(self._web, user.avatar, self._trusted)
        is_known = account is not None and account.flag("verified")
        return OAuth2Proof(form.provider, user, raw, token, picture, is_known=is_known)

    def sign_in(
        self,
        collection: Collection,
        form: OAuth2SignInForm,
        proof: OAuth2Proof,
        request: RequestInfo,
        device: Device,
        *,
        mfa_id: str = "",
    ) -> bytes:
        """Return the answer `{meta, record, token}` as JSON. Takes long; call it in a thread.

        Raises BadRequestError with `data` by field for a new account that is refused, ForbiddenError
        where nobody may sign up, and what `SignIn.complete` raises.
        """
        # Before the transaction, because it takes long.
        hashed = "" if proof.is_known else changes.random_hash(collection)
        given = self._linking.hashes(collection, form.create_data)

        def link() -> tuple[Record, bool]:
            with self._storage.write() as tx:
                return self._linking.link(tx, collection, proof, request, form.create_data, given, hashed)

        pictures = [proof.picture] if proof.picture is not None else []
        try:
            account, is_new = self._records.arrivals.write(pictures, link)
        except BlobError as error:
            _log.warning("the picture of a user can't be stored: %s", error)
            raise BadRequestError("Failed to create record.") from error
        meta = proof.meta() | {"isNew": is_new}
        return self._signin.complete(account, request, device, METHOD, mfa_id=mfa_id, meta=dict(sorted(meta.items())))

    def form(self, values: Mapping[str, object]) -> OAuth2SignInForm:
        """Return what is submitted, by names in JSON."""
        return OAuth2SignInForm.from_values(values)

    def apple_secret(self, values: Mapping[str, object]) -> str:
        """Return a client secret for Apple (see `apple_secret.create`)."""
        return apple_secret.create(AppleSecretForm.from_values(values), self._now)

    def stop(self) -> None:
        """Let everything that waits for a provider fail soon."""
        self._web.stop()

    def _user(self, target: Endpoints, form: OAuth2SignInForm) -> tuple[User, Mapping[str, str]]:
        code = Code(form.code, form.verifier if target.has_pkce else "", form.redirect_url)
        with self._web.session(_SECONDS) as session:
            try:
                token = exchange(session, target, code)
            except (ExchangeError, WebError) as error:
                _log.warning("%s gave no token: %s", form.provider, error)
                raise BadRequestError("Failed to fetch OAuth2 token.") from error
            asking = Asking(form.provider, PROVIDERS[form.provider], target, token, session, self._now)
            user = _fetch(asking)
        return user, {"accessToken": token.access, "refreshToken": token.refresh, "expiry": token.expiry}


def _fetch(asking: Asking) -> User:
    try:
        return users.fetch(asking)
    except (UserError, IdTokenError, WebError) as error:
        _log.warning("%s does not say who the user is: %s", asking.name, error)
        raise BadRequestError(_NO_USER) from error


def _as_json(user: User) -> bytes:
    """Return the provider's answer as the reference shows it: JSON with its names in order."""
    try:
        return msgspec.json.encode(user.raw, order="sorted")
    except RecursionError as error:
        raise BadRequestError(_NO_USER) from error


def _check(options: OAuth2Options, form: OAuth2SignInForm) -> Endpoints:
    """Return the endpoints of the provider that is asked for. Raises BadRequestError with `data` by field."""
    config = next((known for known in options.providers if known.name == form.provider), None)
    missing = FieldError(
        "validation_invalid_provider",
        f"Provider with name {form.provider} is missing or is not enabled.",
        {"name": form.provider},
    )
    errors = checks.collect(
        provider=checks.first(
            checks.required(form.provider),
            checks.length(form.provider, 0, _LONGEST_NAME),
            missing if config is None else None,
        ),
        code=checks.required(form.code),
    )
    if errors or config is None:
        raise BadRequestError(_UNREADABLE, errors)
    provider = PROVIDERS.get(config.name)
    if provider is None:
        raise InternalError(f"Failed to init provider {config.name}")
    return endpoints(config, provider)


def _takes_pictures(collection: Collection, given: Mapping[str, object]) -> bool:
    name = collection.auth.oauth2.mapped_fields.avatar_url if collection.auth is not None else ""
    return bool(name) and name not in given and isinstance(collection.field(name), FileField)
