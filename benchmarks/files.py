"""Files: uploads and downloads of 1 and 100 MB, one after the other, and thumbs of a camera's pictures."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from PIL import Image

from benchmarks import usage
from benchmarks.wire import Client, Load, LoadError, drive, percentile, request
from tests.e2e.server import SUPERUSER, Server

MB = 1_000_000
COUNTS = {1: 100, 100: 5}
"""How many files of each size, in MB."""

PICTURES = 12
PICTURE_SIZE = (4000, 3000)

_CACHED = 1_000
_RECORDS = "/api/collections/files/records"


@dataclass(frozen=True, slots=True)
class Row:
    """What one request of a kind took; CPU is that of the server and of the processes that it started."""

    name: str
    cpu_ms: float
    p50_ms: float
    mb_per_s: float


def measure(server: Server, port: int) -> Iterator[Row]:
    """Measure each kind of request. Raises LoadError if one is refused."""
    client = Client(port)
    _create_collection(client, client.sign_in(*SUPERUSER))
    for size, count in COUNTS.items():
        upload = _upload(f"{size}.bin", os.urandom(MB) * size)
        load, row = _drive(server, port, f"upload {size} MB", [upload] * count, size)
        yield row
        download = request("GET", _path(load.answers[0]))
        yield _drive(server, port, f"download {size} MB", [download] * count, size)[1]
    uploads = [_upload("picture.jpg", picture(number)) for number in range(PICTURES)]
    pictures = drive(port, (sent.__bytes__ for sent in uploads), clients=1, keep_answers=True)
    thumbs = [request("GET", _path(answer) + "?thumb=100x100") for answer in pictures.answers]
    yield _drive(server, port, "thumb, made", thumbs, 0)[1]
    yield _drive(server, port, "thumb, stored", thumbs * (_CACHED // PICTURES), 0)[1]


def picture(seed: int) -> bytes:
    """Return a JPEG of the size that cameras make."""
    out = io.BytesIO()
    width, height = PICTURE_SIZE
    colours = [Image.linear_gradient("L").rotate(90 * (seed + turn)) for turn in range(3)]
    Image.merge("RGB", colours).resize((width, height)).save(out, "JPEG", quality=90)
    return out.getvalue()


def _create_collection(client: Client, token: str) -> None:
    rules = dict.fromkeys(("listRule", "viewRule", "createRule", "updateRule", "deleteRule"), "")
    fields = [{"name": "file", "type": "file", "maxSelect": 1, "maxSize": 1000 * MB}]
    client.call("POST", "/api/collections", {"name": "files", "type": "base", "fields": fields, **rules}, token)


def _upload(name: str, content: bytes) -> bytes:
    head = f'--XX\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    sent = request("POST", _RECORDS, head.encode() + content + b"\r\n--XX--\r\n")
    return sent.replace(b"application/json", b"multipart/form-data; boundary=XX", 1)


def _path(answer: bytes) -> str:
    record = json.loads(answer)
    return f"/api/files/files/{record['id']}/{record['file']}"


def _drive(server: Server, port: int, name: str, sent: Iterable[bytes], size: int) -> tuple[Load, Row]:
    sent = list(sent)
    before_s = usage.family_cpu_s(server.process.pid)
    load = drive(port, (each.__bytes__ for each in sent), clients=1, keep_answers=name.startswith("upload"))
    used_s = usage.family_cpu_s(server.process.pid) - before_s
    if load.errors:
        raise LoadError(f"{name}: {load.errors} of {len(sent)} requests were refused")
    rate = size * len(sent) / load.seconds
    return load, Row(name, used_s * 1000 / len(sent), percentile(load.latencies_ms, 50), rate)
