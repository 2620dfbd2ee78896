from __future__ import annotations

import base64
import hmac
import json
import subprocess
import sys
from typing import Any

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.credentials import (
    MAX_PASSWORD_BYTES,
    Claims,
    TokenKind,
    decoy_hash,
    hash_password,
    is_password,
    is_signed,
    read_claims,
    secret_of,
    sign,
)
from rowcast.schema.collection import AuthOptions, TokenOptions

COST = 4
HASH = hash_password("secret", COST)

# Minted by PocketBase 0.39.11 with this key.
REFERENCE_KEY = "rMb1gUpn27s53t66gOGscSHfYsa272cgOgn4nhTZIl4fIC8XP8PjVU4hAV7CZIWbCByJHkDcMUlSEWCLI6M5aWSZOpEq0a3rYxKT"
REFERENCE_TOKEN = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJjb2xsZWN0aW9uSWQiOiJ2ODUxcTRyNzkwcmhrbmwiLCJleHAiOjE3OTY2Nzc5MzMsImlkIjoi"
    "Z2szOTBxZWdzNHk0N3duIiwicmVmcmVzaGFibGUiOnRydWUsInR5cGUiOiJhdXRoIn0.R0oa3INUyW8weg5XRbMJFQJkdr98gl0MH_G2w5HnCWI"
)
REFERENCE_CLAIMS = {
    "type": "auth",
    "id": "gk390qegs4y47wn",
    "collectionId": "v851q4r790rhknl",
    "refreshable": True,
    "exp": 1796677933,
}


class Counting:
    """Compares like bcrypt at its lowest cost, and keeps the costs that it was really asked for."""

    def __init__(self) -> None:
        self.costs: list[int] = []

    def __call__(self, plain: bytes, hashed: bytes) -> bool:
        cost = int(hashed[4:6])
        if not 4 <= cost <= 31:
            raise ValueError("Invalid salt")
        is_right = bcrypt.checkpw(plain, b"$2b$04" + hashed[6:])
        self.costs.append(cost)
        return is_right


def segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: object, claims: object, key: bytes = b"key", digest: str = "sha256") -> str:
    """Return a token as anybody could make it."""
    signed = f"{segment(json.dumps(header).encode())}.{segment(json.dumps(claims).encode())}"
    return f"{signed}.{segment(hmac.digest(key, signed.encode(), digest))}"


GOOD_HEADER = segment(b'{"alg":"HS256"}')


# -- passwords -----------------------------------------------------------------


def test_a_password_fits_its_hash_only() -> None:
    assert HASH.startswith("$2a$04$")
    assert is_password("secret", HASH)
    assert not is_password("Secret", HASH)
    assert not is_password("", HASH)


def test_equal_passwords_have_different_hashes() -> None:
    assert hash_password("secret", COST) != HASH


@pytest.mark.parametrize("prefix", ["$2$", "$2a$", "$2b$", "$2x$", "$2y$"])
def test_hashes_of_all_writers_are_read(prefix: str) -> None:
    assert is_password("secret", prefix + HASH[4:])


def test_hash_of_the_reference_is_read() -> None:
    # "1234567890" by PocketBase.
    known = "$2a$10$0CUWH81tPWUhxKqksZnO/eDfJiWTTG/xg7v5Yg8RhcLIGWY3oeCHe"
    assert is_password("1234567890", known)


