"""Names of uploads, and their types by content."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.schema.uploads import extension_of, upload

RANDOM = "[a-z0-9]{10}"


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ("test.txt", rf"test_{RANDOM}\.txt"),
        ("Test File.PNG", rf"test_file_{RANDOM}\.PNG"),
        ("myTestDB.tar.gz", rf"my_test_db_{RANDOM}\.tar\.gz"),
        ("a.b.c.d", rf"a_b_{RANDOM}\.c\.d"),
        ("a", rf"a{RANDOM}_{RANDOM}\.txt"),
        ("..", rf"{RANDOM}_{RANDOM}\.txt"),
        (".hidden", rf"{RANDOM}_{RANDOM}\.hidden"),
        ("ünï cödé.jpg", rf"n_c_d_{RANDOM}\.jpg"),
        ("名前.txt", rf"{RANDOM}_{RANDOM}\.txt"),
        ("a/b/c.t xt", rf"a_b_c_{RANDOM}\.txt"),
        ("name." + "e" * 30, rf"name_{RANDOM}\.{'e' * 20}"),
        ("x" * 400 + ".txt", rf"{'x' * 100}_{RANDOM}\.txt"),
        ("trailing.", rf"trailing_{RANDOM}\.txt"),
    ],
)
def test_final_names(original: str, expected: str) -> None:
    made = upload(original, b"plain text")
    assert re.fullmatch(expected, made.name), made.name
    assert made.original_name == original
    assert made.size == 10


@given(st.text(max_size=80))
def test_any_name_becomes_one_path_segment(original: str) -> None:
    name = upload(original, b"\x00").name
    assert re.fullmatch(r"[\w.*\-+=#]+", name, re.ASCII)
    assert not name.startswith(".")
    assert len(name) <= 150


def test_names_never_repeat() -> None:
    assert len({upload("a.txt", b"x").name for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("name", "extension"), [("a.tar.gz", ".tar.gz"), ("a.b.tar.gz", ".tar.gz"), ("a", ""), ("a.", "."), (".a", ".a")]
)
def test_extension_of(name: str, extension: str) -> None:
    assert extension_of(name) == extension


def test_content_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(b"%PDF-1.4" + b"x" * 10_000)
    made = upload("a.txt", path)
    assert made.size == 10_008
    assert len(made.head()) < made.size
    assert made.read() == path.read_bytes()
    assert made.is_of_type(("application/pdf",))
    assert not made.is_of_type(("text/plain",))
    assert made.to_filter() == {"name": made.name, "originalName": "a.txt", "size": 10_008}
