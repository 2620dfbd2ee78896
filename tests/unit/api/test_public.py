"""The directory of public files (apis/base_test.go, TestStatic)."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowcast.api.public import PublicFiles
from rowcast.errors import NotFoundError
from tests.unit.api.client import Channel, Reply, request

SECRET = b"secret"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    public = tmp_path / "public"
    (public / "sub" / "empty").mkdir(parents=True)
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (public / "index.html").write_bytes(b"root")
    (public / "sub" / "index.html").write_bytes(b"sub")
    (public / "a.txt").write_bytes(b"0123456789")
    (public / "big.js").write_bytes(b"let a = 1;\n" * 1000)
    (public / "b c.png").write_bytes(b"\x89PNG")
    return public


def fetch(root: Path, target: str, *, fallback: bool = False, method: str = "GET", **headers: str) -> Reply:
    async def answer() -> Reply:
        asked = request(method, target, [(name.replace("_", "-"), value) for name, value in headers.items()])
        channel = Channel()
        found = await PublicFiles(root, index_fallback=fallback).serve(asked)
        await found.send(asked, channel.send, [(b"x-frame-options", b"SAMEORIGIN")])
        reply = channel.reply()
        assert reply.status == found.status
        return reply

    return asyncio.run(answer())


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/", b"root"),
        ("/sub/", b"sub"),
        ("/a.txt", b"0123456789"),
        ("/b%20c.png", b"\x89PNG"),
        ("/%61.txt", b"0123456789"),
    ],
)
def test_serves_files(root: Path, target: str, body: bytes) -> None:
    reply = fetch(root, target)
    assert (reply.status, reply.body) == (200, body)
    assert reply.headers["content-length"] == str(len(body))
    assert reply.headers["x-frame-options"] == "SAMEORIGIN"
    assert "last-modified" in reply.headers


@pytest.mark.parametrize(
    ("target", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/a.txt", "text/plain; charset=utf-8"),
        ("/big.js", "text/javascript; charset=utf-8"),
        ("/b%20c.png", "image/png"),
    ],
)
def test_tells_the_type(root: Path, target: str, content_type: str) -> None:
    assert fetch(root, target).headers["content-type"] == content_type


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/sub", "/sub/"),
        ("/sub/index.html", "/sub/"),
        ("/index.html", "/"),
        ("/a.txt/", "/a.txt"),
        ("/a.txt//", "/a.txt"),
        ("/%5Csub", None),
        ("//sub", "/sub/"),
    ],
)
def test_one_spelling_of_each_path_counts(root: Path, target: str, location: str | None) -> None:
    if location is None:
        with pytest.raises(NotFoundError):
            fetch(root, target)
        return
    reply = fetch(root, target)
    assert (reply.status, reply.headers["location"]) == (301, location)


@pytest.mark.parametrize("target", ["/missing", "/missing/", "/sub/missing", "/sub/empty/", "/a.txt/x", "/%zz", "/%00"])
def test_what_is_missing_is_the_root_page_only_if_asked_for(root: Path, target: str) -> None:
    with pytest.raises(NotFoundError):
        fetch(root, target)
    if target != "/%zz":
        assert fetch(root, target, fallback=True).body == b"root"


def test_without_a_directory_there_is_nothing(tmp_path: Path) -> None:
    for fallback in (False, True):
        with pytest.raises(NotFoundError, match="File not found"):
            fetch(tmp_path / "nowhere", "/", fallback=fallback)


@pytest.mark.parametrize("target", ["/api/x", "/api/", "/_/x"])
def test_paths_of_the_api_are_never_files(root: Path, target: str) -> None:
    with pytest.raises(NotFoundError, match="The requested resource wasn't found"):
        fetch(root, target, fallback=True)


def test_only_get_and_head_find_files(root: Path) -> None:
    with pytest.raises(NotFoundError):
        fetch(root, "/a.txt", method="POST")
    reply = fetch(root, "/a.txt", method="HEAD")
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "10")


TRAVERSALS = [
    "/../secret.txt", "/..\\secret.txt", "/%2e%2e/secret.txt", "/%2e%2e%2fsecret.txt", "/..%2fsecret.txt",
    "/..%5csecret.txt", "/%2e%2e%5csecret.txt", "/sub/../../secret.txt", "/sub/%2e%2e/%2e%2e/secret.txt",
    "/./../secret.txt", "/.%2e/secret.txt", "/%252e%252e/secret.txt", "/..%252fsecret.txt", "/%c0%ae%c0%ae/secret.txt",
    "/....//secret.txt", "/..;/secret.txt", "/%00/../secret.txt", "/..%00/secret.txt", "/sub/..%2f..%2fsecret.txt",
    "/~/../secret.txt", "/../public/../secret.txt", "//..//secret.txt", "/%2F..%2Fsecret.txt",
    "/a.txt/../../secret.txt",
]  # fmt: skip


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("target", TRAVERSALS)
def test_nothing_outside_is_reachable(root: Path, target: str, fallback: bool) -> None:
    try:
        assert SECRET not in fetch(root, target, fallback=fallback).body
    except NotFoundError:
        assert not fallback


@given(
    st.lists(
        st.sampled_from(["..", ".", "/", "%2e", "%2f", "\\", "%5c", "secret.txt", "sub", "%00", "public"]), max_size=8
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_no_spelling_leads_outside(root: Path, parts: list[str]) -> None:
    with contextlib.suppress(NotFoundError):
        assert SECRET not in fetch(root, "/" + "".join(parts)).body


@pytest.mark.parametrize(
    ("wanted", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=-20", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, b"invalid range: failed to overlap\n", "bytes */10"),
        ("bytes=5-4", 416, b"invalid range\n", None),
        ("bytes=-0", 206, b"", "bytes 10-9/10"),  # as Go answers
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("lines=1-2", 416, b"invalid range\n", None),
        ("bytes=-", 416, b"invalid range\n", None),
    ],
)
def test_serves_ranges(root: Path, wanted: str, status: int, body: bytes, content_range: str | None) -> None:
    reply = fetch(root, "/a.txt", range=wanted)
    assert (reply.status, reply.body, reply.headers.get("content-range")) == (status, body, content_range)
    assert (reply.headers.get("accept-ranges") == "bytes") == (status != 416)


def test_unchanged_files_are_not_sent_again(root: Path) -> None:
    modified = fetch(root, "/a.txt").headers["last-modified"]
    reply = fetch(root, "/a.txt", if_modified_since=modified)
    assert (reply.status, reply.body) == (304, b"")
    assert "content-type" not in reply.headers
    old = "Mon, 01 Jan 2001 00:00:00 GMT"
    assert fetch(root, "/a.txt", if_modified_since=old).status == 200
    assert fetch(root, "/a.txt", if_modified_since="nonsense").status == 200
    assert fetch(root, "/a.txt", range="bytes=0-1", if_range=modified).status == 206
    assert fetch(root, "/a.txt", range="bytes=0-1", if_range=old).status == 200


def test_large_texts_are_compressed_for_who_takes_it(root: Path) -> None:
    reply: Any = fetch(root, "/big.js", accept_encoding="br, gzip")
    assert gzip.decompress(reply.body) == b"let a = 1;\n" * 1000
    assert reply.headers["content-encoding"] == "gzip"
    assert reply.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in fetch(root, "/big.js").headers
    assert "content-encoding" not in fetch(root, "/a.txt", accept_encoding="gzip").headers
    assert "content-encoding" not in fetch(root, "/b%20c.png", accept_encoding="gzip").headers
    head = fetch(root, "/big.js", accept_encoding="gzip", method="HEAD")
    assert (head.body, head.headers["content-length"]) == (b"", str(len(reply.body)))


def test_a_pipe_is_no_file(root: Path) -> None:
    import os

    os.mkfifo(root / "pipe")
    with pytest.raises(NotFoundError):
        fetch(root, "/pipe")
