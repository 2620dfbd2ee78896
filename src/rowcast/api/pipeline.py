"""The way of a request: from ASGI to a handler, and of its answer back.

The order is that of the reference's middlewares (apis/base.go, middlewares.go):
CORS, activity log, recovery from failures, token, superuser addresses, security
headers, rate limit, body limit, guard, handler. Handlers raise; this module turns
errors into answers, and nothing that fails by surprise reaches a client.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from rowcast.admin.activity import ActivityLog
from rowcast.admin.activity_rows import Entry
from rowcast.api import responses
from rowcast.api.cors import Cors
from rowcast.api.limits import RateLimits
from rowcast.api.matcher import Matcher, clean
from rowcast.api.request import Authenticate, Receive, Request, Scope, Send, paths, unescape
from rowcast.api.responses import Answer, Headers
from rowcast.api.route import MAX_BODY, Route
from rowcast.api.timings import STATIC, Timings
from rowcast.blobs.spool import Spool
from rowcast.config import SettingsRef
from rowcast.errors import (
    ApiError,
    BadRequestError,
    BodyTooLargeError,
    DatabaseAwayError,
    FilterError,
    ForbiddenError,
    InternalError,
    NotFoundError,
)
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import Collection
from rowcast.schema.networks import is_listed
from rowcast.storage import QueryTimeoutError, UnavailableError, UnwritableError

_log = logging.getLogger("rowcast.api")

_SECURITY: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"x-xss-protection", b"1; mode=block"),
]

_UNREADABLE = responses.Response(400, b"400 Bad Request", [(b"content-type", b"text/plain; charset=utf-8")])

_MOST_RUNS = 5
"""How often a request is run that changes of collections stand in the way of."""

_LONGEST_METHOD, _LONGEST_URL, _LONGEST_HEADER = 50, 3000, 2000


class Pipeline:
    """Answers HTTP requests. Knows routes and what guards them, not what they do.

    `spool` is where uploads wait until they are stored.
    """

    def __init__(  # noqa: PLR0913 - what stands around every request
        self,
        *,
        routes: Matcher[Route],
        authenticate: Authenticate,
        freshen: Callable[[], Awaitable[None]],
        catalog: CatalogRef,
        settings: SettingsRef,
        limits: RateLimits,
        cors: Cors,
        activity: ActivityLog,
        spool: Spool,
        timings: Timings | None = None,
    ) -> None:
        self._routes = routes
        self._authenticate = authenticate
        self._freshen = freshen
        self._catalog = catalog
        self._settings = settings
        self._limits = limits
        self._cors = cors
        self._activity = activity
        self._spool = spool
        self._timings = timings
        self._is_traced = _log.isEnabledFor(logging.DEBUG)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Never raises for what a client sent."""
        request = Request(scope, receive)
        request.spool = self._spool
        path = request.raw_path
        if "%" in path and unescape(path) is None:
            # Go's server refuses it before anything runs.
            await _UNREADABLE.send(request, send, [])
            return
        if (cleaned := clean(path)) != path or self._routes.directory(request.method, path):
            await self._move(request, send, cleaned if cleaned != path else path + "/")
            return
        headers = self._cors.headers(request)
        if request.method == "OPTIONS":
            await self._cors.preflight(request).send(request, send, headers)
            return
        started = time.perf_counter()
        route, request.values = self._routes.match(request.method, path)
        error: ApiError | None = None
        try:
            answer = await self._answer(request, route)
        except Exception as raised:  # noqa: BLE001 - whatever fails must not reach the client
            error = as_api_error(raised)
            answer = responses.failure(error)
        finally:
            if request.cleanups:
                # It runs to its end even if nobody waits for it any more.
                await asyncio.to_thread(request.cleanup)
        await answer.send(request, send, headers + _SECURITY)
        took_s = time.perf_counter() - started
        if self._timings is not None:
            self._timings.note(route, answer.status, took_s)
        if self._is_traced:
            ms = round(took_s * 1000, 1)
            _log.debug("%s %s", request.method, request.raw_path, extra={"status": answer.status, "ms": ms})
        if self._activity.is_on and (error is not None or route.is_success_logged):
            self._note(request, answer.status, took_s, error)

    def pattern(self, scope: Scope) -> str:
        """Return the pattern of the route that a request meets, STATIC where it is none."""
        return self._routes.match(scope["method"], paths(scope)[1])[0].path or STATIC

    async def _answer(self, request: Request, route: Route) -> Answer:
        if route.needs_database:
            await self._freshen()
        settings = self._settings.current
        request.address = request.locate(settings.trusted_proxy)
        token = bearer(request.headers.get(b"authorization"))
        if token:
            request.token = token
            request.auth = await self._authenticate(token)
        addresses = settings.superuser_ips
        if addresses and request.is_superuser and not is_listed(addresses, request.address):
            raise ForbiddenError
        if route.tags:
            request.collection = self._collection(request.values[0], route.missing)
            self._limits.check_collection(request, request.collection, route.tags)
        else:
            self._limits.check_path(request)
        request.body_limit = route.body_limit(request) if route.body_limit else MAX_BODY
        length = request.headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length[:20]) > request.body_limit:
            raise BodyTooLargeError
        if route.guard is not None:
            route.guard(request)
        return await self._handled(request, route)

    async def _handled(self, request: Request, route: Route) -> Answer:
        """Run the handler of a route; where collections changed under it, again if it reads no body.

        Another process, or a request in a thread, may have committed the change between the look at the collection
        and its tables. What failed has left nothing behind. Raises ApiError (503) where it can't be run again, or
        they go on changing.
        """
        for left in range(_MOST_RUNS, 0, -1):
            catalog = self._catalog.current
            try:
                return await route.handler(request)
            except Exception as error:
                await self._freshen()
                if self._catalog.current is catalog:
                    raise
                if request.method in {"GET", "DELETE"} and left > 1:
                    if route.tags:
                        request.collection = self._collection(request.values[0], route.missing)
                    continue
                if isinstance(error, ApiError) and (error.status != BadRequestError.status or error.data):
                    raise
                raise ApiError("The collection has changed meanwhile. Please try again.", status=503) from error
        raise AssertionError("unreachable")

    def _collection(self, name_or_id: str, missing: str) -> Collection:
        collection = self._catalog.current.find(name_or_id)
        if collection is None:
            raise NotFoundError(missing)
        return collection

    async def _move(self, request: Request, send: Send, path: str) -> None:
        """Redirect to the clean path, as Go's ServeMux does before any middleware runs."""
        query = request.scope["query_string"].decode("latin-1")
        # Browsers take a backslash for a slash, and two slashes for another host.
        location = request.mounted(path.replace("\\", "%5C")) + ("?" + query if query else "")
        await responses.moved(request, location).send(request, send, [])

    def _note(self, request: Request, status: int, took_s: float, error: ApiError | None) -> None:
        auth = request.auth
        query = request.scope["query_string"].decode("latin-1")
        self._activity.add(
            Entry(
                at=time.time() - took_s,
                took_s=took_s,
                method=_cut(request.method, _LONGEST_METHOD),
                url=_cut(request.raw_path + ("?" + query if query else ""), _LONGEST_URL),
                status=status,
                auth_collection=auth.collection.name if auth else "",
                auth_id=auth.id if auth else "",
                user_ip=request.address,
                remote_ip=request.remote,
                referer=_cut(request.header(b"referer"), _LONGEST_HEADER),
                user_agent=_cut(request.header(b"user-agent"), _LONGEST_HEADER),
                error=error.message if error else "",
                details=error.data.to_json() if error and error.data else None,
            )
        )


def as_api_error(raised: Exception) -> ApiError:
    """Return what a client is told of an error; what nobody foresaw is logged and told as a 500."""
    if _is_caused_by_absence(raised):
        # Whatever somebody made of it: nothing is wrong with the request. The storage has said so, once for all.
        return DatabaseAwayError()
    if isinstance(raised, ApiError):
        return raised
    if isinstance(raised, FilterError | QueryTimeoutError):
        return BadRequestError()
    if isinstance(raised, UnwritableError):
        _log.warning("a request could not be carried out: %s", raised)
        return BadRequestError()
    _log.error("a request failed", exc_info=raised)
    return InternalError()


def bearer(value: bytes | None) -> str:
    """Return the token of an Authorization header; the scheme "Bearer" may be left out."""
    if not value:
        return ""
    if len(value) > 7 and value[:7].lower() == b"bearer ":
        value = value[7:]
    return value.decode("latin-1")


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + "..."


def _is_caused_by_absence(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, UnavailableError):
            return True
        error = error.__cause__
    return False
