"""Multipart forms are read piece by piece."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.api.multipart import MultipartReader
from rowcast.blobs.spool import Spool

SPOOL = Spool(tempfile.gettempdir())
HEAD = b'--XX\r\nContent-Disposition: form-data; name="f"; filename="%b"\r\nContent-Type: text/plain\r\n\r\n'
END = b"\r\n--XX--\r\n"


def read(data: bytes, *, step: int = 1 << 20) -> MultipartReader:
    reader = MultipartReader("multipart/form-data; boundary=XX", SPOOL)
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
    reader.end()
    return reader


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_the_size_of_the_pieces_does_not_matter(step: int) -> None:
    data = (
        b'preamble\r\n--XX\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n2\r\n'
        + HEAD % b"x.txt"
        + b"\0--X"
        + END
    )
    reader = read(data[10:], step=step)
    assert reader.fields == [("a", "1\r\n2")]
    (upload,) = reader.uploads()["f"]
    assert (upload.original_name, upload.read(), upload.size) == ("x.txt", b"\0--X", 4)


@pytest.mark.parametrize(
    ("file_name", "original"),
    [(b"a.txt", "a.txt"), (b"dir/../b.txt", "b.txt"), (b"/c", "c"), ("é.png".encode(), "é.png"), (b"\xff", "\ufffd")],
)
def test_only_the_last_element_of_a_file_name_counts(file_name: bytes, original: str) -> None:
    (upload,) = read(HEAD % file_name + b"x" + END).uploads()["f"]
    assert upload.original_name == original


@pytest.mark.parametrize("file_name", [b"", b".", b"/"])
def test_a_part_without_a_file_name_is_a_field(file_name: bytes) -> None:
    assert read(HEAD % file_name + b"x" + END).fields == [("f", "x")]


@pytest.mark.parametrize(
    "head", [b"X: y", b"Content-Disposition: attachment; name=a", b"Content-Disposition: form-data"]
)
def test_a_part_without_a_name_is_left_out(head: bytes) -> None:
    reader = read(b"--XX\r\n" + head + b"\r\n\r\nx" + END)
    assert reader.fields == []
    assert reader.uploads() == {}


def test_a_large_file_lies_on_the_disk_until_the_reader_is_closed() -> None:
    content = b"0123456789abcdef" * 40_000
    reader = read(HEAD % b"big.bin" + content + END, step=65_536)
    reader.flush()
    (upload,) = reader.uploads()["f"]
    assert isinstance(upload.content, Path)
    assert upload.read() == content
    assert (upload.size, upload.md5) == (len(content), hashlib.md5(content).digest())  # noqa: S324
    reader.close()
    assert not upload.content.exists()


def test_an_unfinished_file_is_removed_as_well(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    reader = MultipartReader("multipart/form-data; boundary=XX", spool)
    reader.feed(HEAD % b"big.bin" + b"0" * 400_000)
    assert reader.waiting_bytes > 300_000
    reader.flush()
    assert reader.waiting_bytes == 0
    assert list(spool.folder.iterdir())
    reader.close()
    assert not list(spool.folder.iterdir())


def test_fields_are_bounded() -> None:
    reader = MultipartReader("multipart/form-data; boundary=XX", SPOOL)
    reader.feed(b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n')
    with pytest.raises(ValueError, match="too large"):
        for _ in range(12):
            reader.feed(b"0" * (1 << 20))


@given(
    st.lists(
        st.sampled_from([b"--XX", b"\r\n", b"--", b": ", b"Content-Disposition", b"form-data; name=a", b"\0"]),
        max_size=12,
    )
)
def test_any_pieces_are_read_or_refused(pieces: list[bytes]) -> None:
    reader = MultipartReader("multipart/form-data; boundary=XX", SPOOL)
    with contextlib.suppress(ValueError):
        for piece in pieces:
            reader.feed(piece)
        reader.end()
    reader.close()
