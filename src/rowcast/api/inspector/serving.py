"""Serves the files of the inspector, each with its type, its ETag and a strict policy.

The policy is what keeps the page honest: nothing is loaded from elsewhere, and the
browser itself refuses HTML that is made from text (`require-trusted-types-for`). The
files are read when they are first asked for and stay in memory. The page's links are
relative, so it works below any mount point.
"""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache
from pathlib import Path

from rowcast.api.request import Request
from rowcast.api.responses import Answer, Headers, Response, redirect
from rowcast.errors import NotFoundError

PATH = "/_/realtime"

_PAGE = "index.html"
_FOLDER = Path(__file__).parent
_TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)


async def page(request: Request) -> Answer:
    """Return the page itself."""
    return _answer(request, _PAGE)


async def part(request: Request) -> Answer:
    """Return one of the files that the page is made of. Raises NotFoundError."""
    name = request.values[0]
    if name == _PAGE or name not in _names():
        raise NotFoundError("File not found")
    return _answer(request, name)


async def slash(request: Request) -> Answer:
    """Send who wrote a slash too many to the page, whose links would not be right there."""
    return redirect(307, request.mounted(PATH))


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(path.name for path in _FOLDER.iterdir() if path.suffix in _TYPES)


@cache
def _file(name: str) -> tuple[bytes, Headers]:
    """Return the content and the headers of a file that is known to be there."""
    content = (_FOLDER / name).read_bytes()
    tag = hashlib.sha256(content).hexdigest()[:32].encode()
    return content, [
        (b"content-type", _TYPES[Path(name).suffix]),
        (b"content-security-policy", _POLICY),
        (b"referrer-policy", b"no-referrer"),
        # Asked for again each time: a new version of the server has new files.
        (b"cache-control", b"no-cache"),
        (b"etag", b'"' + tag + b'"'),
    ]


def _answer(request: Request, name: str) -> Response:
    content, headers = _file(name)
    known = request.header(b"if-none-match")
    if dict(headers)[b"etag"].decode() in known:
        return Response(304, b"", [pair for pair in headers if pair[0] != b"content-type"])
    return Response(200, content, headers)