def test_long_passwords_count_up_to_72_bytes() -> None:
    longest = "ä" * (MAX_PASSWORD_BYTES // 2)
    hashed = hash_password(longest, COST)
    assert is_password(longest, hashed)
    assert is_password(longest + "more", hashed)
    assert not is_password(longest[:-1], hashed)
    with pytest.raises(ValueError, match="72 bytes"):
        hash_password(longest + "x", COST)


@pytest.mark.parametrize("cost", [3, 32])
def test_impossible_costs_are_refused(cost: int) -> None:
    with pytest.raises(ValueError):
        hash_password("secret", cost)


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        "secret",
        "$2",
        "$2a$",
        "$2a$04$short",
        "$2a$99$" + HASH[7:],
        "$2a$03$" + HASH[7:],
        "$2a$+4$" + HASH[7:],
        "$2a$04$" + "!" * 53,
        "$2a$04$" + "A" * 53,
        "$2a$04$" + "é" * 53,
        HASH + "x",
        HASH[:-1],
        HASH + "\n",
        "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA",
        "\x00",
        "\udcff",
    ],
    # HASH has another salt each time, and pytest's workers must agree on the names of the tests.
    ids=lambda hashed: f"{len(hashed)} characters",
)
def test_odd_hashes_fit_nothing_and_take_as_long_as_any(hashed: str) -> None:
    compare = Counting()
    assert not is_password("secret", hashed, compare=compare)
    assert compare.costs == [10]


def test_each_comparison_asks_bcrypt_once() -> None:
    for hashed, cost in ((HASH, 4), ("", 10), (decoy_hash(12), 12)):
        compare = Counting()
        is_password("secret", hashed, compare=compare)
        assert compare.costs == [cost]


@pytest.mark.parametrize(("cost", "used"), [(0, 10), (4, 4), (13, 13), (1, 4), (99, 31)])
def test_decoys_have_the_cost_of_the_field(cost: int, used: int) -> None:
    assert decoy_hash(cost).startswith(f"$2b${used:02d}$")


@given(st.text(max_size=80))
def test_nothing_fits_a_decoy(plain: str) -> None:
    assert not is_password(plain, decoy_hash(COST))


@given(st.text(max_size=100), st.text(max_size=80))
def test_comparing_never_raises(plain: str, hashed: str) -> None:
    assert not is_password(plain, hashed, compare=lambda plain, hashed: False)


# -- tokens --------------------------------------------------------------------


def test_tokens_are_those_of_the_reference_to_the_byte() -> None:
    assert sign(REFERENCE_CLAIMS, REFERENCE_KEY) == REFERENCE_TOKEN
    assert is_signed(REFERENCE_TOKEN, REFERENCE_KEY)


def test_texts_are_escaped_as_the_reference_escapes_them() -> None:
    token = sign({"email": "a&b<c>@example.com"}, "key")
    assert base64.urlsafe_b64decode(token.split(".")[1] + "==") == b'{"email":"a\\u0026b\\u003cc\\u003e@example.com"}'


def test_claims_come_back() -> None:
    said = REFERENCE_CLAIMS | {"email": "a@example.com", "newEmail": "b@example.com"}
    assert read_claims(sign(said, "key")) == Claims(
        id="gk390qegs4y47wn",
        type="auth",
        collection_id="v851q4r790rhknl",
        exp=1796677933,
        email="a@example.com",
        new_email="b@example.com",
        refreshable=True,
    )


def test_tokens_without_a_type_header_are_read() -> None:
    token = forged({"alg": "HS256"}, {"id": "x"})
    assert is_signed(token, "key")
    assert read_claims(token) == Claims(id="x")


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": ""},
        {"alg": "hs256"},
        {"alg": "HS384"},
        {"alg": "HS512"},
        {"alg": "RS256"},
        {"alg": "ES256"},
        {"alg": ["HS256"]},
        {"alg": None},
        {"typ": "JWT"},
        {},
        [],
        "HS256",
        None,
    ],
)
def test_other_algorithms_are_refused(header: object) -> None:
    assert read_claims(forged(header, {"id": "x"})) is None


def test_a_signature_by_another_digest_is_refused() -> None:
    for digest in ("sha1", "sha384", "sha512"):
        assert not is_signed(forged({"alg": "HS256"}, {"id": "x"}, digest=digest), "key")


