"""What a rule or a filter may ask about the request (`@request.*`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Union

from rowcast.schema.names import snake_case
from rowcast.schema.record import Record

__all__ = ["JSONValue", "RequestContext", "RequestInfo", "snake_case"]

RequestContext = Literal["default", "expand", "realtime", "protectedFile", "batch", "oauth2", "otp", "password"]
JSONValue = Union[None, bool, int, float, str, "list[JSONValue]", "dict[str, JSONValue]"]


@dataclass(slots=True)
class RequestInfo:
    """One request as rules see it. Copies core/event_request.go, RequestInfo.

    `query` and `headers` hold the first value of each name; header names are in
    snake case ("X-Token" is "x_token"). `body` holds the submitted values after
    modifiers ("n+") were resolved; it may hold uploaded files for file fields.
    """

    auth: Record | None = None
    method: str = "GET"
    context: RequestContext = "default"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: dict[str, object] = field(default_factory=dict)

    @property
    def is_superuser(self) -> bool:
        """Whether the request is made by a record of `_superusers`."""
        return self.auth is not None and self.auth.collection.name == "_superusers"
