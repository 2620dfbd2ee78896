"""Whatever a client sends, it is answered, and never by a 5xx."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcast import App, Config
from tests.unit.api.client import Client, Reply
from tests.unit.api.conftest import Template

pytestmark = pytest.mark.property

METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"])
SEGMENTS = st.sampled_from(
    [
        "api", "collections", "posts", "users", "_superusers", "_otps", "records", "truncate", "import", "meta",
        "scaffolds", "dry-run-view", "auth-with-password", "auth-refresh", "auth-methods", "impersonate", "realtime",
        "health", "batch", "_", "", ".", "..", "%2e%2e", "%00", "%ff", "%zz", "é", "x" * 300, "'--", "{id}", "*",
    ]
)  # fmt: skip
TARGETS = st.lists(SEGMENTS, max_size=6).map(lambda parts: "/" + "/".join(parts))
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["\ud800", "\0", "2026-01-01", "u@example.com", "posts/*", "'; DROP TABLE posts;--", "x" * 5000]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "id", "title", "count", "count+", "count-", "files", "files-", "+files", "email", "password", "passwordConfirm",
        "oldPassword", "verified", "tokenKey", "identity", "identityField", "duration", "clientId", "subscriptions",
        "collections", "deleteMissing", "name", "type", "fields", "indexes", "listRule", "viewQuery", "query",
        "requests", "mfaId", "@jsonPayload", "expand", "collectionId", "",
    ]
)  # fmt: skip
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)
TYPES = st.sampled_from(
    [
        "application/json", "application/json; charset=x", "multipart/form-data; boundary=XX", "multipart/form-data",
        "application/x-www-form-urlencoded", "text/xml", "text/plain", "", "\x7f",
        "multipart/form-data; boundary=" + "X" * 100,
    ]
)  # fmt: skip
QUERIES = st.dictionaries(
    st.sampled_from(["filter", "sort", "fields", "expand", "page", "perPage", "skipTotal", "mfaId", "token", "x"]),
    st.sampled_from(
        [
            "", "1", "-1", "999999999999999999999", "true", "x", "%zz", "%ff", "%00", "title='x'",
            "title~'%25'", "(((((",
            "@request.auth.id%3D''", "@collection.users.id!=''", "id,*,title:excerpt(3)", "title:excerpt(",
            "-count,%2Btitle",
            "@random", "a.b.c.d.e.f.g", "id:x", "+", "count%3E1%26%26title!=''", "x" * 4000, "geoDistance(1,2,3,4)%3E1",
        ]
    ),
    max_size=3,
).map(lambda query: "?" + "&".join(f"{name}={value}" for name, value in query.items()))  # fmt: skip


class Host:
    """One started application for many examples; what they break, the next ones meet."""

    def __init__(self, path: Path) -> None:
        self.runner = asyncio.Runner()
        self.app = App(path, config=Config(public_dir=str(path)))
        self.runner.run(self.app.start())

    def __call__(self, *args: Any, **more: Any) -> Reply:
        return self.runner.run(Client(self.app)(*args, **more))

    def close(self) -> None:
        self.runner.run(self.app.stop())
        self.runner.close()


@pytest.fixture(scope="module")
def host(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(Path(shutil.copytree(template.path, tmp_path_factory.mktemp("hostile") / "data")))
    yield host
    host.close()


def is_stream(method: str, target: str) -> bool:
    return method == "GET" and "realtime" in target


def body_of(value: object) -> bytes:
    return json.dumps(value).encode()


@given(method=METHODS, target=TARGETS, query=QUERIES)
@settings(max_examples=300)
def test_any_path_is_answered(host: Host, method: str, target: str, query: str) -> None:
    if not is_stream(method, target):
        reply = host(method, target + query)
        assert reply.status < 500, reply.body


@given(
    method=st.sampled_from(["POST", "PATCH", "PUT", "DELETE"]),
    target=st.sampled_from(
        [
            "/api/collections/posts/records", "/api/collections/users/records", "/api/collections/posts/records/x",
            "/api/collections/users/auth-with-password", "/api/collections/users/auth-refresh",
            "/api/realtime", "/api/batch",
            "/api/collections", "/api/collections/import", "/api/collections/posts",
            "/api/collections/meta/dry-run-view",
        ]
    ),
    content_type=TYPES,
    body=st.one_of(VALUES.map(body_of), OBJECTS.map(body_of), st.binary(max_size=60)),
    is_root=st.booleans(),
)  # fmt: skip
@settings(max_examples=400)
def test_any_body_is_answered(
    host: Host, template: Template, method: str, target: str, content_type: str, body: bytes, is_root: bool
) -> None:
    token = template.root_token if is_root else template.user_token
    reply = host(method, target, body, headers=[("Content-Type", content_type)], token=token)
    assert reply.status < 500, reply.body


@given(target=st.sampled_from(["posts", "users", "_superusers", "nope"]), query=QUERIES, is_root=st.booleans())
@settings(max_examples=200)
def test_any_query_is_answered(host: Host, template: Template, target: str, query: str, is_root: bool) -> None:
    token = template.root_token if is_root else ""
    reply = host("GET", f"/api/collections/{target}/records{query}", token=token)
    assert reply.status < 500, reply.body
    if not is_root:
        assert b"tokenKey" not in reply.body
        assert b"u@example.com" not in reply.body


@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "authorization",
                    "content-type",
                    "content-length",
                    "origin",
                    "x-forwarded-for",
                    "range",
                    "cookie",
                    "x-é",
                    "",
                ]
            ),
            st.sampled_from(
                ["", "x", "é", "\x00", "-1", "Bearer ", "Bearer a.b.c", "bytes=1-", "9" * 30, "a" * 9000, "*", "1_0"]
            ),
        ),
        max_size=5,
    ),
    target=st.sampled_from(["/api/health", "/api/collections/posts/records", "/data.db", "/api/realtime"]),
    method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS"]),
)
@settings(max_examples=200)
def test_any_headers_are_answered(host: Host, headers: list[tuple[str, str]], target: str, method: str) -> None:
    if not is_stream(method, target):
        reply = host(method, target, b"{}", headers=headers)
        assert reply.status < 500, reply.body
