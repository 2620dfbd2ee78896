"""Who a user is at a provider: the user-info answer, read by the provider's row in the table.

What a row can't say is a function here, named in `_QUIRKS`: second requests, addresses of
pictures, names in two parts. An address is only given where the provider vouches for
it. Copies FetchAuthUser of the reference's tools/auth/*.go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from rowcast.auth.oauth2 import idtokens
from rowcast.auth.oauth2.exchange import Token
from rowcast.auth.oauth2.idtokens import IdTokenError
from rowcast.auth.oauth2.web import Session, WebError
from rowcast.auth.providers import Endpoints, Provider, Shape
from rowcast.errors import RowcastError
from rowcast.schema.addresses import is_email
from rowcast.schema.casts import to_bool, to_text, unique_texts

_APPLE = "https://appleid.apple.com"
_GITEE_EMAILS = "https://gitee.com/api/v5/emails"
_INT64 = 1 << 63
_NOT_TOLD = frozenset({401, 403, 404})


class UserError(RowcastError):
    """The provider did not say who the user is, or the user may not sign in there."""


@dataclass(frozen=True, slots=True)
class User:
    """A user as a provider knows it. `email` is "" unless the provider vouches for it; `raw` is its whole answer."""

    id: str
    name: str = ""
    username: str = ""
    email: str = ""
    avatar: str = ""
    raw: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """What is at hand when a provider is asked for a user. `now` is in seconds since 1970."""

    name: str
    provider: Provider
    endpoints: Endpoints
    token: Token
    session: Session
    now: Callable[[], float] = time.time

    def get(self, url: str) -> tuple[int, object]:
        """Return status and JSON of another address of the provider; None for what is no JSON. Raises WebError."""
        reply = self.session.ask(url, headers={"Authorization": self.token.header})
        try:
            return reply.status, msgspec.json.decode(reply.body)
        except (ValueError, RecursionError):
            return reply.status, None


def fetch(asking: Asking) -> User:
    """Return the user of a token. Raises UserError, IdTokenError and WebError."""
    raw = _RAW.get(asking.name, _from_user_info)(asking)
    user = read(asking.provider.shape, raw)
    quirk = _QUIRKS.get(asking.name)
    return quirk(asking, raw, user) if quirk is not None else user


def read(shape: Shape, raw: Mapping[str, object]) -> User:
    """Return the user of an answer by the shape alone. Raises UserError."""
    if shape.active is not None:
        path, wanted = shape.active
        value = _at(raw, path)
        # In Python 1 is True, in JSON it is not.
        if value != wanted or isinstance(value, bool) is not isinstance(wanted, bool):
            raise UserError("the user is not active at the provider")
    is_verified = all(_at(raw, path) is True for path in shape.verified)
    return User(
        id=_number(raw, shape.id) if shape.is_number else _text(raw, shape.id),
        name=_text(raw, shape.name),
        username=_text(raw, shape.username),
        email=_text(raw, shape.email) if is_verified else "",
        avatar=_text(raw, shape.avatar),
        raw=raw,
    )


# -- where the answer comes from -----------------------------------------------


def _from_user_info(asking: Asking) -> dict[str, object]:
    provider, endpoints = asking.provider, asking.endpoints
    headers = {name: value.format(client=endpoints.client_id) for name, value in provider.headers.items()}
    headers["Authorization"] = asking.token.header
    if provider.query:
        headers["Content-Type"] = "application/json"
        reply = asking.session.ask(
            endpoints.user_info_url, method="POST", headers=headers, content=provider.query.encode()
        )
    else:
        reply = asking.session.ask(endpoints.user_info_url, headers=headers)
    if reply.status >= 400:
        raise UserError(f"the provider answers {reply.status}")
    try:
        raw = msgspec.json.decode(reply.body)
    except (ValueError, RecursionError) as error:
        raise UserError("the provider answers no JSON") from error
    if not isinstance(raw, dict):
        raise UserError("the provider answers no object")
    return raw


def _from_oidc(asking: Asking) -> dict[str, object]:
    """Ask where there is an address to ask at; else believe the id token, after the checks of tools/auth/oidc.go."""
    if asking.endpoints.user_info_url:
        return _from_user_info(asking)
    token, extra = asking.token.raw.get("id_token"), asking.endpoints.extra
    claims = idtokens.read(token)
    idtokens.check_current(claims, asking.now())
    idtokens.check_audience(claims, asking.endpoints.client_id)
    if issuers := unique_texts(extra.get("issuers")):
        idtokens.check_issuer(claims, issuers)
    if address := to_text(extra.get("jwksURL")):
        idtokens.check_signature(token, lambda: _keys(asking.session, address), asking.now())
    return claims


def _from_apple(asking: Asking) -> dict[str, object]:
    """Apple has no user-info: everything is in the signed id token (tools/auth/apple.go)."""
    token = asking.token.raw.get("id_token")
    claims = idtokens.read(token)
    idtokens.check_current(claims, asking.now(), needs_end=True)
    idtokens.check_issuer(claims, [_APPLE])
    idtokens.check_audience(claims, asking.endpoints.client_id)
    idtokens.check_signature(token, lambda: _keys(asking.session, _APPLE + "/auth/keys"), asking.now())
    return claims


def _from_instagram(asking: Asking) -> dict[str, object]:
    raw = _from_user_info(asking)
    permissions = asking.token.raw.get("permissions")
    if permissions is not None:
        raw.setdefault("permissions", permissions)
    return raw


def _keys(session: Session, url: str) -> bytes:
    reply = session.ask(url)
    if reply.status >= 400:
        raise WebError(f"the keys can't be fetched ({reply.status})")
    return reply.body


_RAW: Mapping[str, Callable[[Asking], dict[str, object]]] = {
    "apple": _from_apple,
    "oidc": _from_oidc,
    "oidc2": _from_oidc,
    "oidc3": _from_oidc,
    "instagram2": _from_instagram,
}


# -- what no row of a table can say --------------------------------------------

_Raw = Mapping[str, object]


def _claimed_email(_: Asking, raw: _Raw, user: User) -> User:
    """Take the address where `email_verified` is true, which some providers spell as a text."""
    return replace(user, email=_text(raw, "email") if to_bool(raw.get("email_verified")) else "")


def _git_email(asking: Asking, _: _Raw, user: User) -> User:
    """Ask for the addresses: the primary one counts, if it is verified."""
    status, found = asking.get(asking.endpoints.user_info_url + "/emails")
    if status in _NOT_TOLD:
        return user
    if not isinstance(found, list):
        raise UserError("the provider answers no list of addresses")
    for email in found:
        if isinstance(email, dict) and email.get("verified") is True and email.get("primary") is True:
            return replace(user, email=_text(email, "email"))
    return user


def _bitbucket_email(asking: Asking, _: _Raw, user: User) -> User:
    status, found = asking.get(asking.endpoints.user_info_url + "/emails")
    if status >= 400:
        return user
    if not isinstance(found, dict):
        raise UserError("the provider answers no list of addresses")
    listed = found.get("values")
    for email in listed if isinstance(listed, list) else ():
        if isinstance(email, dict) and email.get("is_primary") is True and email.get("is_confirmed") is True:
            return replace(user, email=_text(email, "email"))
    return user


def _gitee_email(asking: Asking, raw: _Raw, user: User) -> User:
    """Take the public address, which Gitee only shows where it is confirmed, or ask for the primary one."""
    public = _text(raw, "email")
    if is_email(public):
        return replace(user, email=public)
    status, found = asking.get(_GITEE_EMAILS)
    for email in found if isinstance(found, list) and status not in _NOT_TOLD else ():
        if not isinstance(email, dict) or email.get("state") != "confirmed":
            continue
        scope = email.get("scope")
        if isinstance(scope, list) and "primary" in scope and is_email(_text(email, "email")):
            return replace(user, email=_text(email, "email"))
    return user


def _gitlab_email(_: Asking, raw: _Raw, user: User) -> User:
    """Take the address of a user who confirmed it at some time."""
    try:
        confirmed = datetime.fromisoformat(_text(raw, "confirmed_at"))
    except ValueError:
        return user
    return replace(user, email=_text(raw, "email") if confirmed.tzinfo is not None and confirmed.year > 1 else "")


def _microsoft_email(asking: Asking, _: _Raw, user: User) -> User:
    """Take the address from the claim of the id token that the provider's `idTokenEmailClaim` names.

    Administrators of Microsoft tenants can set any `mail`, so it only counts where
    nothing else is configured (tools/auth/microsoft.go).
    """
    wanted = asking.endpoints.extra.get("idTokenEmailClaim")
    if wanted not in {"any_verified", "verified_primary_email", "email_and_xms_edov", "email"}:
        return user
    try:
        claims: Mapping[str, object] = idtokens.read(asking.token.raw.get("id_token"))
        idtokens.check_current(claims, asking.now())
    except IdTokenError:
        claims = {}
    primary, email = claims.get("verified_primary_email"), claims.get("email")
    primary = primary if isinstance(primary, str) else ""
    email = email if isinstance(email, str) else ""
    owned = email if to_bool(claims.get("xms_edov")) else ""
    found = {
        "any_verified": primary or owned,
        "verified_primary_email": primary,
        "email_and_xms_edov": owned,
        "email": email,
    }
    return replace(user, email=found[str(wanted)])


def _discord(_: Asking, raw: _Raw, user: User) -> User:
    name, number, avatar = user.name or user.username, _text(raw, "discriminator"), _text(raw, "avatar")
    if not user.name and number not in {"", "0"}:
        name += "#" + number
    picture = f"https://cdn.discordapp.com/avatars/{user.id}/{avatar}.png" if avatar else ""
    return replace(user, name=name, avatar=picture)


def _mailcow(_: Asking, __: _Raw, user: User) -> User:
    return replace(user, username=user.username.partition("@")[0])


def _strava(_: Asking, raw: _Raw, user: User) -> User:
    name = f"{_text(raw, 'firstname')} {_text(raw, 'lastname')}"
    return replace(user, id="" if user.id == "0" else user.id, name=name)


def _vk(asking: Asking, raw: _Raw, user: User) -> User:
    """VK tells the address with the token."""
    name = f"{_text(raw, 'response.0.first_name')} {_text(raw, 'response.0.last_name')}".strip()
    return replace(_listed("response")(asking, raw, user), name=name, email=to_text(asking.token.raw.get("email")))


def _wakatime(_: Asking, raw: _Raw, user: User) -> User:
    return replace(user, avatar=_text(raw, "data.photo") if _at(raw, "data.photo_public") is True else "")


def _yandex(_: Asking, raw: _Raw, user: User) -> User:
    if raw.get("is_avatar_empty") is True:
        return user
    picture = f"https://avatars.yandex.net/get-yapic/{_text(raw, 'default_avatar_id')}/islands-200"
    return replace(user, avatar=picture)


def _listed(name: str) -> Callable[[Asking, _Raw, User], User]:
    """Return a function that refuses answers whose list of users is empty."""

    def check(_: Asking, raw: _Raw, user: User) -> User:
        if _at(raw, name + ".0") is None:
            raise UserError("the provider answers without a user")
        return user

    return check


_QUIRKS: Mapping[str, Callable[[Asking, _Raw, User], User]] = {
    "apple": _claimed_email,
    "oidc": _claimed_email,
    "oidc2": _claimed_email,
    "oidc3": _claimed_email,
    "github": _git_email,
    "gitea": _git_email,
    "bitbucket": _bitbucket_email,
    "gitee": _gitee_email,
    "gitlab": _gitlab_email,
    "microsoft": _microsoft_email,
    "discord": _discord,
    "mailcow": _mailcow,
    "strava": _strava,
    "twitch": _listed("data"),
    "vk": _vk,
    "wakatime": _wakatime,
    "yandex": _yandex,
}


# -- values --------------------------------------------------------------------


def _at(raw: object, path: str) -> object:
    """Return what is at a path, None where there is nothing."""
    value = raw
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _text(raw: object, path: str) -> str:
    """Return the text at a path, "" for none. Raises UserError for another type, as the reference's decoder does."""
    value = _at(raw, path) if path else None
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f"{path} is no text")
    return value


def _number(raw: object, path: str) -> str:
    """Return the whole number at a path in digits, "0" for none. Raises UserError for another type."""
    value = _at(raw, path)
    if value is None:
        return "0"
    if not isinstance(value, int) or isinstance(value, bool) or not -_INT64 <= value < _INT64:
        raise UserError(f"{path} is no whole number")
    return str(value)
