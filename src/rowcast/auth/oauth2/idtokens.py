"""Id tokens: what they claim, whether that is current and meant for us, and who signed it.

A home of joserfc. Copies tools/auth/oidc.go and tools/auth/internal/jwk/jwk.go. The
algorithm is that of the published key, never the token's own choice, and always an
asymmetric one: no token can be "signed" with nothing, or with a public key as secret.
"""

from __future__ import annotations

import hmac
import math
import warnings
from collections.abc import Callable, Iterable, Mapping

import msgspec
from joserfc import jwk, jws
from joserfc.errors import JoseError, SecurityWarning

from rowcast.errors import RowcastError

LEEWAY_S = 300
"""How far the clocks of a provider and of this server may differ."""

_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
_LONGEST = 65_536

# The old name of Ed25519, by which providers publish their keys.
warnings.filterwarnings("ignore", message="EdDSA is deprecated", category=SecurityWarning)

Claims = Mapping[str, object]


class IdTokenError(RowcastError):
    """An id token that proves nothing."""


def read(token: object) -> dict[str, object]:
    """Return the claims of a token, of which nothing is proved. Raises IdTokenError."""
    return _parse(token)[1]


def check_current(claims: Claims, now: float, *, leeway_s: float = LEEWAY_S, needs_end: bool = False) -> None:
    """Raise IdTokenError for a token that has ended, has not begun, or is from the future; `now` is in seconds."""
    end = _time(claims, "exp")
    if end is None and needs_end:
        raise IdTokenError("the token names no end")
    if end is not None and now >= end + leeway_s:
        raise IdTokenError("the token has expired")
    for name in ("nbf", "iat"):
        begin = _time(claims, name)
        if begin is not None and now < begin - leeway_s:
            raise IdTokenError(f"the token is not valid yet ({name})")


def check_audience(claims: Claims, client_id: str) -> None:
    """Raise IdTokenError for a token that is meant for somebody else."""
    audience = claims.get("aud")
    meant = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(name, str) and _equal(name, client_id) for name in meant):
        raise IdTokenError("the token has another audience")


def check_issuer(claims: Claims, issuers: Iterable[str]) -> None:
    """Raise IdTokenError for a token from somebody else."""
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not any(_equal(issuer, known) for known in issuers):
        raise IdTokenError("the token has another issuer")


def check_signature(token: object, fetch_keys: Callable[[], bytes], now: float) -> None:
    """Raise IdTokenError unless a published key signed the token, and it is current to the second.

    `fetch_keys` returns a JSON Web Key Set. The key is the one with the token's `kid`.
    """
    header, claims = _parse(token)
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise IdTokenError("the token names no key")
    key = _find_key(fetch_keys(), kid)
    algorithm = key["alg"]
    if header.get("alg") != algorithm:
        raise IdTokenError("the token is signed in another way than its key is for")
    try:
        registry = jws.JWSRegistry(algorithms=[str(algorithm)], strict_check_header=False)
        jws.deserialize_compact(str(token), jwk.import_key(_plain(key)), registry=registry)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise IdTokenError(f"the signature is wrong: {type(error).__name__}") from error
    end, begin = _time(claims, "exp"), _time(claims, "nbf")
    if (end is not None and now >= end) or (begin is not None and now < begin):
        raise IdTokenError("the token is not current")


def _parse(token: object) -> tuple[dict[str, object], dict[str, object]]:
    if not isinstance(token, str) or not token or len(token) > _LONGEST or not token.isascii():
        raise IdTokenError("there is no id token")
    try:
        signed = jws.extract_compact(token.encode())
        claims = msgspec.json.decode(signed.payload)
        header = signed.headers()
    except (JoseError, ValueError, RecursionError) as error:
        raise IdTokenError("the id token is malformed") from error
    if not isinstance(claims, dict) or not isinstance(header, dict):
        raise IdTokenError("the id token is malformed")
    return dict(header), claims


def _find_key(keys: bytes, kid: str) -> dict[str, object]:
    try:
        found = msgspec.json.decode(keys)
    except (ValueError, RecursionError) as error:
        raise IdTokenError("the keys are no JSON") from error
    listed = found.get("keys") if isinstance(found, dict) else None
    for key in listed if isinstance(listed, list) else ():
        if isinstance(key, dict) and key.get("kid") == kid and key.get("alg") in _ALGORITHMS:
            return key
    raise IdTokenError(f"there is no key {kid!r} of a known algorithm")


def _plain(key: Mapping[str, object]) -> dict[str, str | list[str]]:
    """Return the texts of a key; certificates and the like prove nothing here."""
    names = ("kty", "kid", "n", "e", "crv", "x", "y")
    return {name: value for name in names if isinstance(value := key.get(name), str)}


def _time(claims: Claims, name: str) -> float | None:
    """Return a point in time in seconds, None where there is none. Raises IdTokenError for anything else."""
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise IdTokenError(f"{name} is no time")
    return value


def _equal(one: str, other: str) -> bool:
    return bool(other) and hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))
