"""Topics: what a subscription string asks for.

Pure. A subscription string is a topic with optional options,
`posts/*?options={"query":{...},"headers":{...}}` (percent-encoded); the string
itself, as submitted, is the name of its events. Copies
tools/subscriptions/client.go, Subscribe, and apis/realtime.go,
realtimeBroadcastRecord, in what matches.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote_plus

from rowcast.schema.request import snake_case

MAX_SUBSCRIPTIONS = 1000
MAX_SUBSCRIPTION_BYTES = 2500
MAX_CLIENT_ID_BYTES = 255

OAUTH2 = "@oauth2"
"""Where a client waits for the end of a sign-in that goes on in another window."""

# An SSE field ends with its line; a name that holds a line break could not match anything but would break the frame.
_LINE_BREAKS = {10: None, 13: None}


@dataclass(frozen=True, slots=True)
class Subscription:
    """One parsed subscription string."""

    text: str
    topic: str
    query: Mapping[str, str] = field(default_factory=dict, hash=False)
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    head: str = field(init=False, compare=False)
    """The part of the topic that may name a collection."""
    rest: str = field(init=False, compare=False)
    """What of the topic follows it."""
    event_name: bytes = field(init=False, compare=False)
    """The text as it stands behind `event:`."""

    def __post_init__(self) -> None:
        head, slash, rest = self.topic.partition("/")
        object.__setattr__(self, "head", head)
        object.__setattr__(self, "rest", slash + rest)
        object.__setattr__(self, "event_name", self.text.translate(_LINE_BREAKS).encode("utf-8", "replace"))

    @property
    def wants_leave(self) -> bool:
        """Whether the stream is to hear of records that it no longer sees after an update."""
        return self.query.get("leave", "") in {"true", "1"}


@lru_cache(maxsize=4096)
def parse(text: str) -> Subscription:
    """Parse a subscription string. Anything is accepted; bad options are no options."""
    topic, mark, rest = text.partition("?")
    if not mark:
        return Subscription(text, topic)
    options = _options(rest.partition("#")[0])
    return Subscription(
        text,
        topic,
        query={name: _as_text(value) for name, value in _mapping(options, "query").items()},
        headers={snake_case(name): _as_text(value) for name, value in _mapping(options, "headers").items()},
    )


def _options(query: str) -> object:
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if ";" in pair or unquote_plus(name) != "options":
            continue
        try:
            return json.loads(unquote_plus(value))
        except (ValueError, RecursionError):
            return None
    return None


def _mapping(options: object, name: str) -> Mapping[str, object]:
    found = options.get(name) if isinstance(options, dict) else None
    return found if isinstance(found, dict) else {}


def _as_text(value: object) -> str:
    """Return an option value as text; only plain values have one (spf13/cast, ToString)."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return ""
