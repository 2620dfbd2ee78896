"""What a token says about itself. Pure; nothing here checks a signature, which only the server can."""

from __future__ import annotations

import base64
import time
from typing import Any

import msgspec


def payload(token: str) -> dict[str, Any]:
    """Return what a token holds; empty for a text that is no token."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, msgspec.DecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def expires_at(token: str) -> float | None:
    """Return when a token ends, as a Unix time in seconds; None if it does not say so."""
    end = payload(token).get("exp")
    return float(end) if isinstance(end, int | float) and not isinstance(end, bool) and end else None


def is_expired(token: str, *, within_s: float = 0.0) -> bool:
    """Whether a token is none, has ended, or ends within some seconds."""
    if not payload(token):
        return True
    end = expires_at(token)
    return end is not None and end - within_s <= time.time()
