"""Requests and answers over HTTP. The only module that knows httpx, besides those that name its client.

A request is repeated by itself only where that cannot do anything twice: a read, whatever
went wrong on the way, and any other as long as no connection was made.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from rowcast.client.auth_store import AuthStore
from rowcast.client.errors import ClientResponseError, DecodeError, MfaRequiredError
from rowcast.client.query import RequestOptions, query_string
from rowcast.client.uploads import Body, Form, split

CONNECT_TIMEOUT_S = 15.0

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_PASSING = frozenset({502, 503, 504})
_FIRST_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered to a request that it accepted."""

    status: int
    content: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:  # noqa: ANN401 - JSON
        """Return the content; None if it is empty. Raises DecodeError if it is no JSON."""
        if not self.content:
            return None
        try:
            return msgspec.json.decode(self.content)
        except msgspec.DecodeError as error:
            raise DecodeError(f"the server did not answer with JSON: {error}") from error


class Transport:
    """Sends requests to one server as the account of a store."""

    def __init__(
        self,
        url: str,
        auth_store: AuthStore,
        *,
        language: str,
        timeout_s: float | None,
        retries: int,
        http: httpx.AsyncClient | None,
    ) -> None:
        self.url = url.rstrip("/")
        self.auth_store = auth_store
        self.language = language
        self.timeout_s = timeout_s
        self.retries = retries
        self.given_http = http
        self._http = http or httpx.AsyncClient(limits=httpx.Limits(max_connections=100, keepalive_expiry=30))
        self.is_closed = False

    async def aclose(self) -> None:
        """Close all connections; an httpx client that was given stays open."""
        self.is_closed = True
        if self.given_http is None:
            await self._http.aclose()

    async def send(self, method: str, path: str, options: RequestOptions, body: Body | None = None) -> Answer:
        """Send a request and return its answer. Files in `body` make it a form.

        Raises ClientResponseError, OSError for a file that cannot be read, TypeError
        for a body that has no fields or holds what is no JSON.
        """
        values, files = split(body) if body is not None else (None, [])
        if files:
            return await self.send_form(method, path, options, Form(msgspec.json.encode(values), files))
        content = msgspec.json.encode(values) if values is not None else None
        return await self._send(method, path, options, content)

    async def send_form(self, method: str, path: str, options: RequestOptions, form: Form) -> Answer:
        """Send a form and return the answer. Raises as `send` does."""
        return await self._send(method, path, options, form)

    @asynccontextmanager
    async def stream(self, path: str, options: RequestOptions) -> AsyncIterator[httpx.Response]:
        """Open an answer that is read piece by piece. Raises ClientResponseError."""
        request = self._request("GET", path, options, None)
        request.headers["Accept-Encoding"] = "identity"
        try:
            response = await self._http.send(request, stream=True)
        except httpx.TransportError as error:
            raise self._failure(request, error) from error
        try:
            if response.status_code >= 400:
                await response.aread()
                raise _refusal(response)
            yield response
        except httpx.TransportError as error:
            raise self._failure(request, error) from error
        finally:
            await response.aclose()

    def build_url(self, path: str, query: Mapping[str, object] | None = None) -> str:
        """Return the whole URL of a path."""
        text = query_string(query or {})
        return f"{self.url}{path}{'?' if text else ''}{text}"

    async def _send(self, method: str, path: str, options: RequestOptions, body: bytes | Form | None) -> Answer:
        attempt = 0
        while True:
            request = self._request(method, path, options, body)
            may_repeat = attempt < self.retries and (not isinstance(body, Form) or body.is_repeatable)
            try:
                response = await self._http.send(request)
            except httpx.TransportError as error:
                if not may_repeat or not (method == "GET" or isinstance(error, _NOT_SENT)):
                    raise self._failure(request, error) from error
            else:
                if not (may_repeat and method == "GET" and response.status_code in _PASSING):
                    if response.status_code >= 400:
                        raise _refusal(response)
                    return Answer(response.status_code, response.content, response.headers)
            await asyncio.sleep(_FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            attempt += 1

    def _request(self, method: str, path: str, options: RequestOptions, body: bytes | Form | None) -> httpx.Request:
        url = self.build_url(path, options.get("query"))
        if self.is_closed:
            raise ClientResponseError("The client is closed.", url=url, is_abort=True)
        headers = httpx.Headers({"Accept-Language": self.language})
        if self.auth_store.token:
            headers["Authorization"] = self.auth_store.token
        content: bytes | AsyncIterator[bytes] | None = None
        if isinstance(body, Form):
            headers["Content-Type"] = body.content_type
            if (length := body.length()) is not None:
                headers["Content-Length"] = str(length)
            content = body.pieces()
        elif body is not None:
            headers["Content-Type"] = "application/json"
            content = body
        headers.update(options.get("headers"))
        timeout_s = options.get("timeout_s", self.timeout_s)
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S if timeout_s is None else timeout_s)
        return self._http.build_request(method, url, headers=headers, content=content, timeout=timeout)

    def _failure(self, request: httpx.Request, error: httpx.TransportError) -> ClientResponseError:
        is_abort = isinstance(error, httpx.TimeoutException) or self.is_closed
        what = "The request timed out" if isinstance(error, httpx.TimeoutException) else "The request failed"
        detail = str(error) or type(error).__name__
        return ClientResponseError(f"{what}: {detail}.", url=str(request.url), is_abort=is_abort)


def _refusal(response: httpx.Response) -> ClientResponseError:
    try:
        told = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        told = None
    told = told if isinstance(told, dict) else {}
    kind = MfaRequiredError if response.status_code == 401 and told.get("mfaId") else ClientResponseError
    return kind(response.reason_phrase, status=response.status_code, url=str(response.url), response=told)
