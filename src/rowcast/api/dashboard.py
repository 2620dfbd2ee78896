"""`/_/`: where the reference has its dashboard. rowcast has none, and says so.

A sign-in with another service ends here too: the page shows how it went, by the end of
its address. The script of the dashboard's extensions is empty, as it is in a reference without any.
"""

from __future__ import annotations

from rowcast.api.request import Request
from rowcast.api.responses import Answer, Headers, Response
from rowcast.errors import NotFoundError

_POLICY = (
    b"default-src 'self'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' http://127.0.0.1:* https://tile.openstreetmap.org data: blob:; "
    b"connect-src 'self' http://127.0.0.1:* https://nominatim.openstreetmap.org; "
    b"script-src 'self' http://127.0.0.1:*; frame-ancestors 'none'"
)
_HEADERS: Headers = [(b"content-security-policy", _POLICY), (b"vary", b"Accept-Encoding")]
_CACHED = (b"cache-control", b"max-age=1209600, stale-while-revalidate=86400")

_PAGE = b"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>rowcast</title>
<style>.end { display: none } .end:target { display: block; font-weight: bold }</style></head>
<body>
<p class="end" id="/auth/oauth2-redirect-success">You are signed in. You can close this window.</p>
<p class="end" id="/auth/oauth2-redirect-failure">Signing in failed. Close this window and try again.</p>
<p>rowcast is running. It has no dashboard: the API is at <a href="../api/health">/api/</a>.</p>
<p><a href="realtime">Look at realtime streams</a></p>
</body>
</html>
"""

_FRONT = Response(200, _PAGE, [(b"content-type", b"text/html; charset=utf-8"), *_HEADERS])
_EXTENSIONS = Response(200, b"", [(b"content-type", b"text/javascript"), *_HEADERS, _CACHED])


async def front(request: Request) -> Answer:
    """Return the page at `/_/`; nothing is below it."""
    if request.values[0]:
        raise NotFoundError("File not found")
    return _FRONT


async def extensions(_request: Request) -> Answer:
    """Return the script of no extensions (apis/extensions.go)."""
    return _EXTENSIONS
