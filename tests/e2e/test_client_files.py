"""Files through the Python client: up and down as streams, on a real server of each kind."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rowcast.client import Client, ClientResponseError, Upload, UsageError
from tests.e2e.posts import make_posts

pytestmark = [pytest.mark.e2e, pytest.mark.anyio, pytest.mark.timeout(120)]

LARGE = 50 << 20
FEW = 8 << 20


async def make_albums(root: Client, **options: object) -> None:
    field = {"name": "files", "type": "file", "maxSelect": 9, "maxSize": 2 * LARGE, **options}
    await make_posts(root, "albums", fields=[field])


async def test_every_kind_of_source_is_uploaded(root: Client, tmp_path: Path) -> None:
    await make_albums(root)
    path = tmp_path / "päth.txt"
    path.write_bytes(b"from a path")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"from "
        yield b"pieces"

    with path.open("rb") as file:
        album = await root.collection("albums").create(
            {
                "title": "ä",
                "files": [
                    path,
                    file,
                    Upload(b"from bytes", "bytes.txt"),
                    Upload(pieces(), 'pie"ces.txt'),
                    Upload(io.BytesIO(b"from memory"), "memory.txt"),
                ],
            }
        )
    assert album.title == "ä"
    read = []
    for name in album.files:
        async with root.files.download(album, name) as download:
            read.append(await download.read())
    assert read == [b"from a path", b"from a path", b"from bytes", b"from pieces", b"from memory"]


async def test_stored_files_stay_beside_new_ones(root: Client) -> None:
    await make_albums(root)
    albums = root.collection("albums")
    album = await albums.create({"title": "x", "files": [Upload(b"1", "one.txt"), Upload(b"2", "two.txt")]})
    kept = album.files[1]
    album = await albums.update(album.id, {"files": [kept, Upload(b"3", "three.txt")]})
    assert album.files[0] == kept
    assert [name.partition("_")[0] for name in album.files] == ["two", "three"]
    assert (await albums.update(album.id, {"files": []})).files == []


async def test_files_go_with_a_batch(root: Client) -> None:
    await make_albums(root)
    await root.settings.update({"batch": {"enabled": True, "maxRequests": 50, "timeout": 3}})
    async with root.batch() as batch:
        album = batch.collection("albums").create({"title": "x", "files": Upload(b"in a batch", "batch.txt")})
    async with root.files.download(album.record, album.record.files[0]) as download:
        assert await download.read() == b"in a batch"


async def test_a_large_stream_goes_up_and_down_in_flat_memory(root: Client, tmp_path: Path) -> None:
    await make_albums(root)
    piece, sent = b"0123456789abcdef" * 4096, hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(LARGE // len(piece)):
            sent.update(piece)
            yield piece

    tracemalloc.start()
    try:
        album = await root.collection("albums").create(
            {"title": "x", "files": Upload(pieces(), "large.bin", size=LARGE)}, timeout_s=None
        )
        async with root.files.download(album, album.files[0]) as download:
            assert download.size == LARGE
            assert await download.save(tmp_path / "down.bin") == LARGE
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < FEW
    with (tmp_path / "down.bin").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == sent.hexdigest()
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []  # noqa: ASYNC240 - a test


async def test_protected_files_need_a_token(root: Client) -> None:
    await make_albums(root, protected=True)
    await root.collections.update("albums", {"viewRule": None})
    album = await root.collection("albums").create({"title": "x", "files": Upload(b"secret", "s.txt")})
    with pytest.raises(ClientResponseError) as refused:
        async with root.files.download(album, album.files[0]):
            pass
    assert refused.value.status == 404
    async with root.files.download(album, album.files[0], token=await root.files.token()) as download:
        assert b"".join([piece async for piece in download]) == b"secret"


async def test_urls_name_a_file(root: Client) -> None:
    record = {"id": "r", "collectionId": "c", "collectionName": "albums"}
    assert root.files.url(record, "ä b.png", thumb="10x10", download=True) == (
        f"{root.url}/api/files/c/r/%C3%A4%20b.png?thumb=10x10&download=true"
    )
    assert root.files.url(record, "") == ""
    with pytest.raises(UsageError):
        root.files.url({}, "a.png")


async def test_a_source_that_fails_fails_the_upload(root: Client) -> None:
    await make_albums(root)

    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        await root.collection("albums").create({"title": "x", "files": Upload(broken(), "x.txt")})
    with pytest.raises(FileNotFoundError):
        await root.collection("albums").create({"title": "x", "files": Path("/nowhere/x.txt")})
    assert (await root.collection("albums").list()).total_items == 0
