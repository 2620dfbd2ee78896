"""Archives: what comes out is what went in, and nothing that an archive says is believed."""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import struct
import zipfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from rowcast.backups.archive import ArchiveError, Writer, unpack


def silent(_: str, __: int, ___: int) -> None:
    return


def zipped(path: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members:
            out.writestr(name, content)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def test_what_was_written_comes_out(tmp_path: Path, target: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 3_000_000)
    (tmp_path / "empty").write_bytes(b"")
    with Writer(tmp_path / "out.zip", silent) as out:
        out.add(tmp_path / "a", "data.db")
        out.add(tmp_path / "empty", "storage/c/r/ä b.txt")
        assert out.holds("data.db")
        with pytest.raises(FileNotFoundError):
            out.add(tmp_path / "gone", "gone")
        assert not out.holds("gone")
    assert out.md5 == hashlib.md5((tmp_path / "out.zip").read_bytes(), usedforsecurity=False).digest()
    unpack(tmp_path / "out.zip", target, silent)
    assert (target / "data.db").read_bytes() == b"a" * 3_000_000
    assert (target / "storage/c/r/ä b.txt").read_bytes() == b""


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "a\\b", "storage/.."])
def test_names_outside_of_the_directory_are_refused(tmp_path: Path, target: Path, name: str) -> None:
    archive = zipped(tmp_path / "x.zip", [("data.db", b"1"), (name, b"evil")])
    with pytest.raises(ArchiveError, match="lies outside of a data directory"):
        unpack(archive, target, silent)
    assert not list(target.iterdir())


def test_links_and_what_is_not_content_stay_out(tmp_path: Path, target: Path) -> None:
    members: list[tuple[str | zipfile.ZipInfo, bytes]] = [
        (link("storage"), b"/etc"),
        ("./storage//file", b"1"),
        ("backups/old.zip", b"1"),
        (".pb_temp_to_delete/x", b"1"),
        (".rowcast_restore/step", b"trial"),
        ("lost+found/x", b"1"),
        ("data.db-shm", b"1"),
        ("folder/", b""),
    ]
    unpack(zipped(tmp_path / "x.zip", members), target, silent)
    assert [path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()] == ["storage/file"]


@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("a", "a/b"), ("a/b", "a")])
def test_names_that_stand_in_each_others_way_are_refused(tmp_path: Path, target: Path, names: tuple[str, str]) -> None:
    with pytest.warns(UserWarning, match="Duplicate") if names == ("a", "a") else nullcontext():
        archive = zipped(tmp_path / "x.zip", [(name, b"1") for name in names])
    with pytest.raises(ArchiveError, match="of one name"):
        unpack(archive, target, silent)


def test_more_than_the_disk_holds_is_refused_before_anything_is_written(tmp_path: Path, target: Path) -> None:
    archive = zipped(tmp_path / "x.zip", [("data.db", b"\0" * 1000)])
    content = bytearray(archive.read_bytes())
    start = content.rindex(b"PK\x01\x02")
    said = min(shutil.disk_usage(target).free + 1, 0xFFFFFFFE)
    if said == 0xFFFFFFFE:
        # As many entries as it takes, all of the same bytes: a bomb.
        entry = bytes(content[start : content.rindex(b"PK\x05\x06")])
        entry = entry[:24] + struct.pack("<I", said) + entry[28:]
        count = shutil.disk_usage(target).free // said + 2
        entries = b"".join(entry[:46] + f"f{i:06}".encode() + entry[53:] for i in range(count))
        end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(entries), start, 0)
        archive.write_bytes(bytes(content[:start]) + entries + end)
    else:
        content[start + 24 : start + 28] = struct.pack("<I", said)
        archive.write_bytes(content)
    with pytest.raises(ArchiveError, match="free on the disk"):
        unpack(archive, target, silent)
    assert not list(target.iterdir())


def test_a_file_that_is_larger_than_it_says_is_damaged(tmp_path: Path, target: Path) -> None:
    archive = zipped(tmp_path / "x.zip", [("data.db", b"\0" * 5_000_000)])
    content = bytearray(archive.read_bytes())
    start = content.rindex(b"PK\x01\x02")
    content[start + 24 : start + 28] = struct.pack("<I", 10)
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match="damaged"):
        unpack(archive, target, silent)
    assert (target / "data.db").stat().st_size <= 10


def test_an_encrypted_archive_is_refused(tmp_path: Path, target: Path) -> None:
    archive = zipped(tmp_path / "x.zip", [("data.db", b"1")])
    content = bytearray(archive.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(ArchiveError, match="encrypted"):
        unpack(archive, target, silent)


def test_every_cut_and_every_flipped_byte_is_told_or_harmless(tmp_path: Path, target: Path) -> None:
    whole = zipped(tmp_path / "x.zip", [("data.db", b"some content, " * 30), ("storage/f", b"x")]).read_bytes()
    outcomes = set()
    for number in range(len(whole)):
        flipped = bytearray(whole)
        flipped[number] ^= 0xFF
        for kind, content in (("cut", whole[:number]), ("flip", bytes(flipped))):
            (tmp_path / "bad.zip").write_bytes(content)
            folder = target / f"{kind}{number}"
            folder.mkdir()
            try:
                unpack(tmp_path / "bad.zip", folder, silent)
            except ArchiveError:
                outcomes.add(f"{kind} refused")
            else:
                outcomes.add(f"{kind} taken")
                if (folder / "data.db").exists():
                    assert (folder / "data.db").read_bytes() == b"some content, " * 30
            assert not (tmp_path / "target.txt").exists()
            shutil.rmtree(folder)
    assert "cut taken" not in outcomes
    assert "flip refused" in outcomes


def test_no_archive_at_all(tmp_path: Path, target: Path) -> None:
    for content in (b"", b"PK", b"text" * 1000, io.BytesIO(b"\x1f\x8b" + b"\0" * 50).read()):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(ArchiveError, match="is no zip archive"):
            unpack(tmp_path / "x", target, silent)
    with pytest.raises(ArchiveError, match="can't be unpacked"):
        unpack(tmp_path / "missing", target, silent)