def test_an_empty_signature_or_key_proves_nothing() -> None:
    head, body, _ = REFERENCE_TOKEN.split(".")
    assert not is_signed(f"{head}.{body}.", REFERENCE_KEY)
    assert not is_signed(forged({"alg": "HS256"}, {"id": "x"}, key=b""), "")


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_changed_part_breaks_the_signature(part: int) -> None:
    parts = REFERENCE_TOKEN.split(".")
    for index in range(len(parts[part])):
        changed = "A" if parts[part][index] != "A" else "B"
        other = [*parts]
        other[part] = parts[part][:index] + changed + parts[part][index + 1 :]
        assert not is_signed(".".join(other), REFERENCE_KEY)


@pytest.mark.parametrize("added", ["=", ".", " ", "\n", "é", "\udcff", "A", "-"])
def test_a_signature_has_one_spelling(added: str) -> None:
    assert not is_signed(REFERENCE_TOKEN + added, REFERENCE_KEY)
    assert not is_signed(added + REFERENCE_TOKEN, REFERENCE_KEY)


@pytest.mark.parametrize(
    "claims",
    [
        [],
        "text",
        None,
        {"id": 1},
        {"type": ["auth"]},
        {"collectionId": {}},
        {"exp": "2999-01-01"},
        {"exp": True},
        {"iat": "now"},
        {"nbf": []},
        {"email": 5},
    ],
)
def test_claims_of_wrong_types_are_refused(claims: object) -> None:
    assert read_claims(forged({"alg": "HS256"}, claims)) is None


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a", "a.b", "a.b.c", "a.b.c.d", "é.é.é", f"{segment(b'{')}..", "e30.e30.", "\udcff.\udcff.\udcff"],
)
def test_malformed_tokens_are_refused(token: str) -> None:
    assert read_claims(token) is None
    assert not is_signed(token, "key")


def test_deep_and_long_tokens_are_refused() -> None:
    deep = segment(b'{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}")
    assert read_claims(f"{GOOD_HEADER}.{deep}.x") is None
    assert read_claims(f"{GOOD_HEADER}.{segment(b' ' * 20_000 + b'{}')}.x") is None


@given(st.text(max_size=200))
def test_reading_never_raises(token: str) -> None:
    read_claims(token)
    is_signed(token, "key")


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_reading_any_bytes_never_raises(header: bytes, claims: bytes) -> None:
    read_claims(f"{segment(header)}.{segment(claims)}.x")
    read_claims(f"{GOOD_HEADER}.{segment(claims)}.x")


@pytest.mark.parametrize(
    ("claims", "now", "is_current"),
    [
        ({"exp": 100}, 99.9, True),
        ({"exp": 100}, 100, False),
        ({"exp": 100}, 101, False),
        ({"exp": 100.9}, 100.5, False),
        ({"exp": -1}, 0, False),
        ({"exp": 1e300}, 1e9, True),
        ({}, 1e9, True),
        ({"exp": 0}, 1e9, True),
        ({"exp": None}, 1e9, True),
        ({"nbf": 100}, 99, False),
        ({"nbf": 100}, 100, True),
        ({"iat": 100}, 99, False),
        ({"iat": 100}, 100, True),
    ],
)
def test_tokens_hold_from_begin_to_end(claims: dict[str, Any], now: float, is_current: bool) -> None:
    read = read_claims(forged({"alg": "HS256"}, claims))
    assert read is not None
    assert read.is_current(now) is is_current


def test_each_kind_of_token_has_its_own_secret() -> None:
    names: tuple[TokenKind, ...] = ("auth", "file", "verification", "passwordReset", "emailChange")
    options = AuthOptions(
        auth_token=TokenOptions(secret="auth"),
        file_token=TokenOptions(secret="file"),
        verification_token=TokenOptions(secret="verification"),
        password_reset_token=TokenOptions(secret="passwordReset"),
        email_change_token=TokenOptions(secret="emailChange"),
    )
    assert [secret_of(options, name).secret for name in names] == list(names)


def test_importing_stays_cheap() -> None:
    code = "import sys, rowcast.credentials; print(sorted({'jwt', 'ssl', 'http', 'email'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
