"""`GET /api/health`: whether the server is there, and for superusers how it sees them."""

from __future__ import annotations

from rowcast import encoding
from rowcast.api.request import Request
from rowcast.api.responses import Answer, picked
from rowcast.config import SettingsRef

# The hyphens of the last one are the reference's own, so it never matches.
_PROXY_HEADERS = ("CF-Connecting-IP", "Fly-Client-IP", "X\u2011Forwarded\u2011For")

_HEALTHY = b'{"message":"API is healthy.","code":200,"data":{}}'


class Health:
    """Answers health checks (apis/health.go)."""

    def __init__(self, settings: SettingsRef) -> None:
        self._settings = settings

    async def check(self, request: Request) -> Answer:
        """Say that the server is healthy."""
        if not request.is_superuser:
            return picked(request, _HEALTHY)
        headers = (*self._settings.current.trusted_proxy.headers, *_PROXY_HEADERS)
        proxied = (name for name in headers if request.headers.get(name.lower().encode("utf-8", "replace")))
        data = {"canBackup": True, "possibleProxyHeader": next(proxied, ""), "realIP": request.address}
        return picked(request, encoding.encode({"message": "API is healthy.", "code": 200, "data": data}))
