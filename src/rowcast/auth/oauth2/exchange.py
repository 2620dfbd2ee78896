"""From a code to a token: the authorization code grant (RFC 6749, 4.1.3) with PKCE (RFC 7636).

The only home of authlib. As Go's oauth2 package does for the reference, the client
names itself by HTTP Basic first, and in the body where the provider refuses that.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote_plus

import httpx
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.client import OAuth2Client

from rowcast import encoding
from rowcast.auth.oauth2.web import Session, WebError
from rowcast.auth.providers import Endpoints
from rowcast.errors import RowcastError
from rowcast.schema import dates

_FORMS = ("application/x-www-form-urlencoded", "text/plain")

_KINDS = {"": "Bearer", "bearer": "Bearer", "mac": "MAC", "basic": "Basic"}

_HEADERS = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}


class ExchangeError(RowcastError):
    """The provider gave no token."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a provider gave for a code. `expiry` is a date, "" where it is not told; `raw` the whole answer."""

    access: str
    kind: str = "Bearer"
    refresh: str = ""
    expiry: str = ""
    raw: Mapping[str, object] = field(default_factory=dict)

    @property
    def header(self) -> str:
        """The value of the Authorization header."""
        return f"{self.kind} {self.access}"


@dataclass(frozen=True, slots=True)
class Code:
    """What the client brings back from the provider. Without `verifier` no PKCE is used."""

    code: str
    verifier: str = ""
    redirect_url: str = ""


def exchange(session: Session, endpoints: Endpoints, code: Code) -> Token:
    """Return the token for a code. Raises ExchangeError and WebError; the code is spent either way."""
    try:
        try:
            answer = _fetch(session, endpoints, code, in_header=True)
        except (OAuth2Error, httpx.HTTPStatusError, ValueError, RecursionError):
            answer = _fetch(session, endpoints, code, in_header=False)
    except (OAuth2Error, ValueError, RecursionError) as error:
        raise ExchangeError(f"no token: {error}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise WebError(f"{endpoints.token_url} can't be asked: {error}") from error
    return _token(answer)


def _fetch(session: Session, endpoints: Endpoints, code: Code, *, in_header: bool) -> Mapping[str, Any]:
    client = OAuth2Client(session.client, redirect_uri=code.redirect_url or None)
    client.compliance_hook["access_token_response"].add(_as_json)
    fields: dict[str, str] = {}
    if in_header:
        # Go escapes both before; it makes a difference for odd characters only.
        auth: httpx.Auth = httpx.BasicAuth(quote_plus(endpoints.client_id), quote_plus(endpoints.client_secret))
    else:
        auth = _NoAuth()
        fields = {"client_id": endpoints.client_id, "client_secret": endpoints.client_secret}
    if code.verifier:
        fields["code_verifier"] = code.verifier
    answer = client.fetch_token(
        endpoints.token_url, code=code.code, grant_type="authorization_code", auth=auth, headers=_HEADERS, **fields
    )
    if not isinstance(answer, Mapping) or not isinstance(answer.get("access_token"), str) or not answer["access_token"]:
        raise ValueError("the answer holds no access_token")
    return answer


class _NoAuth(httpx.Auth):
    """Leaves the request as it is."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        yield request


def _as_json(answer: httpx.Response) -> httpx.Response:
    """Return the answer as JSON, which some providers give as a form. Raises httpx.HTTPStatusError for a failure."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.is_success and kind in _FORMS and not answer.content.lstrip().startswith(b"{"):
        fields = dict(parse_qsl(answer.content.decode("utf-8", "replace")))
        return httpx.Response(answer.status_code, content=encoding.encode(fields), request=answer.request)
    if answer.is_redirect:
        # Go would send the secret to the next address.
        raise ValueError("the token endpoint redirects")
    return answer


def _token(answer: Mapping[str, Any]) -> Token:
    kind, refresh = answer.get("token_type"), answer.get("refresh_token")
    kind = kind if isinstance(kind, str) else ""
    return Token(
        access=answer["access_token"],
        kind=_KINDS.get(kind.lower(), kind),
        refresh=refresh if isinstance(refresh, str) else "",
        expiry=_expiry(answer.get("expires_in")),
        raw=answer,
    )


def _expiry(expires_in: object) -> str:
    """Return the date that is so many seconds from now; "" for none and for what is no number."""
    if isinstance(expires_in, str) and expires_in.isascii() and expires_in.isdigit() and len(expires_in) < 12:
        expires_in = int(expires_in)
    if not isinstance(expires_in, int | float) or not 0 < expires_in < 1 << 31:
        return ""
    return dates.from_unix(time.time() + expires_in)
