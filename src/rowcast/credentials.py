"""Passwords and tokens: hash and compare, sign and read. Pure; knows no storage and no request.

Passwords are bcrypt hashes. Tokens are JSON Web Tokens signed with HMAC-SHA256 by a
key that belongs to one account and one kind of token, so that changing either
half of the key ends them. One algorithm, with no choice left to the token:
the general libraries for tokens cost 45 ms of every start and 30 us a token.
Rule: what comes from outside (tokens, stored hashes, passwords) never raises here.
"""

from __future__ import annotations

import binascii
import hmac
import math
import re
from collections.abc import Callable, Mapping
from typing import Literal

import bcrypt
import msgspec

from rowcast import encoding
from rowcast.schema.collection import AuthOptions, TokenOptions

TokenKind = Literal["auth", "file", "verification", "passwordReset", "emailChange"]

Compare = Callable[[bytes, bytes], bool]

DEFAULT_COST = 10
"""The bcrypt cost of a password field that names none."""

MAX_PASSWORD_BYTES = 72
"""What bcrypt takes; longer texts can't be hashed, and compare by their first 72 bytes."""

_HASH = re.compile(r"\$2[a-z]?\$(\d\d\$[./A-Za-z0-9]{53})", re.ASCII)

_HEADER = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
"""{"alg":"HS256","typ":"JWT"}"""

_LONGEST_TOKEN = 16_384


# -- passwords -----------------------------------------------------------------


def hash_password(plain: str, cost: int = 0) -> str:
    """Return the bcrypt hash of a password; takes some 50 ms at the default cost.

    A `cost` of 0 or less is the default. Raises ValueError for more than 72 bytes and
    for other costs outside of 4 to 31. Copies core/field_password.go, setValue.
    """
    text = plain.encode("utf-8", "surrogatepass")
    if len(text) > MAX_PASSWORD_BYTES:
        raise ValueError("bcrypt: password length exceeds 72 bytes")
    # The prefix that the reference writes.
    return bcrypt.hashpw(text, bcrypt.gensalt(cost if cost > 0 else DEFAULT_COST, prefix=b"2a")).decode()


def is_password(plain: str, hashed: str, *, compare: Compare = bcrypt.checkpw) -> bool:
    """Whether `hashed` is the hash of this password.

    Takes the time of one comparison also where `hashed` is no hash at all, so that
    the time does not tell which accounts have a password.
    """
    text = plain.encode("utf-8", "surrogatepass")[:MAX_PASSWORD_BYTES]
    match = _HASH.fullmatch(hashed)
    if match is not None:
        try:
            return compare(text, b"$2b$" + match[1].encode())
        except ValueError:
            # A cost or salt that bcrypt refuses.
            pass
    compare(text, decoy_hash().encode())
    return False


def decoy_hash(cost: int = 0) -> str:
    """Return a hash that no password fits, to be compared where there is no account."""
    return f"$2b${min(max(cost if cost > 0 else DEFAULT_COST, 4), 31):02d}$" + "." * 53


# -- tokens --------------------------------------------------------------------


class Claims(msgspec.Struct, frozen=True, rename="camel"):
    """What a token says. Nothing of it is true before `is_signed` says so.

    `ends` is in seconds since 1970, infinite where the token names no end.
    """

    id: str = ""
    type: str = ""
    collection_id: str = ""
    exp: float | None = None
    nbf: float | None = None
    iat: float | None = None
    email: str = ""
    new_email: str = ""
    refreshable: object = False

    @property
    def ends(self) -> float:
        """When the token ends."""
        return math.floor(self.exp) if self.exp else math.inf

    def is_current(self, now: float) -> bool:
        """Whether the token has begun and not ended (golang-jwt's validator, as the reference uses it)."""
        return now < self.ends and now >= math.floor(self.nbf or 0) and now >= math.floor(self.iat or 0)


class _Header(msgspec.Struct, frozen=True):
    alg: str


_decode_claims = msgspec.json.Decoder(Claims).decode
_decode_header = msgspec.json.Decoder(_Header).decode


def sign(claims: Mapping[str, object], key: str) -> str:
    """Return a token with these claims. Copies tools/security/jwt.go, NewJWT; the bytes are the same."""
    payload = encoding.encode(dict(sorted(claims.items())))
    signed = _HEADER + b"." + _to_base64(payload)
    return (signed + b"." + _signature(signed, key)).decode()


def read_claims(token: str) -> Claims | None:
    """Return what a token says, None where it is malformed or not signed by HS256. Proves nothing."""
    if len(token) > _LONGEST_TOKEN or token.count(".") != 2:
        return None
    header, payload, _ = token.split(".")
    try:
        if _decode_header(_from_base64(header)).alg != "HS256":
            return None
        claims = _decode_claims(_from_base64(payload))
    except (ValueError, RecursionError):
        # msgspec's and binascii's errors are ValueErrors too.
        return None
    return claims if all(map(_is_time, (claims.exp, claims.nbf, claims.iat))) else None


def is_signed(token: str, key: str) -> bool:
    """Whether a token is signed with this key; never with an empty one."""
    signed, _, signature = token.rpartition(".")
    if not key or not token.isascii():
        return False
    return hmac.compare_digest(_signature(signed.encode(), key), signature.encode())


def secret_of(options: AuthOptions, kind: TokenKind) -> TokenOptions:
    """Return the secret and lifetime of a kind of token in one collection."""
    match kind:
        case "auth":
            return options.auth_token
        case "file":
            return options.file_token
        case "verification":
            return options.verification_token
        case "passwordReset":
            return options.password_reset_token
        case "emailChange":
            return options.email_change_token


def _is_time(value: float | None) -> bool:
    return value is None or math.isfinite(value)


def _signature(signed: bytes, key: str) -> bytes:
    return _to_base64(hmac.digest(key.encode("utf-8", "surrogatepass"), signed, "sha256"))


def _to_base64(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").replace(b"+", b"-").replace(b"/", b"_")


def _from_base64(text: str) -> bytes:
    padded = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
    return binascii.a2b_base64(padded, strict_mode=True)
