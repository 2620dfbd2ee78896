"""Thumbs are made once, kept where the reference keeps them, and never stand in the way."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from rowcast.blobs import BlobInfo, LocalBlobs
from rowcast.blobs.spool import Spool
from rowcast.errors import NotFoundError
from rowcast.pictures.workshop import Workshop
from rowcast.records.files import StoredFile
from rowcast.records.thumbs import Thumbs

ORIGINAL = StoredFile("posts/r1/a.png", "a.png", "30x0")
THUMB = StoredFile("posts/r1/thumbs_a.png/30x0_a.png", "30x0_a.png")


class Counting(Workshop):
    """A workshop that counts, and can be stopped before it begins."""

    def __init__(self) -> None:
        super().__init__()
        self.orders = 0
        self.may_go = threading.Event()
        self.may_go.set()
        self.began = threading.Event()

    def thumb(self, source: Path, target: Path, size: str, content_type: str) -> None:
        self.orders += 1
        self.began.set()
        assert self.may_go.wait(20)
        super().thumb(source, target, size, content_type)


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    made = LocalBlobs(tmp_path / "storage")
    made.save(ORIGINAL.key, picture("PNG"), content_type="image/png")
    return made


@pytest.fixture
def workshop() -> Counting:
    return Counting()


@pytest.fixture
def thumbs(blobs: LocalBlobs, workshop: Counting, tmp_path: Path) -> Iterator[Thumbs]:
    made = Thumbs(blobs, Spool(tmp_path), workshop)
    yield made
    workshop.may_go.set()
    made.close()


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (300, 100), (255, 0, 0)).save(out, kind)
    return out.getvalue()


def test_a_thumb_is_made_and_kept(thumbs: Thumbs, blobs: LocalBlobs, workshop: Counting, tmp_path: Path) -> None:
    assert thumbs.ready(ORIGINAL) is None
    assert thumbs.make(ORIGINAL).result(20) == THUMB
    assert thumbs.ready(ORIGINAL) == THUMB
    assert thumbs.make(ORIGINAL).result(20) == THUMB
    assert workshop.orders == 1
    assert blobs.info(THUMB.key).content_type == "image/png"
    with blobs.open(THUMB.key) as file, Image.open(file) as image:
        assert (image.format, image.size) == ("PNG", (30, 10))
    assert list(Spool(tmp_path).folder.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "content_type", "kept"),
    [("JPEG", "image/jpeg", "image/jpeg"), ("GIF", "image/gif", "image/gif"), ("WEBP", "image/webp", "image/png")],
)
def test_types_are_those_of_the_reference(
    thumbs: Thumbs, blobs: LocalBlobs, kind: str, content_type: str, kept: str
) -> None:
    blobs.save(ORIGINAL.key, picture(kind), content_type=content_type)
    assert blobs.info(thumbs.make(ORIGINAL).result(20).key).content_type == kept


def test_what_many_want_at_once_is_made_once(thumbs: Thumbs, workshop: Counting) -> None:
    workshop.may_go.clear()
    asked = [thumbs.make(ORIGINAL) for _ in range(100)]
    workshop.may_go.set()
    assert {future.result(20) for future in asked} == {THUMB}
    assert workshop.orders == 1


def test_the_original_stands_in_for_what_is_broken(thumbs: Thumbs, blobs: LocalBlobs, workshop: Counting) -> None:
    blobs.save(ORIGINAL.key, picture("PNG")[:60], content_type="image/png")
    assert thumbs.ready(ORIGINAL) is None
    assert thumbs.make(ORIGINAL).result(20) == ORIGINAL
    # and is not worked on for every request
    assert thumbs.ready(ORIGINAL) == ORIGINAL
    assert workshop.orders == 1
    assert not blobs.exists(THUMB.key)


def test_what_is_no_picture_has_no_thumb(thumbs: Thumbs, blobs: LocalBlobs) -> None:
    blobs.save(ORIGINAL.key, picture("PNG"), content_type="text/plain")
    assert thumbs.ready(ORIGINAL) == ORIGINAL


def test_without_an_original_there_is_nothing(thumbs: Thumbs, blobs: LocalBlobs) -> None:
    blobs.delete(ORIGINAL.key)
    with pytest.raises(NotFoundError):
        thumbs.ready(ORIGINAL)
    assert thumbs.make(ORIGINAL).result(20) == ORIGINAL


def test_a_record_that_is_deleted_meanwhile_leaves_no_thumb(
    thumbs: Thumbs, blobs: LocalBlobs, workshop: Counting
) -> None:
    workshop.may_go.clear()
    made = thumbs.make(ORIGINAL)
    assert workshop.began.wait(20)
    blobs.delete_prefix("posts/r1/")
    workshop.may_go.set()
    assert made.result(20) == ORIGINAL
    assert list(blobs.list()) == []


def test_files_of_any_size_are_not_copied_to_be_looked_at(
    thumbs: Thumbs, blobs: LocalBlobs, workshop: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = blobs.open_with_info

    def huge(key: str) -> tuple[BlobInfo, object]:
        _, file = opened(key)
        return BlobInfo(key, 1 << 40, 0.0, "image/png"), file

    monkeypatch.setattr(blobs, "open_with_info", huge)
    assert thumbs.make(ORIGINAL).result(20) == ORIGINAL
    assert workshop.orders == 0


def test_a_queue_that_is_full_makes_nobody_wait(
    thumbs: Thumbs, workshop: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rowcast.records.thumbs._MAX_WAITING", 1)
    workshop.may_go.clear()
    first = thumbs.make(ORIGINAL)
    other = StoredFile(ORIGINAL.key, ORIGINAL.name, "10x10")
    assert thumbs.make(other).result(0) == other
    assert not first.done()
