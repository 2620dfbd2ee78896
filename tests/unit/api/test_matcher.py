"""Routes are found as Go's ServeMux finds them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.api.matcher import Matcher, clean


@dataclass(frozen=True)
class Row:
    method: str
    path: str


TABLE = [
    Row("GET", "/api/health"),
    Row("GET", "/api/collections"),
    Row("PUT", "/api/collections/import"),
    Row("GET", "/api/collections/meta/scaffolds"),
    Row("GET", "/api/collections/{collection}"),
    Row("DELETE", "/api/collections/{collection}/truncate"),
    Row("GET", "/api/collections/{collection}/records"),
    Row("GET", "/api/collections/{collection}/records/{id}"),
    Row("GET", "/_/extensions.js"),
    Row("GET", "/_/{path...}"),
]
NOWHERE = Row("", "")
MATCHER = Matcher(TABLE, NOWHERE)


@pytest.mark.parametrize(
    ("method", "path", "found", "values"),
    [
        ("GET", "/api/health", "/api/health", ()),
        ("HEAD", "/api/health", "/api/health", ()),
        ("POST", "/api/health", None, ()),
        ("PROPFIND", "/api/health", None, ()),
        ("GET", "/api/health/", None, ()),
        ("GET", "/api/he%61lth", "/api/health", ()),
        ("GET", "/api/Health", None, ()),
        ("GET", "/", None, ()),
        ("GET", "/api", None, ()),
        ("GET", "/api/collections/", None, ()),
        ("GET", "/api/collections/posts", "/api/collections/{collection}", ("posts",)),
        ("GET", "/api/collections/import", "/api/collections/{collection}", ("import",)),
        ("PUT", "/api/collections/import", "/api/collections/import", ()),
        ("PUT", "/api/collections/posts", None, ()),
        ("GET", "/api/collections/meta", "/api/collections/{collection}", ("meta",)),
        ("GET", "/api/collections/meta/records", "/api/collections/{collection}/records", ("meta",)),
        ("GET", "/api/collections/meta/scaffolds", "/api/collections/meta/scaffolds", ()),
        ("GET", "/api/collections/a%2Fb", "/api/collections/{collection}", ("a/b",)),
        ("GET", "/api/collections/a%zz", "/api/collections/{collection}", ("a%zz",)),
        ("GET", "/api/collections/%C3%A9%20+", "/api/collections/{collection}", ("é +",)),
        ("GET", "/api/collections/%ff", "/api/collections/{collection}", ("\ufffd",)),
        ("GET", "/api/collections/a/records/b", "/api/collections/{collection}/records/{id}", ("a", "b")),
        ("GET", "/api/collections/a/records/", None, ()),
        ("GET", "/api/collections/a/records/b/c", None, ()),
        ("GET", "/_/", "/_/{path...}", ("",)),
        ("GET", "/_/a/b%2Fc", "/_/{path...}", ("a/b/c",)),
        ("GET", "/_/extensions.js", "/_/extensions.js", ()),
        ("GET", "/_/extensions.js/", "/_/{path...}", ("extensions.js/",)),
        ("GET", "/_", None, ()),
    ],
)
def test_finds_the_route_that_servemux_finds(
    method: str, path: str, found: str | None, values: tuple[str, ...]
) -> None:
    route, path_values = MATCHER.match(method, path)
    assert (route.path, path_values) == (found or "", values)


@pytest.mark.parametrize(
    ("method", "path", "is_directory"),
    [
        ("GET", "/_", True),
        ("HEAD", "/_", True),
        ("POST", "/_", False),
        ("GET", "/_/", False),
        ("GET", "/_/a", False),
        ("GET", "/api", False),
        ("GET", "/", False),
    ],
)
def test_a_path_without_its_trailing_slash_is_a_directory(method: str, path: str, is_directory: bool) -> None:
    assert MATCHER.directory(method, path) is is_directory


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [
        ("/", "/"),
        ("", "/"),
        ("api", "/api"),
        ("*", "/*"),
        ("//", "/"),
        ("//a", "/a"),
        ("/a//b/", "/a/b/"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/../../b/", "/b/"),
        ("/a/..", "/"),
        ("/a/.", "/a"),
        ("/.well-known/x", "/.well-known/x"),
        ("/a/%2e%2e/b", "/a/%2e%2e/b"),
    ],
)
def test_cleans_paths_as_servemux_does(path: str, cleaned: str) -> None:
    assert clean(path) == cleaned


@given(st.text(alphabet="/.a%", max_size=12))
def test_a_clean_path_is_clean(path: str) -> None:
    cleaned = clean(path)
    assert cleaned.startswith("/")
    assert clean(cleaned) == cleaned
    assert not set(cleaned.split("/")[1:-1]) & {"", ".", ".."}


@given(st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "X"]), st.text(alphabet="/ab%2Fimport_.{}", max_size=20))
def test_any_path_matches_or_not(method: str, path: str) -> None:
    route, values = MATCHER.match(method, clean(path))
    assert len(values) == route.path.count("{")
