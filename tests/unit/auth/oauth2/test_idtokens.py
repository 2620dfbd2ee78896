"""Signatures of every kind of key, Apple's own checks, and client secrets for Apple."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from rowcast.auth.oauth2 import idtokens
from rowcast.auth.oauth2.apple_secret import AppleSecretForm, create
from rowcast.auth.oauth2.exchange import Token
from rowcast.auth.oauth2.idtokens import IdTokenError
from rowcast.auth.oauth2.users import Asking, User, fetch
from rowcast.auth.oauth2.web import Session
from rowcast.auth.providers import PROVIDERS, endpoints
from rowcast.errors import BadRequestError
from rowcast.schema.collection import OAuth2Provider

NOW = time.time()
Key = RSAKey | ECKey | OKPKey
KEYS: list[tuple[str, Key]] = [
    ("RS256", RSAKey.generate_key(2048, auto_kid=False)),
    ("PS256", RSAKey.generate_key(2048, auto_kid=False)),
    ("ES256", ECKey.generate_key("P-256", auto_kid=False)),
    ("EdDSA", OKPKey.generate_key("Ed25519", auto_kid=False)),
]


def published(key: Any, algorithm: str, kid: str = "1") -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) | {"kid": kid, "alg": algorithm}]}).encode()


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize(("algorithm", "key"), KEYS, ids=[algorithm for algorithm, _ in KEYS])
def test_a_signature_by_a_published_key(algorithm: str, key: Key) -> None:
    token = jwt.encode({"alg": algorithm, "kid": "1"}, {"sub": "7"}, key, algorithms=[algorithm])
    idtokens.check_signature(token, lambda: published(key, algorithm), NOW)
    with pytest.raises(IdTokenError):
        idtokens.check_signature(token[:-4] + "AAAA", lambda: published(key, algorithm), NOW)
    with pytest.raises(IdTokenError, match="no key"):
        idtokens.check_signature(token, lambda: published(key, algorithm, "2"), NOW)
    with pytest.raises(IdTokenError, match="no key"):
        # A key for any algorithm is one for the token's choice.
        idtokens.check_signature(token, lambda: published(key, ""), NOW)


def test_a_published_secret_is_no_key() -> None:
    key = OctKey.generate_key(256)
    token = jwt.encode({"alg": "HS256", "kid": "1"}, {"sub": "7"}, key, algorithms=["HS256"])
    keys = json.dumps({"keys": [key.as_dict() | {"kid": "1", "alg": "HS256"}]}).encode()
    with pytest.raises(IdTokenError, match="no key"):
        idtokens.check_signature(token, lambda: keys, NOW)


@pytest.mark.parametrize("keys", [b"", b"[]", b"{}", b'{"keys":1}', b'{"keys":[1,null]}', b"\xff", b"[" * 100_000])
def test_keys_that_are_none(keys: bytes) -> None:
    token = jwt.encode({"alg": "RS256", "kid": "1"}, {}, KEYS[0][1], algorithms=["RS256"])
    with pytest.raises(IdTokenError):
        idtokens.check_signature(token, lambda: keys, NOW)


@pytest.mark.parametrize("broken", [{"n": "!"}, {"n": ""}, {"kty": "EC"}, {"kty": 1}, {"e": None}])
def test_a_broken_key(broken: dict[str, object]) -> None:
    key = KEYS[0][1]
    token = jwt.encode({"alg": "RS256", "kid": "1"}, {}, key, algorithms=["RS256"])
    keys = json.dumps({"keys": [key.as_dict(private=False) | {"kid": "1", "alg": "RS256"} | broken]}).encode()
    with pytest.raises(IdTokenError):
        idtokens.check_signature(token, lambda: keys, NOW)


@pytest.mark.parametrize("token", [None, 1, "", "a", "a.b", "a.b.c", "..", "é.b.c", "x" * 70_000, "eyJ9.eyJ9.x"])
def test_texts_that_are_no_tokens(token: object) -> None:
    with pytest.raises(IdTokenError):
        idtokens.read(token)


FINE: list[dict[str, object]] = [{"exp": 700.5}, {"nbf": 1300}, {"iat": 1300}, {}, {"exp": None}]
OUT_OF_TIME: list[dict[str, object]] = [
    {"exp": 700}, {"nbf": 1301}, {"iat": 1301}, {"exp": "x"}, {"iat": True}, {"nbf": []}
]  # fmt: skip
NOT_FOR_ME: list[dict[str, object]] = [
    {}, {"aud": "other"}, {"aud": []}, {"aud": [1, None]}, {"aud": {"me": 1}}, {"aud": ""}
]  # fmt: skip


def test_times_with_leeway() -> None:
    for claims in FINE:
        idtokens.check_current(claims, 1000)
    for claims in OUT_OF_TIME:
        with pytest.raises(IdTokenError):
            idtokens.check_current(claims, 1000)
    with pytest.raises(IdTokenError, match="no end"):
        idtokens.check_current({}, 1000, needs_end=True)


def test_audiences() -> None:
    idtokens.check_audience({"aud": "me"}, "me")
    idtokens.check_audience({"aud": ["other", "me"]}, "me")
    for claims in NOT_FOR_ME:
        with pytest.raises(IdTokenError):
            idtokens.check_audience(claims, "me")
    with pytest.raises(IdTokenError):
        idtokens.check_audience({"aud": ""}, "")


# -- Apple -------------------------------------------------------------------------


def apple(claims: dict[str, object], key: Any = KEYS[0][1]) -> User:
    token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, key, algorithms=["RS256"])
    provider = PROVIDERS["apple"]

    def answer(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "https://appleid.apple.com/auth/keys"
        return httpx.Response(200, content=published(KEYS[0][1], "RS256"))

    with Session(httpx.MockTransport(answer)) as session:
        config = OAuth2Provider(name="apple", client_id="app")
        given = Token("t", raw={"id_token": token})
        return fetch(Asking("apple", provider, endpoints(config, provider), given, session, lambda: NOW))


APPLE: dict[str, object] = {
    "iss": "https://appleid.apple.com",
    "aud": "app",
    "exp": NOW + 600,
    "sub": "001234.ab",
    "email": "ada@privaterelay.appleid.com",
    "email_verified": "true",
}


def test_apple_vouches_for_its_users() -> None:
    user = apple(APPLE)
    assert (user.id, user.email, user.name) == ("001234.ab", "ada@privaterelay.appleid.com", "")
    assert apple(APPLE | {"email_verified": "false"}).email == ""


@pytest.mark.parametrize("lie", [{"iss": "https://evil.example"}, {"aud": "other"}, {"exp": None}, {"exp": NOW - 1}])
def test_apple_tokens_that_prove_nothing(lie: dict[str, object]) -> None:
    with pytest.raises(IdTokenError):
        apple({name: value for name, value in (APPLE | lie).items() if value is not None})


def test_apple_tokens_of_another_key() -> None:
    with pytest.raises(IdTokenError):
        apple(APPLE, RSAKey.generate_key(2048, auto_kid=False))


def test_a_client_secret_for_apple() -> None:
    key = ECKey.generate_key("P-256", auto_kid=False)
    form = AppleSecretForm("app", "TEAM567890", "KEY4567890", key.as_pem(private=True).decode(), 60)
    token = jwt.decode(create(form, lambda: 1000.7), key, algorithms=["ES256"])
    assert token.header == {"alg": "ES256", "kid": "KEY4567890", "typ": "JWT"}
    assert token.claims == {
        "aud": ["https://appleid.apple.com"],
        "exp": 1060,
        "iat": 1000,
        "iss": "TEAM567890",
        "sub": "app",
    }


@pytest.mark.parametrize(
    "pem",
    [
        "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----",
        KEYS[0][1].as_pem(private=True).decode(),
        ECKey.generate_key("P-384").as_pem(private=True).decode(),
    ],
)
def test_a_key_that_apple_would_not_take(pem: str) -> None:
    with pytest.raises(BadRequestError, match="Failed to generate client secret"):
        create(AppleSecretForm("app", "TEAM567890", "KEY4567890", pem, 60), lambda: 1000)


@pytest.mark.parametrize("duration", [-1, 15_777_001, 1 << 70])
def test_a_client_secret_for_too_long(duration: int) -> None:
    key = ECKey.generate_key("P-256").as_pem(private=True).decode()
    with pytest.raises(BadRequestError) as refused:
        create(AppleSecretForm("app", "TEAM567890", "KEY4567890", key, duration), lambda: 1000)
    assert set(refused.value.data) == {"duration"}
