"""`GET /api/health`: whether the server is there, and for superusers how it sees them; `GET /api/ready`: whether
a balancer should send it more."""

from __future__ import annotations

from collections.abc import Callable

from rowcast import encoding
from rowcast.api.request import Request
from rowcast.api.responses import Answer, json, picked
from rowcast.config import SettingsRef
from rowcast.errors import ApiError

# The hyphens of the last one are the reference's own, so it never matches.
_PROXY_HEADERS = ("CF-Connecting-IP", "Fly-Client-IP", "X\u2011Forwarded\u2011For")

_READY = b'{"message":"Ready.","code":200,"data":{}}'
_HEALTHY = b'{"message":"API is healthy.","code":200,"data":{}}'


class Health:
    """Answers health checks (apis/health.go). `is_stopping` tells whether the server has begun to stop."""

    def __init__(self, settings: SettingsRef, is_stopping: Callable[[], bool]) -> None:
        self._settings = settings
        self._is_stopping = is_stopping

    async def check(self, request: Request) -> Answer:
        """Say that the server is healthy."""
        if not request.is_superuser:
            return picked(request, _HEALTHY)
        headers = (*self._settings.current.trusted_proxy.headers, *_PROXY_HEADERS)
        proxied = (name for name in headers if request.headers.get(name.lower().encode("utf-8", "replace")))
        data = {"canBackup": True, "possibleProxyHeader": next(proxied, ""), "realIP": request.address}
        return picked(request, encoding.encode({"message": "API is healthy.", "code": 200, "data": data}))

    async def ready(self, _: Request) -> Answer:
        """Say that more requests are welcome; 503 while the server stops, though what is under way is still served."""
        if self._is_stopping():
            raise ApiError("The server is stopping.", status=503)
        return json(_READY)
