"""Files: whole or not at all, with the attributes of the reference, and never outside of their directory."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import json
import os
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.blobs import BlobError, BlobNotFoundError, Blobs, LocalBlobs

KEY = "collection/record/file.txt"


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "storage")


def names(blobs: LocalBlobs) -> list[str]:
    return sorted(path.relative_to(blobs.root).as_posix() for path in blobs.root.rglob("*") if path.is_file())


def test_driver_fits_the_protocol(blobs: LocalBlobs) -> None:
    typed: Blobs = blobs
    assert not typed.exists(KEY)


@pytest.mark.parametrize("source", [b"content", io.BytesIO(b"content")], ids=["bytes", "stream"])
def test_a_file_comes_back_with_what_is_known_of_it(blobs: LocalBlobs, source: bytes | BinaryIO) -> None:
    assert blobs.save(KEY, source, content_type="text/plain", original_name="My File.txt") == 7
    assert blobs.exists(KEY)
    with blobs.open(KEY) as file:
        assert file.read() == b"content"
        file.seek(3)
        assert file.read() == b"tent"
    info = blobs.info(KEY)
    assert (info.key, info.size, info.content_type, info.original_name) == (KEY, 7, "text/plain", "My File.txt")
    assert info.modified == blobs.path(KEY).stat().st_mtime


def test_attributes_are_written_as_the_reference_writes_them(blobs: LocalBlobs) -> None:
    blobs.save(KEY, b"<b>", content_type="text/html; charset=utf-8", original_name="<b>.html")
    text = blobs.path(KEY).with_name("file.txt.attrs").read_text()
    md5 = base64.b64encode(hashlib.md5(b"<b>").digest()).decode()  # noqa: S324 - the reference's checksum
    assert text == (
        '{"user.cache_control":"","user.content_disposition":"","user.content_encoding":"",'
        '"user.content_language":"","user.content_type":"text/html; charset=utf-8",'
        '"user.metadata":{"original-filename":"\\u003cb\\u003e.html"},"md5":"' + md5 + '"}\n'
    )
    blobs.save(KEY, b"")
    attributes = json.loads(blobs.path(KEY).with_name("file.txt.attrs").read_text())
    assert (attributes["user.metadata"], attributes["user.content_type"]) == (None, "application/octet-stream")


@pytest.mark.parametrize("attributes", [None, "", "{", '{"user.content_type": 5}'])
def test_a_file_without_readable_attributes_is_binary_data(blobs: LocalBlobs, attributes: str | None) -> None:
    blobs.save(KEY, b"x", content_type="text/plain")
    sidecar = blobs.path(KEY).with_name("file.txt.attrs")
    sidecar.unlink()
    if attributes is not None:
        sidecar.write_text(attributes)
    assert blobs.info(KEY).content_type == "application/octet-stream"


def test_saving_replaces(blobs: LocalBlobs) -> None:
    blobs.save(KEY, b"old", content_type="text/plain")
    with blobs.open(KEY) as old:
        blobs.save(KEY, b"newer", content_type="text/css")
        assert old.read() == b"old"
    assert (blobs.info(KEY).size, blobs.info(KEY).content_type) == (5, "text/css")
    assert names(blobs) == [KEY, f"{KEY}.attrs"]


class Broken:
    """A stream that ends with an error."""

    def __init__(self, error: Exception) -> None:
        self.parts = [b"some content"]
        self.error = error

    def read(self, size: int) -> bytes:
        if not self.parts:
            raise self.error
        return self.parts.pop()


def test_a_broken_stream_leaves_nothing(blobs: LocalBlobs) -> None:
    with pytest.raises(ZeroDivisionError):
        blobs.save(KEY, cast("BinaryIO", Broken(ZeroDivisionError())))
    assert names(blobs) == []


def test_a_full_disk_leaves_the_old_file(blobs: LocalBlobs) -> None:
    blobs.save(KEY, b"old", content_type="text/plain")
    with pytest.raises(BlobError, match="the disk is full"):
        blobs.save(KEY, cast("BinaryIO", Broken(OSError(28, "No space left on device"))))
    assert blobs.info(KEY).size == 3
    assert names(blobs) == [KEY, f"{KEY}.attrs"]


def test_deleting(blobs: LocalBlobs) -> None:
    blobs.save(KEY, b"x")
    blobs.delete(KEY)
    assert names(blobs) == []
    for call in (blobs.delete, blobs.open, blobs.info, blobs.path):
        with pytest.raises(BlobNotFoundError, match=r"there is no file collection/record/file\.txt"):
            call(KEY)


def test_deleting_by_prefix(blobs: LocalBlobs) -> None:
    keys = ["c/r/a.png", "c/r/thumbs_a.png/10x10_a.png", "c/r/thumbs_b.png/1_b.png", "c/r2/a.png", "d/r/a.png"]
    for key in keys:
        blobs.save(key, b"x")
    blobs.delete_prefix("c/r/thumbs_a.png/")
    assert [info.key for info in blobs.list()] == [key for key in keys if "thumbs_a" not in key]
    assert not (blobs.root / "c/r/thumbs_a.png").exists()
    blobs.delete_prefix("c/r/th")
    assert [info.key for info in blobs.list("c/")] == ["c/r/a.png", "c/r2/a.png"]
    blobs.delete_prefix("c/r/")
    assert [info.key for info in blobs.list()] == ["c/r2/a.png", "d/r/a.png"]
    blobs.delete_prefix("missing/")
    blobs.delete_prefix("missing/file")
    for empty in ("", "/"):
        with pytest.raises(BlobError, match="must name something"):
            blobs.delete_prefix(empty)
    assert [info.key for info in blobs.list()] == ["c/r2/a.png", "d/r/a.png"]


def test_listing_passes_over_what_is_not_a_file(blobs: LocalBlobs) -> None:
    assert list(blobs.list()) == []
    for key in ("b/x", "a/y", "a/x1", "a/x2"):
        blobs.save(key, b"x")
    (blobs.root / "a" / ".0123.tmp").touch()
    assert [info.key for info in blobs.list()] == ["a/x1", "a/x2", "a/y", "b/x"]
    assert [info.key for info in blobs.list("a/x")] == ["a/x1", "a/x2"]
    assert not blobs.exists("a")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../data.db",
        "c/../../data.db",
        "c/./x",
        "c//x",
        "c/",
        "c\\..\\x",
        "c/x\0",
        "c/x\n",
        "c/x.attrs",
        "c/" + "x" * 256,
        "c/\ud800",
    ],
)
def test_keys_that_are_no_plain_names(blobs: LocalBlobs, key: str) -> None:
    blobs.root.mkdir()
    (blobs.root.parent / "data.db").write_text("secret")
    with pytest.raises(BlobError, match="is not the key of a file"):
        blobs.save(key, b"x")
    assert not blobs.exists(key)
    with pytest.raises(BlobNotFoundError):
        blobs.open(key)
    assert names(blobs) == []


@pytest.mark.parametrize("prefix", ["../", "../d", "c/../../", "c//", "/"])
def test_prefixes_that_are_no_plain_names(blobs: LocalBlobs, prefix: str) -> None:
    outside = blobs.root.parent / "data.db"
    outside.write_text("secret")
    with pytest.raises(BlobError):
        blobs.delete_prefix(prefix)
    assert outside.read_text() == "secret"


@pytest.mark.property
@given(key=st.text(alphabet="ab./\\\0é ", max_size=12))
def test_no_key_leaves_the_directory(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    root = tmp_path_factory.mktemp("blobs")
    blobs = LocalBlobs(root / "storage")
    try:
        blobs.save(key, b"x")
    except BlobError:
        assert not blobs.exists(key)
    else:
        assert [info.key for info in blobs.list()] == [key]
        assert blobs.path(key).resolve().is_relative_to(root / "storage")
    assert [path.name for path in root.iterdir()] in ([], ["storage"])


def content(blobs: LocalBlobs) -> bytes:
    with blobs.open(KEY) as file:
        return file.read()


def test_a_finished_file_becomes_the_stored_one(blobs: LocalBlobs, tmp_path: Path) -> None:
    spooled = tmp_path / "spooled"
    spooled.write_bytes(b"content")
    assert blobs.save(KEY, spooled, original_name="ä" * 200) == 7
    assert blobs.path(KEY).stat().st_ino == spooled.stat().st_ino
    attributes = json.loads(blobs.path(KEY).with_name("file.txt.attrs").read_text())
    assert attributes["md5"] == base64.b64encode(hashlib.md5(b"content").digest()).decode()  # noqa: S324
    assert attributes["user.metadata"] == {"original-filename": "ä" * 127 + "\N{REPLACEMENT CHARACTER}"}
    spooled.unlink()
    assert content(blobs) == b"content"
    with pytest.raises(BlobError):
        blobs.save(KEY, spooled)
    assert content(blobs) == b"content"


def test_a_finished_file_of_another_file_system_is_copied(
    blobs: LocalBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    spooled = tmp_path / "spooled"
    spooled.write_bytes(b"content")
    assert blobs.save(KEY, spooled, md5=b"is not asked for") == 7
    assert blobs.path(KEY).stat().st_ino != spooled.stat().st_ino
    assert content(blobs) == b"content"
