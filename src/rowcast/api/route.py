"""A route: method, path, handler, and what guards it.

The patterns are those of Go's ServeMux (see `matcher`). The first path value of a
route with tags names the collection, which the pipeline finds before it calls the handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rowcast.api.request import Request
from rowcast.api.responses import Answer
from rowcast.errors import ForbiddenError, UnauthorizedError

MAX_BODY = 32 << 20
"""Bytes that a body may have unless its route says otherwise (apis/middlewares_body_limit.go)."""

Handler = Callable[[Request], Awaitable[Answer]]
Guard = Callable[[Request], None]


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table.

    tags: what rate limits call the action on a collection (`users:auth`); empty where the path alone counts.
    missing: what is said where there is no such collection.
    body_limit: how many bytes the body of a request may have.
    is_success_logged: whether a request that succeeds is in the activity log.
    needs_database: whether what other processes have changed counts, which only the database knows.
    """

    method: str
    path: str
    handler: Handler
    guard: Guard | None = None
    tags: tuple[str, ...] = ()
    missing: str = "Missing or invalid collection context."
    body_limit: Callable[[Request], int] | None = None
    is_success_logged: bool = True
    needs_database: bool = True


def superuser_only(request: Request) -> None:
    """Let superusers pass (apis/middlewares.go, RequireSuperuserAuth)."""
    if request.auth is None:
        raise UnauthorizedError("The request requires valid record authorization token.")
    if not request.is_superuser:
        raise ForbiddenError("The authorized record is not allowed to perform this action.")


def collection_body_limit(request: Request) -> int:
    """Return what a body for a record may have: the general limit and what the fields may hold.

    Copies apis/middlewares_body_limit.go, dynamicCollectionBodyLimit.
    """
    collection = request.collection
    if collection.is_view:
        return MAX_BODY
    return MAX_BODY + sum(field.max_body_size for field in collection.fields)
