"""A disk that is full and one that becomes read-only, on small file systems, under ordinary writes and kills."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Api, EventStream
from tests.e2e.server import SUPERUSER, Server, ServerError, command, make_directory, running, stop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

RECORDS = "/api/collections/notes/records"
FIELDS: list[dict[str, object]] = [{"name": "n", "type": "number"}, {"name": "text", "type": "text", "max": 1_000_000}]
TEXT = "x" * 50_000


def run(*words: str | Path) -> str:
    """Run a command that root may run. Skips the test where it can't be run here."""
    if os.geteuid() or not shutil.which(str(words[0])):
        pytest.skip(f"a small file system needs root and {words[0]}")
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small file system can be made here: {done.stderr.strip()}")
    return done.stdout


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, and nothing is mounted there after the test."""
    folder = tmp_path / "disk"
    folder.mkdir()
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


@pytest.fixture
def small(mount: Path) -> Path:
    """A file system of 6 MB."""
    run("mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", mount)
    return mount


@pytest.fixture
def fragile(mount: Path, tmp_path: Path) -> Path:
    """A file system that becomes read-only when `break_disk` reports an error in it."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(24 << 20)
    run("mkfs.ext4", "-q", image)
    run("mount", "-o", "loop,errors=remount-ro", image, mount)
    return mount


