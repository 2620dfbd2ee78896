"""A small OpenID Connect provider on loopback, as a thread or as a process (`python -m tests.oidc_provider`).

It checks what a provider checks: the client, the code (once), the redirect address and
PKCE. The first part of each path is how it behaves: `/honest/token` gives what it should,
`/wrong_aud/token` lies, `/hang/token` never answers (see `LIES` and `_BROKEN`). Who signs in is the
`login_hint` of the authorization request; nobody is asked for a password.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID = "rowcast-tests"
CLIENT_SECRET = "a secret with spaces & signs"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)

KEY = RSAKey.generate_key(2048, {"kid": "key-1", "alg": "RS256", "use": "sig"}, auto_kid=False)
_OTHER_KEY = RSAKey.generate_key(2048, auto_kid=False)
_PUBLIC = KEY.as_dict(private=False) | {"kid": "key-1", "alg": "RS256"}

Claims = dict[str, Any]


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def sign(claims: Claims, key: RSAKey = KEY, **header: str) -> str:
    """Return a signed token."""
    return jwt.encode({"alg": "RS256", "kid": "key-1", **header}, claims, key, algorithms=["RS256"])


def _by_public_key(claims: Claims) -> str:
    """Return a token whose secret is the public key: what a verifier takes that lets tokens choose their algorithm."""
    signed = f"{_part({'alg': 'HS256', 'kid': 'key-1'})}.{_part(claims)}"
    signature = hmac.digest(KEY.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


LIES: dict[str, Callable[[Claims], str]] = {
    "wrong_aud": lambda claims: sign(claims | {"aud": "somebody else"}),
    "no_aud": lambda claims: sign({name: value for name, value in claims.items() if name != "aud"}),
    "wrong_iss": lambda claims: sign(claims | {"iss": "https://evil.example"}),
    "no_iss": lambda claims: sign({name: value for name, value in claims.items() if name != "iss"}),
    "expired": lambda claims: sign(claims | {"exp": int(time.time()) - 1}),
    "future": lambda claims: sign(claims | {"iat": int(time.time()) + 3600}),
    "time_is_text": lambda claims: sign(claims | {"exp": "tomorrow"}),
    "wrong_signature": lambda claims: sign(claims, _OTHER_KEY),
    "unknown_key": lambda claims: sign(claims, kid="key-2"),
    "no_key": lambda claims: sign(claims, kid=""),
    "alg_none": lambda claims: f"{_part({'alg': 'none', 'kid': 'key-1'})}.{_part(claims)}.",
    "alg_hs256": _by_public_key,
    "cut": lambda claims: sign(claims)[:-10],
    "changed": lambda claims: _changed(sign(claims), claims),
    "no_token": lambda _: "",
    "not_a_token": lambda _: "x.y.z",
}
"""Id tokens that prove nothing, by the name of the lie."""


def _changed(token: str, claims: Claims) -> str:
    """Return a token with other claims than those that were signed."""
    header, _, signature = token.split(".")
    return f"{header}.{_part(claims | {'sub': 'mallory'})}.{signature}"


class Provider:
    """The provider. `codes` are those that were given and not taken back."""

    def __init__(self, port: int = 0) -> None:
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, str] = {}
        self.asked: list[str] = []
        self.release = threading.Event()
        handler = type("Handler", (_Handler,), {"provider": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def claims(self, user: str) -> Claims:
        """Return what is known of a user; "unverified-…" has not proved the address, "nomail-…" has none."""
        claims: Claims = {"sub": user, "name": user.title(), "preferred_username": user.replace("-", "_")}
        if not user.startswith("nomail"):
            claims |= {"email": f"{user}@example.com", "email_verified": not user.startswith("unverified")}
        return claims | {"picture": f"{self.url}/honest/avatar.png"}

    def give_code(self, user: str, *, redirect_uri: str = "", challenge: str = "") -> str:
        """Return a code, as after a user agreed."""
        code = secrets.token_urlsafe(16)
        self.codes[code] = {"user": user, "redirect_uri": redirect_uri, "challenge": challenge}
        return code


class _Handler(BaseHTTPRequestHandler):
    provider: Provider
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        url = urlsplit(self.path)
        _, how, what = (url.path + "/").split("/")[:3]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.provider.asked.append(f"{how}/{what}")
        if what == "token" and how in _BROKEN:
            _BROKEN[how](self)
            return
        answer = {
            "authorize": lambda: self._authorize(dict(parse_qsl(url.query))),
            "token": lambda: self._token(how, dict(parse_qsl(body))),
            "userinfo": lambda: self._user_info(how),
            "jwks": lambda: self.send(200, {"keys": [_PUBLIC]}),
            "avatar.png": lambda: self.reply(200, "image/png", PNG),
        }.get(what)
        if answer is None:
            self.send(404, {"error": "not_found"})
        else:
            answer()

    def _authorize(self, query: dict[str, str]) -> None:
        if query.get("client_id") != CLIENT_ID or query.get("response_type") != "code":
            self.send(400, {"error": "unauthorized_client"})
            return
        if query.get("login_hint") == "refuses":
            back = {"error": "access_denied", "state": query["state"]}
        else:
            code = self.provider.give_code(
                query["login_hint"], redirect_uri=query["redirect_uri"], challenge=query.get("code_challenge", "")
            )
            back = {"code": code, "state": query["state"]}
        self.send_response(302)
        self.send_header("Location", f"{query['redirect_uri']}?{urlencode(back)}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _client(self, form: dict[str, str]) -> tuple[str, str]:
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            name, _, secret = base64.b64decode(value).decode().partition(":")
            return unquote_plus(name), unquote_plus(secret)
        return form.get("client_id", ""), form.get("client_secret", "")

    def _token(self, how: str, form: dict[str, str]) -> None:
        if how == "body_only" and "Authorization" in self.headers:
            self.send(401, {"error": "invalid_client"})
            return
        if self._client(form) != (CLIENT_ID, CLIENT_SECRET):
            self.send(401, {"error": "invalid_client"})
            return
        given = self.provider.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        is_proved = given is not None and (
            not given["challenge"] or base64.urlsafe_b64encode(digest).decode().rstrip("=") == given["challenge"]
        )
        if given is None or not is_proved or form.get("redirect_uri", "") != given["redirect_uri"]:
            self.send(400, {"error": "invalid_grant", "error_description": "no such code"})
            return
        access = secrets.token_urlsafe(16)
        self.provider.tokens[access] = given["user"]
        answer = {"access_token": access, "token_type": "bearer", "refresh_token": "again", "expires_in": 3600}
        if how == "form":
            self.reply(200, "application/x-www-form-urlencoded", urlencode(answer).encode())
            return
        now = int(time.time())
        claims = self.provider.claims(given["user"])
        claims |= {"iss": self.provider.url, "aud": CLIENT_ID, "iat": now, "exp": now + 600}
        self.send(200, answer | {"id_token": LIES.get(how, sign)(claims)})

    def _user_info(self, how: str) -> None:
        if how in _BROKEN:
            _BROKEN[how](self)
            return
        user = self.provider.tokens.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        if user is None:
            self.send(401, {"error": "invalid_token"})
        else:
            self.send(200, self.provider.claims(user))

    # -- answers ---------------------------------------------------------------

    def send(self, status: int, value: object) -> None:
        self.reply(status, "application/json", json.dumps(value).encode())

    def reply(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def hang(self) -> None:
        """Answer nothing until the provider ends."""
        self.provider.release.wait(60)
        self.close_connection = True

    def drip(self) -> None:
        """Answer a byte at a time, for ever."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        try:
            while not self.provider.release.wait(0.05):
                self.wfile.write(b" ")
        except OSError:
            pass
        self.close_connection = True

    def flood(self) -> None:
        """Answer a hundred megabytes."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(100 << 20))
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(b" " * (1 << 20))
        except OSError:
            pass
        self.close_connection = True

    def redirect_inside(self) -> None:
        self.reply(302, "text/plain", b"", Location=self.provider.url + "/honest/avatar.png")


_BROKEN: dict[str, Callable[[_Handler], None]] = {
    "hang": _Handler.hang,
    "drip": _Handler.drip,
    "flood": _Handler.flood,
    "garbage": lambda handler: handler.reply(200, "application/json", b"\xff\xfe{{{"),
    "empty": lambda handler: handler.reply(200, "application/json", b""),
    "nothing": lambda handler: handler.send(200, {}),
    "null": lambda handler: handler.send(200, None),
    "deep": lambda handler: handler.reply(200, "application/json", b"[" * 100_000),
    "number": lambda handler: handler.send(200, {"access_token": 1}),
    "page": lambda handler: handler.reply(502, "text/html", b"<h1>Bad Gateway</h1>"),
    "packed": lambda handler: handler.reply(200, "application/json", b"\x1f\x8b", Content_Encoding="gzip"),
    "moved": _Handler.redirect_inside,
}


@contextmanager
def provided() -> Iterator[Provider]:
    """Run a provider in threads until the block ends."""
    provider = Provider()
    thread = threading.Thread(target=provider.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.release.set()
        provider.server.shutdown()
        provider.server.server_close()
        thread.join()


def main() -> None:
    """Run a provider until the process is ended; its address is the first line."""
    provider = Provider()
    sys.stdout.write(provider.url + "\n")
    sys.stdout.flush()
    provider.server.serve_forever()


if __name__ == "__main__":
    main()
