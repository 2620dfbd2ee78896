"""Checks of a running server from outside, over whatever proxy stands before it.

Asks the address that it is given and no other: redirects are told, not followed. It opens
one stream of a guest, which leaves no trace behind.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from rowcast.doctor.findings import Finding, ok, problem, warning

_TIMEOUT_S = 10.0
_AT_ONCE_S = 2.0
_SKEW_S, _BAD_SKEW_S = 5.0, 120.0
_HEARTBEAT_S = 26.0
"""Within this time a stream of rowcast gets a heartbeat at the latest."""

_LONGEST_LINE = 65_536
_BUFFERING = "turn buffering off in the proxy for /api/realtime (nginx: proxy_buffering off)"


class Outside:
    """One server by its address (`http://host:port/prefix`). Raises ValueError for what is none.

    wait_s: how long an open stream is watched, in seconds; heartbeats come every 25.
    """

    def __init__(self, url: str, *, wait_s: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is not an address; write for example https://example.com")
        self._is_tls, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._wait_s = wait_s

    def findings(self) -> Iterator[Finding]:
        """Make all checks; where the server does not answer there is no more to say."""
        try:
            answered = yield from self._health()
            if answered:
                yield from self._stream()
        except (OSError, http.client.HTTPException) as error:
            mend = "start the server, or correct the address, the proxy or its certificate"
            yield problem("reach", f"The server can't be reached: {str(error) or type(error).__name__}.", mend)

    def _health(self) -> Generator[Finding, None, bool]:
        began = time.monotonic()
        connection = self._open()
        try:
            connection.request("GET", f"{self._prefix}/api/health")
            answer = connection.getresponse()
            body = answer.read(_LONGEST_LINE)
        finally:
            connection.close()
        took_ms = (time.monotonic() - began) * 1000
        if answer.status != 200 or b"healthy" not in body:
            mend = "correct the proxy: /api/ must go to rowcast unchanged"
            yield problem("health", f"/api/health answers {answer.status} and not that it is healthy.", mend)
            return False
        yield ok("health", f"/api/health answers in {took_ms:.0f} ms.")
        if answer.version < 11:
            mend = "let the proxy speak HTTP/1.1 or newer, to clients and to rowcast"
            yield warning("HTTP version", "The answer is HTTP/1.0: each request needs a connection of its own.", mend)
        else:
            yield ok("HTTP version", "The answer is HTTP/1.1.")
        yield _skew(answer.headers.get("date", ""))
        return True

    def _stream(self) -> Iterator[Finding]:
        connection = self._open()
        began = time.monotonic()
        try:
            headers = {"Accept": "text/event-stream", "Accept-Encoding": "gzip", "Cache-Control": "no-store"}
            connection.request("GET", f"{self._prefix}/api/realtime", headers=headers)
            try:
                answer = connection.getresponse()
            except TimeoutError:
                yield problem(
                    "stream", f"A stream is not answered within {_TIMEOUT_S:g} s: it is held back.", _BUFFERING
                )
                return
            if answer.status != 200:
                mend = "see the log of the server; its limits on streams may be reached, or it may be stopping"
                yield problem("stream", f"/api/realtime answers {answer.status}.", mend)
                return
            yield from _head(answer)
            yield from self._first(answer, began)
        finally:
            connection.close()

    def _first(self, answer: http.client.HTTPResponse, began: float) -> Iterator[Finding]:
        try:
            found = _wait_for(answer, lambda line: b"PB_CONNECT" in line)
        except TimeoutError:
            yield problem(
                "stream", f"The first event does not come within {_TIMEOUT_S:g} s: it is held back.", _BUFFERING
            )
            return
        took_s = time.monotonic() - began
        if not found:
            mend = "see the log of the proxy: it ends streams, or is not made for them"
            yield problem("stream", "A stream ends before its first event.", mend)
        elif took_s > _AT_ONCE_S:
            yield problem("stream", f"The first event of a stream takes {took_s:.1f} s.", _BUFFERING)
        else:
            yield ok("stream", f"A stream is open, with its first event, after {took_s * 1000:.0f} ms.")
            # Up to the end of that event.
            _wait_for(answer, lambda line: line == b"\n")
            yield from self._idle(answer)

    def _idle(self, answer: http.client.HTTPResponse) -> Iterator[Finding]:
        """Watch a stream that nobody writes to: heartbeats must come, and nothing may end it."""
        began = time.monotonic()
        _set_timeout(answer, self._wait_s)
        try:
            is_beating = _wait_for(answer, lambda line: bool(line.strip()))
        except TimeoutError:
            if self._wait_s <= _HEARTBEAT_S:
                yield ok("idle stream", f"An idle stream stays open for {self._wait_s:g} s.")
            elif self._is_rowcast():
                said = f"No heartbeat arrives within {self._wait_s:g} s: small pieces are held back."
                yield problem("idle stream", said, _BUFFERING)
            else:
                yield ok("idle stream", "An idle stream stays open; this server sends no heartbeats.")
            return
        took_s = time.monotonic() - began
        if is_beating:
            yield ok("idle stream", f"A heartbeat arrived after {took_s:.0f} s.")
        else:
            mend = "raise the proxy's time for idle connections above 30 s (nginx: proxy_read_timeout 3600s)"
            yield problem("idle stream", f"An idle stream is cut after {took_s:.0f} s.", mend)

    def _is_rowcast(self) -> bool:
        """Whether the server has an endpoint that the reference has not."""
        connection = self._open()
        try:
            connection.request("GET", f"{self._prefix}/api/ready")
            return connection.getresponse().status in {200, 503}
        finally:
            connection.close()

    def _open(self) -> http.client.HTTPConnection:
        if self._is_tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_S, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)


def _head(answer: http.client.HTTPResponse) -> Iterator[Finding]:
    headers = answer.headers
    kind, encoding = headers.get("content-type", ""), headers.get("content-encoding", "identity")
    if not kind.startswith("text/event-stream"):
        mend = "let the proxy pass the answer of /api/realtime on unchanged"
        yield problem("stream headers", f"The content type of a stream is {kind!r}; browsers refuse it.", mend)
    elif encoding != "identity":
        mend = "turn compression off in the proxy for text/event-stream"
        yield problem("stream headers", f"The stream is compressed ({encoding}), which holds events back.", mend)
    elif "no-store" not in headers.get("cache-control", "") and "no-cache" not in headers.get("cache-control", ""):
        mend = "let the proxy keep the header Cache-Control of /api/realtime"
        yield warning("stream headers", "Nothing tells caches not to keep the stream.", mend)
    else:
        has = "arrives" if headers.get("x-accel-buffering") else "was taken by a proxy, as nginx does"
        yield ok("stream headers", f"The stream is not compressed; X-Accel-Buffering {has}.")


def _skew(date: str) -> Finding:
    try:
        skew_s = abs(parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, OverflowError):
        return warning("clock", "The server does not tell its time.", "let the proxy keep the header Date")
    mend = "set both clocks by NTP; tokens and one-time passwords end too early or too late"
    if skew_s > _BAD_SKEW_S:
        return problem("clock", f"The clock of the server is {skew_s:.0f} s away from that of this machine.", mend)
    if skew_s > _SKEW_S:
        return warning("clock", f"The clock of the server is {skew_s:.0f} s away from that of this machine.", mend)
    return ok("clock", "The clock of the server is that of this machine.")


def _wait_for(answer: http.client.HTTPResponse, is_wanted: Callable[[bytes], bool]) -> bool:
    """Read lines until one is wanted; False where the stream ends. Raises TimeoutError."""
    try:
        while line := answer.readline(_LONGEST_LINE):
            if is_wanted(line):
                return True
    except (http.client.IncompleteRead, ConnectionError):
        pass
    return False


def _set_timeout(answer: http.client.HTTPResponse, seconds: float) -> None:
    raw = getattr(getattr(answer.fp, "raw", None), "_sock", None)
    if isinstance(raw, socket.socket):
        raw.settimeout(seconds)
