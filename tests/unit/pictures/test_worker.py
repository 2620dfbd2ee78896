"""Thumbs have the sizes, the formats and the orientation of the reference's."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from rowcast.pictures import worker

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def save(
    path: Path, size: tuple[int, int] = (300, 100), kind: str = "PNG", mode: str = "RGB", **options: object
) -> Path:
    """Save a picture that is red on the left, green in the middle and blue on the right (or from top to bottom)."""
    width, height = size
    image = Image.new(mode, size)
    for index, colour in enumerate((RED, GREEN, BLUE)):
        if width >= height:
            box = (width * index // 3, 0, width * (index + 1) // 3, height)
        else:
            box = (0, height * index // 3, width, height * (index + 1) // 3)
        image.paste(colour if mode == "RGB" else (*colour, 128), box)
    image.save(path, kind, **options)
    return path


def thumb(source: Path, size: str, content_type: str = "image/png") -> Image.Image:
    target = source.with_name("thumb")
    worker.make(source, target, size, content_type)
    with Image.open(target) as image:
        image.load()
        return image


@pytest.mark.parametrize(
    ("source", "size", "wanted"),
    [
        ((300, 100), "50x50", (50, 50)),
        ((300, 100), "50x50t", (50, 50)),
        ((300, 100), "50x50b", (50, 50)),
        ((300, 100), "50x50f", (50, 17)),
        ((100, 300), "50x50f", (17, 50)),
        ((300, 100), "0x50", (150, 50)),
        ((300, 100), "50x0", (50, 17)),
        ((30, 10), "60x0", (60, 20)),  # grows
        ((30, 10), "60x60f", (30, 10)),  # but does not to fit
        ((30, 10), "60x60", (60, 60)),
        ((1000, 1), "10x0", (10, 1)),
        ((3, 3), "1x1f", (1, 1)),
    ],
)
def test_sizes(tmp_path: Path, source: tuple[int, int], size: str, wanted: tuple[int, int]) -> None:
    assert thumb(save(tmp_path / "a", source), size).size == wanted


@pytest.mark.parametrize(
    ("source", "size", "colour"),
    [
        ((300, 100), "100x100", GREEN),
        ((100, 300), "100x100", GREEN),
        ((100, 300), "100x100t", RED),
        ((100, 300), "100x100b", BLUE),
        ((300, 100), "100x100t", GREEN),  # the middle of the top
    ],
)
def test_what_is_cut_off(tmp_path: Path, source: tuple[int, int], size: str, colour: tuple[int, int, int]) -> None:
    assert thumb(save(tmp_path / "a", source), size).convert("RGB").getpixel((50, 50)) == colour


@pytest.mark.parametrize(
    ("kind", "content_type", "wanted"),
    [
        ("JPEG", "image/jpeg", "JPEG"),
        ("PNG", "image/png", "PNG"),
        ("GIF", "image/gif", "GIF"),
        ("WEBP", "image/webp", "PNG"),
    ],
)
def test_formats(tmp_path: Path, kind: str, content_type: str, wanted: str) -> None:
    made = thumb(save(tmp_path / "a", kind=kind), "30x0", content_type)
    assert (made.format, made.size) == (wanted, (30, 10))
    pixel = made.convert("RGB").getpixel((2, 5))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 200
    assert pixel[1] < 60


def test_what_can_be_seen_through_stays_so(tmp_path: Path) -> None:
    made = thumb(save(tmp_path / "a", mode="RGBA"), "30x0")
    assert made.mode == "RGBA"
    assert made.getpixel((2, 5)) == (*RED, 128)


@pytest.mark.parametrize("size", [(300, 100), (3000, 1000)], ids=["whole", "draft"])
def test_pictures_of_cameras_are_turned(tmp_path: Path, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the picture is on the right
    made = thumb(save(tmp_path / "a", size, "JPEG", exif=exif), "0x90", "image/jpeg")
    assert made.size == (30, 90)
    top, bottom = made.getpixel((15, 5)), made.getpixel((15, 85))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    assert (top[0] > 200, top[2] < 60, bottom[0] < 60, bottom[2] > 200) == (True, True, True, True)


def test_only_the_first_picture_of_a_film_counts(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (30, 10), RED), Image.new("RGB", (30, 10), BLUE)
    first.save(tmp_path / "a", "GIF", save_all=True, append_images=[second])
    worker.make(tmp_path / "a", tmp_path / "thumb", "15x0", "image/gif")
    with Image.open(tmp_path / "thumb") as made:
        assert getattr(made, "n_frames", 1) == 1
        assert made.convert("RGB").getpixel((5, 3)) == RED


@pytest.mark.parametrize("size", ["", "100", "x", "10x10x", "10x10c", "-1x5", "0x0", "9999999999x1", "٣x٣"])
def test_sizes_that_are_none(tmp_path: Path, size: str) -> None:
    with pytest.raises(ValueError, match="thumb"):
        thumb(save(tmp_path / "a"), size)


def test_too_many_pixels_are_never_decoded(tmp_path: Path) -> None:
    """A header of 40 bytes may promise gigabytes."""
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb", "PNG")
    assert (tmp_path / "bomb").stat().st_size < 100_000
    with pytest.raises((ValueError, Image.DecompressionBombError), match="pixels"):
        thumb(tmp_path / "bomb", "10x10")
    with pytest.raises(ValueError, match="pixels are too many"):
        thumb(save(tmp_path / "a"), "90000x90000")


def test_other_formats_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a", kind="TIFF")
    with pytest.raises(OSError, match="cannot identify"):
        thumb(tmp_path / "a", "10x10")
