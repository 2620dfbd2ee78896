"""Files of a bucket are stored before the transaction, and stay only if it commits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from rowcast.blobs import BlobError
from rowcast.blobs.removals import Removals
from rowcast.blobs.s3 import Patience, S3Blobs
from rowcast.config import S3Settings
from rowcast.errors import BadRequestError
from rowcast.records import Records
from rowcast.records.batch import Batch, BatchRequest
from rowcast.schema.request import RequestInfo
from rowcast.schema.uploads import Upload, upload
from tests.s3 import S3Server, free_port, proxied
from tests.unit.records.world import World


class Watched(S3Blobs):
    """A bucket that calls `during` in each upload, and counts them."""

    def __init__(self, settings: S3Settings, patience: Patience | None = None) -> None:
        super().__init__(settings, patience)
        self.uploads = 0
        self.during: Callable[[], object] = lambda: None

    @property
    def current(self) -> S3Blobs:
        return self

    def save(self, key: str, source: bytes | BinaryIO | Path, **options: object) -> int:
        self.uploads += 1
        size = super().save(key, source, **options)  # type: ignore[arg-type]
        self.during()
        return size


@pytest.fixture
def blobs(world: World, s3: S3Server, bucket: str) -> Watched:
    made = Watched(s3.settings(bucket=bucket))
    use(world, made)
    return made


def use(world: World, blobs: S3Blobs) -> None:
    world.records = Records(
        storage=world.storage, catalog=world.catalog, blobs=blobs, rules=world.rules, output=world.output
    )


def papers(*contents: bytes) -> list[Upload]:
    return [upload(f"paper{number}.txt", content) for number, content in enumerate(contents)]


def keys(blobs: S3Blobs) -> list[str]:
    return [info.key for info in blobs.list()]


def settled(world: World, blobs: S3Blobs) -> list[str]:
    """Return the files when all that must be deleted is."""
    world.records.removals.close()
    return keys(blobs)


def test_files_are_there_when_the_record_is(world: World, blobs: Watched) -> None:
    made = world.create("posts", {"title": "a"}, uploads={"papers": papers(b"1", b"2"), "cover": papers(b"3")})
    assert sorted(keys(blobs)) == sorted(f"posts/{made['id']}/{name}" for name in [*made["papers"], made["cover"]])
    info = blobs.info(f"posts/{made['id']}/{made['cover']}")
    assert (info.content_type, info.original_name) == ("text/plain; charset=utf-8", "paper0.txt")
    assert len(world.changes) == 1
    assert blobs.uploads == 3


def test_others_write_while_files_go_up(world: World, blobs: Watched) -> None:
    done = threading.Event()

    def other() -> None:
        world.add("posts", title="other")
        done.set()

    def during() -> None:
        threading.Thread(target=other).start()
        assert done.wait(10)

    blobs.during = during
    world.create("posts", {"title": "a"}, uploads={"papers": papers(b"1")})
    assert world.count("posts") == 2


@pytest.mark.parametrize("body", [{"title": "taken"}, {"title": ""}, {"title": "b", "kind": "q"}])
def test_what_is_refused_is_never_uploaded(world: World, blobs: Watched, body: dict[str, object]) -> None:
    world.add("posts", title="taken")
    with pytest.raises(BadRequestError):
        world.create("posts", body, uploads={"papers": papers(b"1")})
    assert (blobs.uploads, keys(blobs)) == (0, [])


def test_a_write_that_fails_after_all_takes_its_files_along(world: World, blobs: Watched) -> None:
    old = world.create("posts", {"title": "a"}, uploads={"cover": papers(b"old")})
    before = keys(blobs)
    blobs.during = lambda: world.count("posts") == 1 and world.add("posts", title="taken")
    with pytest.raises(BadRequestError) as raised:
        world.update("posts", old["id"], {"title": "taken"}, uploads={"cover": papers(b"new")})
    assert list(raised.value.data) == ["title"]
    assert settled(world, blobs) == before


def test_files_that_are_replaced_go_after_the_commit(world: World, blobs: Watched) -> None:
    made = world.create("posts", {"title": "a"}, uploads={"cover": papers(b"old")})
    blobs.save(f"posts/{made['id']}/thumbs_{made['cover']}/1x1_{made['cover']}", b"thumb")
    changed = world.update("posts", made["id"], {}, uploads={"cover": papers(b"new")})
    assert settled(world, blobs) == [f"posts/{made['id']}/{changed['cover']}"]


def test_a_record_that_is_made_anew_keeps_its_files(world: World, blobs: Watched) -> None:
    """What is deleted late must not take the files of the next record of the same id."""
    first = world.create("posts", {"title": "a"}, uploads={"cover": papers(b"1")})
    world.delete("posts", first["id"])
    again = world.create("posts", {"id": first["id"], "title": "a"}, uploads={"cover": papers(b"2")})
    assert settled(world, blobs) == [f"posts/{first['id']}/{again['cover']}"]


def test_a_bucket_that_is_down_fails_the_write_and_nothing_else(world: World, s3: S3Server) -> None:
    patience = Patience(connect_s=1, read_s=1, write_s=1, retry_s=1, retries=0)
    use(world, S3Blobs(s3.settings(port=free_port()), patience))
    with pytest.raises(BadRequestError, match="Failed to create record"):
        world.create("posts", {"title": "a"}, uploads={"papers": papers(b"1")})
    assert world.count("posts") == 0
    world.create("posts", {"title": "a"})


def test_an_upload_that_is_cut_leaves_the_old_file(world: World, s3: S3Server, bucket: str) -> None:
    patience = Patience(connect_s=2, read_s=2, write_s=2, retry_s=2, retries=0)
    with proxied(s3.port) as proxy:
        blobs = S3Blobs(s3.settings(bucket=bucket, port=proxy.port), patience)
        use(world, blobs)
        made = world.create("posts", {"title": "a"}, uploads={"cover": papers(b"old")})
        before = keys(blobs)
        proxy.up_bytes = 1 << 20
        with pytest.raises(BadRequestError, match="Failed to update record"):
            world.update("posts", made["id"], {}, uploads={"papers": papers(b"ok"), "cover": papers(b"x" * (4 << 20))})
        assert proxy.has_seen.is_set()
        assert settled(world, blobs) == before
        assert s3.pending_uploads(bucket) == 0
        with blobs.open(before[0]) as file:
            assert file.read() == b"old"


def test_batches_are_rehearsed_as_a_whole(world: World, blobs: Watched) -> None:
    batch = Batch(world.storage, world.catalog, world.records)
    counted: list[str] = []

    def run(*titles: str) -> bytes:
        requests = [
            BatchRequest(
                "POST",
                "/api/collections/posts/records",
                body={"title": title},
                uploads={"cover": papers(title.encode())},
            )
            for title in titles
        ]
        return batch.run(
            requests,
            RequestInfo(world.superuser()),
            timeout_s=20,
            count=lambda collection, action: counted.append(f"{collection.name}:{action}"),
            parse_query=lambda _: {},
        )

    run("a", "b")
    assert (blobs.uploads, len(keys(blobs)), world.count("posts")) == (2, 2, 2)
    assert counted == ["posts:create"] * 2
    with pytest.raises(BadRequestError):
        run("c", "a")
    assert (blobs.uploads, len(keys(blobs)), world.count("posts")) == (2, 2, 2)


def test_removals_are_tried_again(s3: S3Server, bucket: str) -> None:
    class Failing(S3Blobs):
        failures = 2

        @property
        def current(self) -> S3Blobs:
            return self

        def delete(self, key: str) -> None:
            if self.failures:
                self.failures -= 1
                raise BlobError("not now")
            super().delete(key)

    blobs = Failing(s3.settings(bucket=bucket))
    blobs.save("a/b/c", b"x")
    blobs.save("a/b/d", b"x")
    removals = Removals(blobs, pauses_s=(0, 0))
    removals.remove("a/b/", ["c"])
    removals.close()
    assert keys(blobs) == ["a/b/d"]
    assert blobs.failures == 0


def test_what_can_not_be_removed_is_told(s3: S3Server, caplog: pytest.LogCaptureFixture) -> None:
    patience = Patience(connect_s=1, read_s=1, write_s=1, retry_s=1, retries=0)
    removals = Removals(S3Blobs(s3.settings(port=free_port()), patience), pauses_s=())
    removals.remove("a/b/", ["c"])
    removals.close()
    assert "files of a/b/ are left over" in caplog.text
