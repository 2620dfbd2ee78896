"""From method and path to a route, as Go's ServeMux finds it.

One tree of path segments for each method. A literal segment wins over `{name}`,
which wins over `{name...}`; where a branch leads nowhere the next one is tried.
HEAD finds the routes of GET. Segments are percent-decoded one by one, so an
encoded slash never parts two of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from rowcast.api.request import unescape


class Routed(Protocol):
    """What a route is found by."""

    @property
    def method(self) -> str:
        """The HTTP method."""
        ...

    @property
    def path(self) -> str:
        """The pattern: literal segments, `{name}` for one segment, `{name...}` for the rest."""
        ...


R = TypeVar("R", bound=Routed)


class _Node(Generic[R]):
    __slots__ = ("children", "rest", "route", "wildcard")

    def __init__(self) -> None:
        self.children: dict[str, _Node[R]] = {}
        self.wildcard: _Node[R] | None = None
        self.route: R | None = None
        self.rest: R | None = None


class Matcher(Generic[R]):
    """All routes, and what is answered where none matches. Never changed after construction."""

    __slots__ = ("_fallback", "_literal", "_trees")

    def __init__(self, routes: Iterable[R], fallback: R) -> None:
        self._fallback: tuple[R, tuple[str, ...]] = (fallback, ())
        self._trees: dict[str, _Node[R]] = {}
        self._literal: dict[tuple[str, str], R] = {}
        for route in routes:
            self._add(route)

    def match(self, method: str, raw_path: str) -> tuple[R, tuple[str, ...]]:
        """Return the route, which is the fallback where there is no other, and its path values."""
        if method == "HEAD":
            method = "GET"
        route = self._literal.get((method, raw_path))
        if route is not None:
            return route, ()
        tree = self._trees.get(method)
        if tree is None:
            return self._fallback
        return _walk(tree, raw_path.split("/"), 1, ()) or self._fallback

    def directory(self, method: str, raw_path: str) -> bool:
        """Whether the path lacks only the trailing slash of a `/name/{rest...}` route, and nothing else matches."""
        if raw_path.endswith("/"):
            return False
        node = self._trees.get("GET" if method == "HEAD" else method)
        for segment in raw_path.split("/")[1:]:
            node = node.children.get(segment) if node is not None else None
        return node is not None and node.rest is not None and node.route is None

    def _add(self, route: R) -> None:
        if "{" not in route.path:
            self._literal[route.method, route.path] = route
        node = self._trees.setdefault(route.method, _Node())
        segments = route.path.split("/")[1:]
        for segment in segments:
            if segment.endswith("...}"):
                node.rest = route
                return
            if segment.startswith("{"):
                node.wildcard = node.wildcard or _Node()
                node = node.wildcard
            else:
                node = node.children.setdefault(segment, _Node())
        node.route = route


def _walk(node: _Node[R], segments: list[str], index: int, values: tuple[str, ...]) -> tuple[R, tuple[str, ...]] | None:
    if index == len(segments):
        return (node.route, values) if node.route is not None else None
    segment = segments[index]
    if "%" in segment:
        # Go keeps a malformed segment as it stands.
        decoded = unescape(segment)
        segment = segment if decoded is None else decoded
    child = node.children.get(segment)
    if child is not None and (found := _walk(child, segments, index + 1, values)) is not None:
        return found
    # An empty segment is a trailing slash, which a wildcard does not stand for.
    if node.wildcard is not None and segment:
        found = _walk(node.wildcard, segments, index + 1, (*values, segment))
        if found is not None:
            return found
    if node.rest is not None:
        rest = "/".join(segments[index:])
        decoded = unescape(rest)
        return node.rest, (*values, rest if decoded is None else decoded)
    return None


def clean(path: str) -> str:
    """Return a path without empty, `.` and `..` segments; a trailing slash stays (net/http, cleanPath)."""
    if "//" not in path and "/." not in path and path.startswith("/"):
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    cleaned = "/" + "/".join(kept)
    return cleaned + "/" if path.endswith("/") and kept else cleaned
