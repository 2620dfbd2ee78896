"""Requests to other servers: bounded in time and size, and never to internal addresses by what a user brings.

The only home of the HTTP client. A `Session` has one deadline for everything that is
done with it: each wait for the network ends by then, also where a server sends one
byte at a time. Synchronous; one session belongs to one thread.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType

import httpcore
import httpx

from rowcast.auth.oauth2.addresses import is_public
from rowcast.errors import RowcastError

MAX_ANSWER = 1 << 20
"""Bytes that a provider's answer may have; the largest known ones have some thousand."""

_MAX_REDIRECTS = 5

_POLL_S = 0.25
"""How often a wait looks whether the server stops."""

_FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    OSError,
    ValueError,
)

_SocketOptions = Iterable[tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]]


class WebError(RowcastError):
    """Another server could not be asked, or its answer is not usable."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What another server answered, whatever its status."""

    status: int
    body: bytes


class Web:
    """Makes sessions. `stop` ends the waits of all of them."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._context: ssl.SSLContext | None = None

    def stop(self) -> None:
        """Let every wait fail soon; for good."""
        self._stopping.set()

    def session(self, seconds: float, *, max_bytes: int = MAX_ANSWER, guards: Guard | None = None) -> Session:
        """Return a session that ends after `seconds`; with `guards` only hosts that these let pass are connected to."""
        if self._context is None:
            # With the authorities that come with the client: slim systems have none of their own.
            self._context = httpx.create_ssl_context()
        network = _Network(time.monotonic() + seconds, self._stopping, guards)
        return Session(_Transport(network, self._context, max_bytes))


@dataclass(frozen=True, slots=True)
class Guard:
    """Lets hosts pass that are on the public network, and `trusted` ones ("host" or "host:port") wherever they are."""

    trusted: frozenset[str] = frozenset()

    def check(self, host: str, port: int, addresses: list[str]) -> None:
        """Raise WebError where a host has any address that is not public."""
        if host in self.trusted or f"{host}:{port}" in self.trusted:
            return
        for address in addresses:
            if not is_public(address):
                raise WebError(f"{host} leads to the internal address {address}")


class Session:
    """One conversation with other servers. A context manager."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self.client = httpx.Client(
            transport=transport,
            trust_env=False,
            max_redirects=_MAX_REDIRECTS,
            timeout=None,  # noqa: S113 - the transport has a deadline for all of it
            headers={"Accept-Encoding": "identity", "User-Agent": "rowcast"},
        )

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.client.close()

    def ask(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> Reply:
        """Send a request and return its answer; redirects are followed. Raises WebError."""
        try:
            answer = self.client.request(method, url, headers=headers, content=content, follow_redirects=True)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise WebError(f"{url} can't be asked: {error}") from error
        return Reply(answer.status_code, answer.content)


class _Transport(httpx.BaseTransport):
    """Sends requests and reads the whole of each answer, within the bounds."""

    def __init__(self, network: _Network, context: ssl.SSLContext, max_bytes: int) -> None:
        self._pool = httpcore.ConnectionPool(ssl_context=context, network_backend=network)
        self._max_bytes = max_bytes

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.scheme not in {"http", "https"} or not url.host:
            raise WebError(f"{url} is no web address")
        try:
            answer = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.read(),
                )
            )
            try:
                body = self._read(answer)
            finally:
                answer.close()
        except _FAILURES as error:
            raise WebError(f"{url.host} does not answer: {str(error) or type(error).__name__}") from error
        return httpx.Response(answer.status, headers=answer.headers, content=body)

    def _read(self, answer: httpcore.Response) -> bytes:
        for name, value in answer.headers:
            if name.lower() == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
                # A few bytes may unpack to gigabytes, and it was not asked for.
                raise WebError("the answer is compressed")
        parts: list[bytes] = []
        size = 0
        for part in answer.iter_stream():
            size += len(part)
            if size > self._max_bytes:
                raise WebError(f"the answer has more than {self._max_bytes} bytes")
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        self._pool.close()


class _Network(httpcore.NetworkBackend):
    """Connects until a deadline, to addresses that were checked before.

    Names are looked up once, and the connection goes to what was found and checked: a
    name that leads elsewhere a moment later (DNS rebinding) gains nothing.
    """

    def __init__(self, ends: float, stopping: threading.Event, guard: Guard | None) -> None:
        self._sync = httpcore.SyncBackend()
        self._ends = ends
        self._stopping = stopping
        self._guard = guard

    def left(self) -> float:
        """Return the seconds that are left. Raises httpcore.ReadTimeout where there are none."""
        seconds = self._ends - time.monotonic()
        if seconds <= 0 or self._stopping.is_set():
            raise httpcore.ReadTimeout("the time is up")
        return seconds

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline counts
        local_address: str | None = None,
        socket_options: _SocketOptions | None = None,
    ) -> httpcore.NetworkStream:
        addresses = _look_up(host, port)
        if self._guard is not None:
            self._guard.check(host, port, addresses)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                stream = self._sync.connect_tcp(address, port, self.left(), local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, self.left, self._stopping)
        raise failure


class _Stream(httpcore.NetworkStream):
    """A connection whose waits end with the deadline, and soon after the server stops."""

    def __init__(self, stream: httpcore.NetworkStream, left: Callable[[], float], stopping: threading.Event) -> None:
        self._stream = stream
        self._left = left
        self._stopping = stopping

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline counts
        while True:
            try:
                return self._stream.read(max_bytes, min(self._left(), _POLL_S))
            except httpcore.ReadTimeout:
                self._left()

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the deadline counts
        self._stream.write(buffer, self._left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the deadline counts
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._left())
        return _Stream(secured, self._left, self._stopping)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def _look_up(host: str, port: int) -> list[str]:
    """Return the addresses of a host, each once. Raises OSError and ValueError (names that can't be encoded)."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
