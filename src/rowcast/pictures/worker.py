"""The process that makes thumbs. The only place that knows Pillow.

Reads orders from its standard input, one JSON object a line, and answers each with a
line: `{}`, or `{"error": "..."}`. Ends with its input, or when nobody wants anything for
a while. Sizes and formats are those of tools/filesystem/filesystem.go, createThumb.
"""

from __future__ import annotations

import contextlib
import json
import re
import resource
import select
import sys
from pathlib import Path

from PIL import Image, ImageOps

MAX_PIXELS = 80_000_000
"""Of a picture, before and after; a camera's have 12 to 60 million."""

_MAX_MEMORY = 1536 << 20
_MAX_FILE = 256 << 20
_IDLE_S = 60

_SIZE = re.compile(r"(\d{1,9})x(\d{1,9})([tbf]?)", re.ASCII)
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
_SAVED_AS = {"image/jpeg": "JPEG", "image/gif": "GIF"}
_JPEG_QUALITY = 95
_ORIENTATION = 0x0112

Size = tuple[int, int]
Box = tuple[float, float, float, float]


def make(source: Path, target: Path, size: str, content_type: str) -> None:
    """Write the thumb of a picture: a JPEG of a JPEG, a GIF of a GIF, a PNG of anything else.

    Raises ValueError for what is no picture, too large, or no size, OSError and what
    else a decoder raises for a broken one.
    """
    match = _SIZE.fullmatch(size)
    if match is None:
        raise ValueError("thumb size must be in WxH, WxHt, WxHb or WxHf format")
    width, height, mode = int(match[1]), int(match[2]), match[3]
    if not width and not height:
        raise ValueError("thumb width and height cannot be zero at the same time")
    with Image.open(source, formats=_FORMATS) as image:
        _check(image.size)
        is_turned = False
        if image.format == "JPEG":
            is_turned = image.getexif().get(_ORIENTATION, 1) > 4
            wanted, _ = layout(_turned(image.size, is_turned), width, height, mode)
            _check(wanted)
            # Twice the size, of which the filter makes a smooth picture; the rest is never decoded.
            side = 2 * max(wanted)
            image.draft(None, (side, side))
        made = _scaled(_upright(image), width, height, mode)
    kind = _SAVED_AS.get(content_type, "PNG")
    if kind == "JPEG":
        made.convert("RGB").save(target, "JPEG", quality=_JPEG_QUALITY)
    else:
        made.save(target, kind)


def layout(source: Size, width: int, height: int, mode: str) -> tuple[Size, Box]:
    """Return the size of a thumb, and which part of the picture fills it (imaging's Resize, Fit and Fill)."""
    has_width, has_height = source
    whole = (0.0, 0.0, float(has_width), float(has_height))
    if not width or not height:
        scale = width / has_width if width else height / has_height
        return (width or _rounded(has_width * scale), height or _rounded(has_height * scale)), whole
    if mode == "f":
        if has_width <= width and has_height <= height:
            return source, whole
        if has_width * height > width * has_height:
            return (width, _rounded(width * has_height / has_width)), whole
        return (_rounded(height * has_width / has_height), height), whole
    scale = max(width / has_width, height / has_height)
    part_width, part_height = min(width / scale, has_width), min(height / scale, has_height)
    left = (has_width - part_width) / 2
    top = {"t": 0.0, "b": has_height - part_height}.get(mode, (has_height - part_height) / 2)
    return (width, height), (left, top, left + part_width, top + part_height)


def _scaled(image: Image.Image, width: int, height: int, mode: str) -> Image.Image:
    size, box = layout(image.size, width, height, mode)
    _check(size)
    return image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)


def _upright(image: Image.Image) -> Image.Image:
    """Return the picture in colours that can be mixed, turned as the camera was held; only of JPEGs, as there."""
    has_alpha = image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info
    turned = ImageOps.exif_transpose(image) if image.format == "JPEG" else image
    return turned.convert("RGBA" if has_alpha else "RGB")


def _turned(size: Size, is_turned: bool) -> Size:
    return (size[1], size[0]) if is_turned else size


def _rounded(value: float) -> int:
    return max(1, int(value + 0.5))


def _check(size: Size) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"{size[0]}x{size[1]} pixels are too many")


def _confine() -> None:
    """Bound what this process may take, and have the system end it first when memory runs out."""
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_FILE, _MAX_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # not on all systems
        Path("/proc/self/oom_score_adj").write_text("1000")


def main() -> None:
    """Carry out orders until there are no more."""
    _confine()
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    while select.select([orders], [], [], _IDLE_S)[0] and (line := orders.readline()):
        order = json.loads(line)
        answer: dict[str, str] = {}
        try:
            make(Path(order["source"]), Path(order["target"]), order["size"], order["content_type"])
        except Exception as error:  # noqa: BLE001 - whatever a decoder raises for what strangers send
            answer["error"] = str(error) or type(error).__name__
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
