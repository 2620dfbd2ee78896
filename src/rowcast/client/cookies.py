"""Signed-in accounts as cookies, in the form of the JS SDK, so that pages and services may share one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Literal
from urllib.parse import quote, unquote

import msgspec

KEY = "pb_auth"

SameSite = Literal["Strict", "Lax", "None"]

_MAX_BYTES = 4096
"""Browsers drop longer cookies; the record is cut down to what tells who it is then."""

_KEPT = ("id", "email", "collectionId", "collectionName", "verified")


def serialize(  # noqa: PLR0913 - the attributes of a cookie
    token: str,
    record: Mapping[str, Any] | None,
    *,
    expires_at: float,
    key: str = KEY,
    secure: bool = True,
    http_only: bool = True,
    same_site: SameSite = "Strict",
    path: str = "/",
    domain: str = "",
) -> str:
    """Return the value of a `Set-Cookie` header; `expires_at` is a Unix time in seconds.

    Raises ValueError for a name, path or domain that would end the attribute.
    """
    for text in (key, path, domain):
        if any(char in text for char in ";,\r\n"):
            raise ValueError(f"{text!r} cannot stand in a cookie")
    attributes = f"; Domain={domain}" if domain else ""
    attributes += f"; Path={path}" if path else ""
    attributes += f"; Expires={format_datetime(datetime.fromtimestamp(expires_at, UTC), usegmt=True)}"
    attributes += "; HttpOnly" if http_only else ""
    attributes += "; Secure" if secure else ""
    attributes += f"; SameSite={same_site}"
    cookie = _pair(key, token, record) + attributes
    if record is not None and len(cookie) > _MAX_BYTES:
        cookie = _pair(key, token, {name: record[name] for name in _KEPT if name in record}) + attributes
    return cookie


def parse(header: str, key: str = KEY) -> tuple[str, dict[str, Any] | None]:
    """Return token and record of a `Cookie` header; empty where there are none."""
    for pair in header.split(";"):
        name, mark, value = pair.strip().partition("=")
        if mark and name.strip() == key:
            return _content(value.strip().strip('"'))
    return "", None


def _pair(key: str, token: str, record: Mapping[str, Any] | None) -> str:
    # What encodeURIComponent of JavaScript leaves alone.
    unquoted = "!~*'()"
    content = msgspec.json.encode({"token": token, "record": record}).decode()
    return f"{key}={quote(content, safe=unquoted)}"


def _content(value: str) -> tuple[str, dict[str, Any] | None]:
    try:
        found = msgspec.json.decode(unquote(value))
    except (ValueError, msgspec.DecodeError):
        return "", None
    if not isinstance(found, dict):
        return "", None
    token, record = found.get("token"), found.get("record") or found.get("model")
    return token if isinstance(token, str) else "", record if isinstance(record, dict) else None