def break_disk(disk: Path) -> None:
    device = Path(run("findmnt", "-n", "-o", "SOURCE", disk).strip()).name
    trigger = Path(f"/sys/fs/ext4/{device}/trigger_fs_error")
    if not trigger.exists():
        pytest.skip("this kernel can't report an error of a file system on demand")
    trigger.write_text("1")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A directory on the disk (ask for that first) with a name outside of it, where the output goes."""
    (tmp_path / "disk" / "pb_data").mkdir()
    (tmp_path / "pb_data").symlink_to(tmp_path / "disk" / "pb_data")
    return tmp_path / "pb_data"


def prepared(server: Server) -> Api:
    api = Api(server.url)
    api.sign_in()
    api.create_open_collection("notes", FIELDS)
    api.ok("PATCH", "/api/settings", {"batch": {"enabled": True}})
    return api


def refused(api: Api, records: list[str]) -> dict[str, tuple[int, str]]:
    """What each kind of write is answered with."""
    one = f"{RECORDS}/{records[0]}"
    part = {"method": "POST", "url": RECORDS, "body": {"n": -1, "text": TEXT}}
    calls: dict[str, tuple[str, str, object]] = {
        "create": ("POST", RECORDS, {"n": -1, "text": TEXT}),
        "update": ("PATCH", one, {"n": -1, "text": TEXT + TEXT}),
        "delete": ("DELETE", one, None),
        "batch": ("POST", "/api/batch", {"requests": [part, part]}),
        "collection": ("POST", "/api/collections", {"name": "more", "type": "base", "fields": []}),
        "settings": ("PATCH", "/api/settings", {"meta": {"appName": "x"}}),
        "sign-in": ("POST", "/api/collections/_superusers/auth-with-password",
                    {"identity": SUPERUSER[0], "password": SUPERUSER[1]}),
        "list": ("GET", f"{RECORDS}?perPage=1", None),
        "logs": ("GET", "/api/logs?perPage=1", None),
        "health": ("GET", "/api/health", None),
    }  # fmt: skip
    answers = {name: api.call(*call) for name, call in calls.items()}
    return {name: (status, (body or {}).get("message", "")) for name, (status, body) in answers.items()}


REFUSED = {
    "create": (400, "Failed to create record."),
    "update": (400, "Failed to update record."),
    "delete": (
        400,
        "Failed to delete record. Make sure that the record is not part of a required relation reference.",
    ),
    "batch": (400, "Batch transaction failed."),
    "settings": (400, "An error occurred while saving the new settings."),
    "sign-in": (200, ""),
    "list": (200, ""),
    "logs": (200, ""),
    "health": (200, "API is healthy."),
}
"""As the reference answers, read off it on a full disk."""


def filled(api: Api) -> tuple[list[str], Any]:
    """Create records until one is refused; return the ids of the others and the last answer."""
    ids: list[str] = []
    while True:
        status, answer = api.call("POST", RECORDS, {"n": len(ids), "text": TEXT})
        if status != 200:
            return ids, answer
        ids.append(answer["id"])
        assert len(ids) < 1_000


def heard(stream: EventStream, count: int) -> list[str]:
    """The ids of that many events, and there are no more before the connection ends."""
    found = [re.findall(r'"record":\{.*?"id":"(\w{15})"', stream.frame())[0] for _ in range(count)]
    assert b"event:notes" not in stream.rest()
    return found


def check(data_dir: Path, ids: list[str]) -> None:
    """The databases are whole, and hold these records and no others."""
    for name in ("data.db", "auxiliary.db"):
        with closing(sqlite3.connect(data_dir / name)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with closing(sqlite3.connect(data_dir / "data.db")) as connection:
        assert {row[0] for row in connection.execute("SELECT id FROM notes WHERE n >= 0")} == set(ids)
        assert connection.execute("SELECT count(*) FROM notes WHERE n < 0").fetchone() == (0,)


def test_a_full_disk_refuses_writes_and_loses_nothing(small: Path, data_dir: Path) -> None:
    make_directory("rowcast", data_dir)
    with running("rowcast", data_dir) as server:
        api = prepared(server)
        stream = EventStream(Api(server.url), ["notes/*"])
        ids, _ = filled(api)
        answers = refused(api, ids)
        status, message = answers.pop("collection")
        assert status == 400
        assert message.startswith("Failed to create collection.")
        assert answers == REFUSED
        assert "Traceback" not in server.output()
        assert "the disk is full" in server.output()
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        assert heard(stream, len(ids)) == ids
    # Still full: what is there can be read.
    with running("rowcast", data_dir) as server:
        api = Api(server.url)
        assert api.ok("GET", f"{RECORDS}?perPage=1")["totalItems"] == len(ids)
        run("mount", "-o", "remount,size=40m", small)
        stream = EventStream(Api(server.url), ["notes/*"])
        more = [api.ok("POST", RECORDS, {"n": 1_000, "text": TEXT})["id"] for _ in range(20)]
        api.ok("DELETE", f"{RECORDS}/{ids[0]}")
        assert stop(server) == 0
        assert heard(stream, 21) == [*more, ids[0]]
    check(data_dir, [*ids[1:], *more])


def test_a_full_disk_and_kills_lose_nothing(small: Path, data_dir: Path) -> None:
    make_directory("rowcast", data_dir)
    ids: list[str] = []
    for at in range(4):
        with running("rowcast", data_dir) as server:
            api = Api(server.url)
            if not at:
                api = prepared(server)
            ids += filled(api)[0]
            assert api.call("POST", RECORDS, {"n": -1, "text": TEXT})[0] == 400
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
        check(data_dir, ids)
        # That may have taken the last room, without which a database can't be opened.
        try:
            with running("rowcast", data_dir) as server:
                assert Api(server.url).ok("GET", f"{RECORDS}?perPage=1")["totalItems"] == len(ids)
        except ServerError as error:
            assert "the disk is full" in str(error)
            assert "Traceback" not in str(error)
        run("mount", "-o", f"remount,size={8 + 2 * at}m", small)
    assert len(ids) > 80


def test_a_disk_that_becomes_read_only_is_told_and_loses_nothing(fragile: Path, data_dir: Path) -> None:
    make_directory("rowcast", data_dir)
    with running("rowcast", data_dir) as server:
        api = prepared(server)
        stream = EventStream(Api(server.url), ["notes/*"])
        ids = [api.ok("POST", RECORDS, {"n": number, "text": TEXT})["id"] for number in range(20)]
        # Commits survive a kill at once, the loss of a disk only once the kernel has written them.
        os.sync()
        break_disk(fragile)
        answers = refused(api, ids)
        assert answers.pop("collection")[0] == 400
        assert answers == REFUSED
        assert "Traceback" not in server.output()
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        assert heard(stream, len(ids)) == ids
    for words in (["serve", "--http", "127.0.0.1:0"], ["superuser", "upsert", *SUPERUSER], ["backup"]):
        line = [*command("rowcast"), *words, "--dir", str(data_dir)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert "read-only" in done.stderr
        assert "Traceback" not in done.stderr
    with pytest.raises(ServerError, match="read-only"), running("rowcast", data_dir):
        pass
    run("umount", fragile)
    run("mount", "-o", "loop", data_dir.parent / "image", fragile)
    with running("rowcast", data_dir) as server:
        api = Api(server.url)
        assert api.ok("GET", f"{RECORDS}?perPage=1")["totalItems"] == len(ids)
        ids.append(api.ok("POST", RECORDS, {"n": 100, "text": TEXT})["id"])
    check(data_dir, ids)
