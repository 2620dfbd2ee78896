"""One HTTP request as the edge sees it: method, path, headers, query, address, account.

Everything that costs more than a look-up is made when it is first asked for.
Names and values follow Go's net/http where a client could tell the difference.
"""

from __future__ import annotations

import ipaddress
import tempfile
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import quote

from rowcast.blobs.spool import Spool
from rowcast.config import TrustedProxySettings
from rowcast.schema.collection import Collection
from rowcast.schema.record import Record
from rowcast.schema.request import RequestContext, RequestInfo, snake_case

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_NO_COLLECTION = Collection()
ELSEWHERE = Spool(tempfile.gettempdir())

_HEX = frozenset("0123456789abcdefABCDEF")


class Authenticate(Protocol):
    """Finds the account of a token."""

    def __call__(self, token: str) -> Awaitable[Record | None]:
        """Return the account, None for a token that is missing, malformed, expired or revoked."""
        ...


class Request:
    """A request on its way through the edge.

    `path` is the decoded path below the mount point, `raw_path` the same still
    percent-encoded. `headers` holds the first value of each name (lower case, bytes).
    `values` are the path values of the matched route, in its order. `auth`, `address`
    and, where the route names one, `collection` are set by the pipeline before the handler runs.
    """

    __slots__ = (
        "_query", "address", "auth", "body_limit", "cleanups", "collection", "headers", "method", "path", "raw_path",
        "receive", "scope", "spool", "token", "values",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.method: str = scope["method"]
        self.path, self.raw_path = paths(scope)
        # Reversed, so that the first of equal names stays.
        self.headers: dict[bytes, bytes] = dict(list(scope["headers"])[::-1])
        self.values: tuple[str, ...] = ()
        self.auth: Record | None = None
        # Set by the pipeline for routes that name one.
        self.collection = _NO_COLLECTION
        self.token = ""
        self.address = ""
        self.body_limit = 0
        self.spool = ELSEWHERE
        self.cleanups: list[Callable[[], None]] = []
        self._query: dict[str, str] | None = None

    @property
    def query(self) -> dict[str, str]:
        """The first value of each query parameter."""
        if self._query is None:
            text = self.scope["query_string"]
            self._query = first_values(query_pairs(text)) if text else {}
        return self._query

    def header(self, name: bytes) -> str:
        """Return the first value of a header, "" where there is none."""
        return self.headers.get(name, b"").decode("utf-8", "replace")

    @property
    def is_superuser(self) -> bool:
        """Whether a record of `_superusers` makes this request."""
        return self.auth is not None and self.auth.collection.name == "_superusers"

    @property
    def asker(self) -> str:
        """Who asks, where threads are shared: the account, else the address."""
        return self.auth.id if self.auth is not None else self.address

    def info(self, body: dict[str, object] | None = None, context: RequestContext = "default") -> RequestInfo:
        """Return what rules see of this request. Copies core/event_request.go, initRequestInfo."""
        # Go keeps the host apart from the headers.
        headers = {
            _header_name(name): value.decode("utf-8", "replace")
            for name, value in self.headers.items()
            if name != b"host"
        }
        return RequestInfo(self.auth, self.method, context, self.query, headers, {} if body is None else body)

    def locate(self, proxy: TrustedProxySettings) -> str:
        """Return the address of the client, from the trusted headers or the connection.

        Copies core/event_request.go, RealIP.
        """
        for header in proxy.headers:
            name = header.lower().encode("utf-8", "replace")
            # The last header of the name is the one that the proxy controls.
            listed = [value for key, value in self.scope["headers"] if key == name]
            if not listed:
                continue
            addresses = listed[-1].decode("latin-1").split(",")
            for text in addresses if proxy.use_leftmost_ip else reversed(addresses):
                if found := expanded(text.strip()):
                    return found
        return self.remote

    @property
    def remote(self) -> str:
        """The address of the connection, "invalid IP" where there is none (a Unix socket)."""
        client = self.scope.get("client")
        return (expanded(client[0]) if client else "") or "invalid IP"

    def mounted(self, path: str) -> str:
        """Return an encoded path below the mount point as clients spell it."""
        return escape(self.scope.get("root_path", "")) + path

    def cleanup(self) -> None:
        """Remove what the request left in temporary places. Blocks."""
        for call in self.cleanups:
            call()
        self.cleanups.clear()


def paths(scope: Scope) -> tuple[str, str]:
    """Return the decoded and the encoded path below the mount point."""
    path: str = scope["path"]
    raw = scope.get("raw_path")
    root: str = scope.get("root_path", "")
    raw_path = raw.partition(b"?")[0].decode("latin-1") if raw else escape(path)
    if root and path.startswith(root):
        path = path[len(root) :]
        raw_root = escape(root)
        raw_path = raw_path[len(raw_root) :] if raw_path.startswith(raw_root) else escape(path)
    return path or "/", raw_path or "/"


@lru_cache(maxsize=4096)
def expanded(text: str) -> str:
    """Return an address in its long form, "" where the text is none."""
    try:
        return ipaddress.ip_address(text).exploded
    except ValueError:
        return ""


@lru_cache(maxsize=512)
def _header_name(name: bytes) -> str:
    """Return a header name as rules spell it; servers hand names over in lower case."""
    return snake_case(name.decode("latin-1"))


def escape(path: str) -> str:
    """Return a path with what can't stand in one percent-encoded."""
    return quote(path, safe="/:@!$&'()*+,;=~", errors="replace")


def query_pairs(text: bytes) -> list[tuple[str, str]]:
    """Return the pairs of a query string or an urlencoded form; malformed ones are left out.

    Copies Go's net/url, ParseQuery.
    """
    pairs = []
    for part in text.decode("utf-8", "replace").split("&"):
        if not part or ";" in part:
            continue
        name, _, value = part.partition("=")
        decoded_name, decoded_value = unescape(name, is_query=True), unescape(value, is_query=True)
        if decoded_name is not None and decoded_value is not None:
            pairs.append((decoded_name, decoded_value))
    return pairs


def first_values(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return the first value of each name."""
    found: dict[str, str] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def unescape(text: str, *, is_query: bool = False) -> str | None:
    """Return percent-encoded text decoded, None where it is malformed; broken UTF-8 is replaced."""
    if is_query and "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    first, *rest = text.split("%")
    out = bytearray(first.encode("utf-8", "replace"))
    for part in rest:
        if len(part) < 2 or part[0] not in _HEX or part[1] not in _HEX:
            return None
        out.append(int(part[:2], 16))
        out += part[2:].encode("utf-8", "replace")
    return out.decode("utf-8", "replace")


def values_of(pairs: list[tuple[str, str]]) -> Mapping[str, list[str]]:
    """Return all values of each name, in order."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found
