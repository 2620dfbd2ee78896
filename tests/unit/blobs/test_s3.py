"""Files in a bucket: as the reference stores them, and an error in time whatever the bucket does."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest

from rowcast.blobs import BlobError, BlobNotFoundError, Blobs
from rowcast.blobs.s3 import Patience, S3Blobs
from rowcast.config import S3Settings
from tests.s3 import Proxy, S3Server, free_port, proxied

KEY = "collection/record/file.txt"
HASTY = Patience(connect_s=1, read_s=1, write_s=1, retry_s=2, retries=1)
LARGE = os.urandom(1 << 20) * 15  # three parts


@pytest.fixture
def blobs(s3: S3Server, bucket: str) -> S3Blobs:
    return S3Blobs(s3.settings(bucket=bucket))


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[Proxy]:
    with proxied(s3.port) as proxy:
        yield proxy


def test_driver_fits_the_protocol(blobs: S3Blobs) -> None:
    typed: Blobs = blobs
    assert not typed.exists(KEY)


def _sources(tmp_path: Path, content: bytes) -> list[bytes | BinaryIO | Path]:
    path = tmp_path / "spooled"
    path.write_bytes(content)
    return [content, io.BytesIO(content), path]


@pytest.mark.parametrize("kind", range(3), ids=["bytes", "stream", "path"])
@pytest.mark.parametrize("content", [b"", b"content", LARGE], ids=["empty", "small", "large"])
def test_a_file_comes_back_with_what_is_known_of_it(
    blobs: S3Blobs, tmp_path: Path, kind: int, content: bytes, s3: S3Server, bucket: str
) -> None:
    source = _sources(tmp_path, content)[kind]
    before = time.time() - 2
    assert blobs.save(KEY, source, content_type="text/plain; charset=utf-8", original_name="My Ä.txt") == len(content)
    assert blobs.exists(KEY)
    info, file = blobs.open_with_info(KEY)
    with file:
        assert file.read() == content
        file.seek(len(content) // 2)
        assert file.read() == content[len(content) // 2 :]
    assert blobs.info(KEY) == info
    assert (info.key, info.size) == (KEY, len(content))
    assert (info.content_type, info.original_name) == ("text/plain; charset=utf-8", "My Ä.txt")
    assert before < info.modified < time.time() + 2
    assert s3.pending_uploads(bucket) == 0


def test_pieces_are_read_from_where_the_reader_stands(blobs: S3Blobs) -> None:
    blobs.save(KEY, LARGE)
    with blobs.open(KEY) as file:
        for position, size in ((len(LARGE) - 5, 100), (0, 3), (5_000_000, 6_000_000), (len(LARGE) + 9, 4)):
            assert file.seek(position) == position
            assert file.read(size) == LARGE[position : position + size]
        assert file.seek(-3, io.SEEK_END) == len(LARGE) - 3
        assert file.read() == LARGE[-3:]


def test_a_file_that_is_replaced_while_it_is_read_is_never_mixed(blobs: S3Blobs) -> None:
    blobs.save(KEY, LARGE)
    with blobs.open(KEY) as file:
        assert file.read(100) == LARGE[:100]
        blobs.save(KEY, LARGE[::-1])
        file.seek(1 << 20)
        with pytest.raises(BlobError, match="412"):
            file.read()


def test_metadata_is_spelled_as_the_reference_spells_it(blobs: S3Blobs, s3: S3Server, bucket: str) -> None:
    """Copies internal/s3blob, NewTypedWriter: the name escaped as a path, cut to 255 bytes before."""
    blobs.save(KEY, b"x", original_name="a b/ä&=+:@$;,.txt" + "x" * 300)
    attributes = blobs._reads.get(KEY).attributes
    assert attributes["original-filename"].startswith("a%20b%2F%C3%A4&=+:@$%3B%2C.txtxxx")
    assert len(blobs.info(KEY).original_name.encode()) == 255
    assert s3.keys(bucket) == [KEY]


@pytest.mark.parametrize("name", ["a b.txt", "ä.txt", "a+b%20c.txt", "(x)~#?&=.txt", "a..b"])
def test_names_of_any_spelling_keep_it(blobs: S3Blobs, name: str) -> None:
    key = f"c/r/{name}"
    blobs.save(key, b"x")
    with blobs.open(key) as file:
        assert file.read() == b"x"
    assert [info.key for info in blobs.list("c/r/")] == [key]


def test_files_are_listed_and_deleted_by_prefix(blobs: S3Blobs) -> None:
    keys = ["a/b/file_1", "a/b/file_2", "a/b/other", "a/b/thumbs_other/100x100_other", "a/bc/file_1", "b/x/y"]
    for key in keys:
        blobs.save(key, b"x")
    assert [info.key for info in blobs.list()] == keys
    assert [info.key for info in blobs.list("a/b/")] == keys[:4]
    assert [info.key for info in blobs.list("a/b")] == keys[:5]
    assert [info.key for info in blobs.list("a/b/other")] == keys[2:3]
    blobs.delete_prefix("a/b/file_")
    blobs.delete_prefix("nothing/")
    assert [info.key for info in blobs.list()] == keys[2:]
    blobs.delete_prefix("a/b/")
    blobs.delete("b/x/y")
    assert [info.key for info in blobs.list()] == ["a/bc/file_1"]
    for prefix in ("", "/"):
        with pytest.raises(BlobError):
            blobs.delete_prefix(prefix)


@pytest.mark.parametrize("key", ["../x", "a/../b", "/a", "a//b", "a/b\n", "a\\b", ""])
def test_keys_that_are_no_names_are_refused(blobs: S3Blobs, key: str) -> None:
    with pytest.raises(BlobError):
        blobs.save(key, b"x")
    with pytest.raises(BlobError):
        blobs.delete(key)
    with pytest.raises(BlobNotFoundError):
        blobs.open(key)
    assert not blobs.exists(key)


def test_what_is_not_there_is_not_found(blobs: S3Blobs) -> None:
    for call in (blobs.open, blobs.info):
        with pytest.raises(BlobNotFoundError):
            call(KEY)


def test_errors_say_what_the_bucket_answered(s3: S3Server) -> None:
    blobs = S3Blobs(s3.settings(bucket="missing"))
    with pytest.raises(BlobError, match=r"404 NoSuchBucket: The specified bucket does not exist$"):
        blobs.save(KEY, b"x")
    with pytest.raises(BlobError, match="404"):
        list(blobs.list("a/"))


@pytest.mark.parametrize("missing", ["bucket", "endpoint", "region"])
def test_settings_must_be_complete(missing: str) -> None:
    values = {"bucket": "b", "endpoint": "http://127.0.0.1", "region": "r", missing: ""}
    with pytest.raises(BlobError, match=f"missing {missing}"):
        S3Blobs(msgspec.convert(values, S3Settings))


@pytest.mark.parametrize(
    ("endpoint", "path_style", "url"),
    [
        ("s3.example.com/", True, "https://s3.example.com"),
        ("https://s3.example.com", False, "https://b.s3.example.com"),
        ("http://127.0.0.1:9", False, "http://b.127.0.0.1:9"),
    ],
)
def test_endpoints_are_read_as_the_reference_reads_them(endpoint: str, path_style: bool, url: str) -> None:
    """Copies internal/s3blob/s3, URL."""
    blobs = S3Blobs(S3Settings(bucket="b", endpoint=endpoint, region="r", force_path_style=path_style))
    assert blobs._reads.config["endpoint"] == url


def test_the_environment_decides_nothing(s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENDPOINT_URL_S3": "http://127.0.0.1:1", "SESSION_TOKEN": "t", "SKIP_SIGNATURE": "1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    S3Blobs(s3.settings(bucket=bucket)).save(KEY, b"x")
    assert s3.keys(bucket) == [KEY]


# -- faults ----------------------------------------------------------------------


def test_a_bucket_that_is_down_is_an_error_in_time(s3: S3Server) -> None:
    blobs = S3Blobs(s3.settings(port=free_port()), HASTY)
    started = time.monotonic()
    for call in (lambda: blobs.save(KEY, b"x"), lambda: blobs.open(KEY), lambda: blobs.delete(KEY)):
        with pytest.raises(BlobError):
            call()
    assert time.monotonic() - started < 10


def test_a_bucket_that_hangs_is_an_error_in_time(s3: S3Server, proxy: Proxy) -> None:
    proxy.is_frozen = True
    blobs = S3Blobs(s3.settings(port=proxy.port), HASTY)
    started = time.monotonic()
    for call in (lambda: blobs.save(KEY, b"x"), lambda: blobs.info(KEY), lambda: list(blobs.list("a/"))):
        with pytest.raises(BlobError):
            call()
    assert time.monotonic() - started < 15


def test_an_upload_that_is_cut_leaves_nothing(s3: S3Server, bucket: str, proxy: Proxy) -> None:
    proxy.up_bytes = 1 << 20
    blobs = S3Blobs(s3.settings(bucket=bucket, port=proxy.port), HASTY)
    with pytest.raises(BlobError):
        blobs.save(KEY, io.BytesIO(LARGE))
    assert proxy.has_seen.is_set()
    assert s3.keys(bucket) == []
    assert s3.pending_uploads(bucket) == 0


def test_a_source_that_breaks_leaves_nothing(blobs: S3Blobs, s3: S3Server, bucket: str) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 8 << 20:
                raise OSError(5, "the disk is broken")
            return super().read(size)

    with pytest.raises(BlobError, match="the disk is broken"):
        blobs.save(KEY, Broken(LARGE))
    assert s3.keys(bucket) == []
    assert s3.pending_uploads(bucket) == 0


def test_a_download_that_is_cut_goes_on_where_it_broke(s3: S3Server, bucket: str, proxy: Proxy) -> None:
    S3Blobs(s3.settings(bucket=bucket)).save(KEY, LARGE)
    blobs = S3Blobs(s3.settings(bucket=bucket, port=proxy.port))
    proxy.down_bytes, proxy.cuts_left = 1_000_000, 2
    with blobs.open(KEY) as file:
        assert file.read() == LARGE
    assert proxy.has_seen.is_set()


def test_a_download_that_is_cut_for_good_is_an_error(s3: S3Server, bucket: str, proxy: Proxy) -> None:
    S3Blobs(s3.settings(bucket=bucket)).save(KEY, LARGE)
    blobs = S3Blobs(s3.settings(bucket=bucket, port=proxy.port))
    with blobs.open(KEY) as file:
        start = file.read(100)
        proxy.down_bytes = 100_000
        with pytest.raises(BlobError):
            file.read(10 << 20)
        proxy.down_bytes = None
        file.seek(100)
        assert start + file.read() == LARGE
