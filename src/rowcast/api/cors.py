"""CORS: which origins may read answers, and the answers to preflight requests.

Copies apis/middlewares_cors.go. Preflight requests are answered before anything
else, so that they are neither counted nor logged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rowcast.api.request import Request
from rowcast.api.responses import Headers, Response

_MAX_ORIGIN = 253 + 3 + 5

# The reference exposes none; this one names what it does not have.
_EXPOSED = (b"access-control-expose-headers", b"Rowcast-Cursor")
_VARY = (b"vary", b"Origin")
_METHODS = (b"access-control-allow-methods", b"GET,HEAD,PUT,PATCH,POST,DELETE")
_PREFLIGHT: Headers = [
    (b"vary", b"Access-Control-Request-Method"),
    (b"vary", b"Access-Control-Request-Headers"),
    _METHODS,
]


class Cors:
    """The allowed origins, in which `*` and `?` are wildcards. Never changed."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = tuple(origins) or ("*",)
        patterns = (re.escape(origin).replace(r"\*", ".*").replace(r"\?", ".") for origin in self._origins)
        self._patterns = [
            re.compile(pattern) for origin, pattern in zip(self._origins, patterns, strict=True) if origin != "*"
        ]

    def headers(self, request: Request) -> Headers:
        """Return the CORS headers of an answer to this request."""
        origin = request.headers.get(b"origin")
        if not origin:
            return [_VARY]
        allowed = self._allowed(origin.decode("latin-1"))
        if not allowed:
            return [_VARY]
        return [_VARY, (b"access-control-allow-origin", allowed.encode("latin-1")), _EXPOSED]

    def preflight(self, request: Request) -> Response:
        """Return the rest of the answer to an OPTIONS request, whose CORS headers `headers` gives."""
        if len(self.headers(request)) == 1:
            return Response(204)
        asked = request.headers.get(b"access-control-request-headers")
        allowed: Headers = [(b"access-control-allow-headers", asked)] if asked else []
        return Response(204, b"", _PREFLIGHT + allowed)

    def _allowed(self, origin: str) -> str:
        """Return the value of Access-Control-Allow-Origin, "" where the origin is not allowed."""
        for candidate in self._origins:
            if candidate in {"*", origin}:
                return candidate
        if len(origin) > _MAX_ORIGIN or "://" not in origin:
            return ""
        return origin if any(pattern.fullmatch(origin) for pattern in self._patterns) else ""
