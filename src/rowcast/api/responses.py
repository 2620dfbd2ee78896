"""Answers: status, headers and body, and how they leave through ASGI.

The error envelope is here and nowhere else. Every answer gets the headers of the
edge (security, CORS), which the pipeline hands in, so that no handler can forget them.
"""

from __future__ import annotations

from typing import Protocol

from rowcast import encoding
from rowcast.api.request import Request, Send
from rowcast.errors import ApiError
from rowcast.records.pick import parse as parse_fields

Headers = list[tuple[bytes, bytes]]

_JSON_TYPE = (b"content-type", b"application/json")
_HTML_TYPE = (b"content-type", b"text/html; charset=utf-8")

_BODYLESS = frozenset({204, 304})


class Answer(Protocol):
    """Something that can be sent. `status` is for the log."""

    status: int

    async def send(self, request: Request, send: Send, headers: Headers) -> None:
        """Send it with the headers of the edge."""
        ...


class Response:
    """An answer whose body is at hand."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes = b"", headers: Headers | None = None) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    async def send(self, request: Request, send: Send, headers: Headers) -> None:
        """Send head and body; a HEAD request gets the head alone."""
        body = self.body
        out = headers + self.headers if self.headers else headers[:]
        if self.status not in _BODYLESS:
            out.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": self.status, "headers": out})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})


_JSON_HEADERS: Headers = [_JSON_TYPE]

NO_CONTENT = Response(204)


def json(text: bytes, status: int = 200, headers: Headers | None = None) -> Response:
    """Return an answer with finished JSON text."""
    return Response(status, text + b"\n", _JSON_HEADERS + headers if headers else _JSON_HEADERS)


def failure(error: ApiError) -> Response:
    """Return the error envelope (tools/router/error.go, ApiError)."""
    body = {"data": error.data.to_json(), "message": error.message, "status": error.status}
    return Response(error.status, encoding.encode(body) + b"\n", _JSON_HEADERS)


def redirect(status: int, location: str) -> Response:
    """Return a redirect without a body."""
    return Response(status, b"", [(b"location", header_text(location))])


def moved(request: Request, location: str) -> Response:
    """Return the redirect of Go's ServeMux to a clean path, with its small page."""
    headers: Headers = [(b"location", header_text(location))]
    if request.method not in {"GET", "HEAD"}:
        return Response(307, b"", headers)
    shown = location.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
    page = f'<a href="{shown}">Temporary Redirect</a>.\n\n'
    return Response(307, page.encode(), [*headers, _HTML_TYPE])


def header_text(text: str) -> bytes:
    """Return a text as a header value; what can't stand in one is percent-encoded."""
    return "".join(
        char if " " <= char < "\x7f" else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))
        for char in text
    ).encode("latin-1")


def picked(request: Request, text: bytes, *, is_page: bool = False) -> Response:
    """Return an answer of 200 with finished JSON text, cut to the `fields` that the request asks for.

    Copies tools/router/event.go, JSON.
    """
    fields = request.query.get("fields", "")
    if fields and (pick := parse_fields(fields)) is not None:
        text = pick.apply_json(text, is_page=is_page)
    return Response(200, text + b"\n", _JSON_HEADERS)
