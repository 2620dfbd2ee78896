"""Backups of servers that are written to, restores of servers with streams, and both killed at any moment."""

from __future__ import annotations

import ctypes
import http.client
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rowcast.storage.directory import open_directory
from tests.e2e.client import Api, EventStream
from tests.e2e.server import Kind, Server, command, make_directory, running, stop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(170)]

FIELDS: list[dict[str, object]] = [
    {"name": "n", "type": "number"},
    {"name": "text", "type": "text", "max": 1_000_000},
    {"name": "file", "type": "file", "maxSelect": 1},
]
RECORDS = "/api/collections/notes/records"
ROUNDS = 4
CHANCE = random.Random(7)  # noqa: S311 -- picks moments


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    path = tmp_path / "pb_data"
    make_directory("rowcast", path)
    return path


@pytest.fixture
def server(data_dir: Path) -> Iterator[Server]:
    with running("rowcast", data_dir) as started:
        signed_in(started).create_open_collection("notes", FIELDS)
        yield started


def signed_in(server: Server) -> Api:
    api = Api(server.url)
    api.sign_in()
    return api


def rowcast(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    run = [*command("rowcast"), *map(str, arguments)]
    return subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)


def multipart(name: str, file_name: str, content: bytes, fields: dict[str, str] | None = None) -> tuple[bytes, str]:
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in (fields or {}).items()
    ]
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="{file_name}"\r\n\r\n'
    return "".join(parts).encode() + head.encode() + content + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"


def post_form(server: Server, path: str, token: str, body: bytes, kind: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]), timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": kind, "Authorization": token})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def restored(server: Server, api: Api, key: str) -> None:
    """Restore a backup over the API, and wait until the server has gone on with it."""
    ends = ("could not be restored", f"the backup {key} is restored")
    before = sum(map(server.output().count, ends))
    api.ok("POST", f"/api/backups/{key}/restore")
    deadline = time.monotonic() + 30
    while sum(map(server.output().count, ends)) == before:
        assert time.monotonic() < deadline, server.output()
        assert server.process.poll() is None
        time.sleep(0.02)


class Writer:
    """Writes records with files, and deletes some, until it is stopped or its server is gone."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.acknowledged: dict[int, float] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        ids: list[str] = []
        try:
            while not self._is_over.is_set():
                body, kind = multipart("file", "note.txt", b"%d " % number * 50, {"n": str(number), "text": "x" * 2000})
                status, answer = post_form(self.server, RECORDS, "", body, kind)
                if status == 200:
                    self.acknowledged[number] = time.monotonic()
                    ids.append(json.loads(answer)["id"])
                number += 1
                if number % 3 == 0 and len(ids) > 5:
                    request = urllib.request.Request(
                        f"{self.server.url}{RECORDS}/{ids.pop(CHANCE.randrange(len(ids)))}", method="DELETE"
                    )
                    with urllib.request.urlopen(request, timeout=30):
                        pass
        except (OSError, http.client.HTTPException):
            return

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()


@contextmanager
def writing(server: Server) -> Iterator[Writer]:
    writer = Writer(server)
    try:
        yield writer
    finally:
        writer.stop()


def checked(root: Path) -> dict[int, str]:
    """Return the records of a directory, {n: file}; every file is there, and none besides."""
    connection = sqlite3.connect(root / "data.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    collection = connection.execute("SELECT id FROM _collections WHERE name = 'notes'").fetchone()
    rows = connection.execute("SELECT id, n, file FROM notes").fetchall() if collection else []
    connection.close()
    found = {path.relative_to(root / "storage").as_posix() for path in root.glob("storage/*/*/*.txt")}
    assert found == {f"{collection[0]}/{id}/{file}" for id, _, file in rows}
    return {int(n): file for _, n, file in rows}


def leftovers(root: Path) -> list[str]:
    known = {"data.db", "auxiliary.db", "storage", "backups", "types.d.ts"}
    return [
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.relative_to(root).parts[0] not in known and not path.name.endswith(("-wal", "-shm"))
    ]


# -- while others write ------------------------------------------------------------------------------------------------


def test_a_backup_has_all_that_was_acknowledged_and_stops_nobody(server: Server, tmp_path: Path) -> None:
    api = signed_in(server)
    for _ in range(40):
        api.ok("POST", RECORDS, {"n": -1, "text": os.urandom(200_000).hex()})
    with writing(server) as writer:
        while len(writer.acknowledged) < 20:
            time.sleep(0.01)
        for number in range(3):
            begun, count = time.monotonic(), len(writer.acknowledged)
            api.ok("POST", "/api/backups", {"name": f"{number}.zip"})
            took_s = time.monotonic() - begun
            during = [moment for moment in writer.acknowledged.values() if moment > begun]
            pauses = [after - before for before, after in itertools.pairwise(during)]
            assert len(writer.acknowledged) > count, "nobody could write meanwhile"
            assert max(pauses, default=0) < max(0.5, took_s / 2)
            run = rowcast("restore", server.data_dir / "backups" / f"{number}.zip", "--dir", tmp_path / f"r{number}")
            assert run.returncode == 0, run.stderr
            with sqlite3.connect(tmp_path / f"r{number}" / "data.db") as connection:
                stored = {n for (n,) in connection.execute("SELECT n FROM notes WHERE n >= 0")}
                connection.execute("DELETE FROM notes WHERE n < 0")
            connection.close()
            checked(tmp_path / f"r{number}")
            # Some were deleted; but what was acknowledged last is there.
            assert max(stored) >= max(n for n, moment in writer.acknowledged.items() if moment < begun)
    assert [info["key"] for info in api.ok("GET", "/api/backups")] == ["0.zip", "1.zip", "2.zip"]


def test_the_command_makes_backups_of_a_served_directory(server: Server, tmp_path: Path) -> None:
    with writing(server) as writer:
        while len(writer.acknowledged) < 10:
            time.sleep(0.01)
        before = max(writer.acknowledged)
        run = rowcast("backup", "--dir", server.data_dir, "--to", tmp_path / "out.zip")
        assert (run.returncode, run.stderr) == (0, "copy ...\narchive ...\n")
    assert rowcast("restore", tmp_path / "out.zip", "--dir", tmp_path / "new").returncode == 0
    assert max(checked(tmp_path / "new")) >= before
    refused = rowcast("restore", tmp_path / "out.zip", "--dir", server.data_dir)
    assert refused.returncode == 1
    assert "a server uses the data directory" in refused.stderr
    for arguments, text in (
        (("backup", "--dir", tmp_path / "none"), "there is no data directory"),
        (("backup", "UPPER.zip", "--dir", server.data_dir), "Must be in a valid format."),
        (("backup", "a.zip", "--to", "b.zip", "--dir", server.data_dir), "give a NAME or --to FILE, not both"),
        (("backup", "--to", tmp_path / "out.zip", "--dir", server.data_dir), "is there already"),
        (("restore", "missing.zip", "--dir", server.data_dir), "there is no file missing.zip"),
        (("restore", server.log, "--dir", tmp_path / "other"), "is no zip archive"),
    ):
        run = rowcast(*arguments)
        assert run.returncode == 1
        assert text in run.stderr
    assert rowcast("backup", "named.zip", "--dir", server.data_dir).returncode == 0
    assert (server.data_dir / "backups" / "named.zip").is_file()


# -- restoring a server that runs --------------------------------------------------------------------------------------


def test_a_restore_over_the_api_goes_back_in_place(server: Server) -> None:
    api = signed_in(server)
    kept = api.ok("POST", RECORDS, {"n": 1})
    api.ok("POST", "/api/backups", {"name": "one.zip"})
    later = api.ok("POST", RECORDS, {"n": 2})
    stream = EventStream(api, ["notes/*"])
    refused = rowcast("backup", "--dir", server.data_dir)
    assert refused.returncode == 0
    pid = server.process.pid
    restored(server, api, "one.zip")
    with pytest.raises((EOFError, ConnectionError)):
        while True:
            stream.frame()
    again = EventStream(signed_in(server), ["notes/*"])
    assert api.ok("GET", f"{RECORDS}/{kept['id']}")["n"] == 1
    assert api.call("GET", f"{RECORDS}/{later['id']}")[0] == 404
    made = api.ok("POST", RECORDS, {"n": 3})
    assert made["id"] in again.frame()
    assert server.process.pid == pid
    assert leftovers(server.data_dir) in ([], [".pb_temp_to_delete"])
    # The server holds the directory as before.
    assert rowcast("restore", server.data_dir / "backups" / "one.zip", "--dir", server.data_dir).returncode == 1


def test_cursors_of_the_replaced_state_are_not_resumed(server: Server) -> None:
    api = signed_in(server)

    def connected(cursor: str) -> dict[str, object]:
        with urllib.request.urlopen(f"{server.url}/api/realtime?cursor={cursor}", timeout=30) as answer:
            lines = [answer.readline().decode() for _ in range(3)]
        found: dict[str, object] = json.loads(lines[2].removeprefix("data:"))
        return found

    first = connected("")
    api.ok("POST", RECORDS, {"n": 1})
    position = str(connected("")["clientId"])
    assert first.get("resumed") is False
    assert connected(position)["resumed"] is True
    api.ok("POST", "/api/backups", {"name": "one.zip"})
    restored(server, api, "one.zip")
    assert connected(position)["resumed"] is False


def test_requests_wait_while_the_states_are_exchanged(server: Server) -> None:
    api = signed_in(server)
    api.ok("POST", "/api/backups", {"name": "one.zip"})
    statuses: list[int] = []
    is_over = threading.Event()

    def ask() -> None:
        reader = Api(server.url)
        while not is_over.is_set():
            statuses.append(reader.call("GET", RECORDS)[0])

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        restored(server, api, "one.zip")
    finally:
        is_over.set()
        for asker in askers:
            asker.join()
    assert set(statuses) == {200}


def test_an_archive_that_is_no_good_changes_nothing(server: Server) -> None:
    api = signed_in(server)
    made = api.ok("POST", RECORDS, {"n": 1})
    (server.data_dir / "backups").mkdir(exist_ok=True)
    with zipfile.ZipFile(server.data_dir / "backups" / "bad.zip", "w") as out:
        out.writestr("data.db", b"no database" * 1000)
    restored(server, api, "bad.zip")
    assert "data.db of the archive can't be used" in server.output()
    assert api.ok("GET", f"{RECORDS}/{made['id']}")["n"] == 1
    api.ok("POST", "/api/backups", {"name": "good.zip"})
    assert leftovers(server.data_dir) in ([], [".pb_temp_to_delete"])


def test_a_directory_that_others_use_is_not_restored(server: Server) -> None:
    api = signed_in(server)
    api.ok("POST", "/api/backups", {"name": "one.zip"})
    with closing(open_directory(server.data_dir)):
        status, answer = api.call("POST", "/api/backups/one.zip/restore")
        assert status == 400
        assert answer["message"].startswith("Other processes use the data directory;")
    restored(server, api, "one.zip")
    assert "is restored" in server.output()


def changed_since(api: Api) -> str:
    """Make a backup of one record, change everything since, and return the record's id."""
    api.create_open_collection("notes", FIELDS)
    kept = str(api.ok("POST", RECORDS, {"n": 1})["id"])
    api.ok("POST", "/api/backups", {"name": "one.zip"})
    api.ok("PATCH", f"{RECORDS}/{kept}", {"n": 2})
    api.ok("POST", RECORDS, {"n": 3})
    api.ok("PATCH", "/api/settings", {"meta": {"appName": "changed"}})
    api.create_open_collection("later", FIELDS)
    return kept


def check_restored(api: Api, kept: str) -> None:
    assert [(item["id"], item["n"]) for item in api.ok("GET", RECORDS)["items"]] == [(kept, 1)]
    assert api.ok("GET", "/api/settings")["meta"]["appName"] == "Acme"
    assert api.call("GET", "/api/collections/later")[0] == 404


def test_processes_that_share_a_directory_step_aside_for_a_restore(data_dir: Path) -> None:
    with running("rowcast", data_dir) as first, running("rowcast", data_dir) as second:
        api, beside = signed_in(first), signed_in(second)
        kept = changed_since(api)
        streams = [EventStream(Api(server.url), ["notes/*"]) for server in (first, second)]
        restored(first, api, "one.zip")
        for stream in streams:
            stream.rest()
        # The second one may be on its way still: then it answers as soon as it is there.
        for server in (second, first):
            check_restored(signed_in(server), kept)
        streams = [EventStream(Api(server.url), ["notes/*"]) for server in (first, second)]
        made = beside.ok("POST", RECORDS, {"n": 5})
        assert all(made["id"] in stream.frame() for stream in streams)
        assert "Traceback" not in first.output() + second.output()
        assert (stop(first), stop(second)) == (0, 0)
    assert leftovers(data_dir) in ([], [".pb_temp_to_delete"])


def test_workers_go_on_with_what_one_of_them_has_restored(data_dir: Path) -> None:
    with running("rowcast", data_dir, options=["--workers", "3"]) as server:
        api = signed_in(server)
        kept = changed_since(api)
        streams = [EventStream(Api(server.url), ["notes/*"]) for _ in range(9)]
        restored(server, api, "one.zip")
        for stream in streams:
            stream.rest()
        for _ in range(12):
            check_restored(signed_in(server), kept)
        assert "Traceback" not in server.output()
        assert stop(server) == 0


def test_processes_come_back_where_a_restore_fails_since_somebody_stays(data_dir: Path) -> None:
    with running("rowcast", data_dir) as server, running("rowcast", data_dir) as second:
        api = signed_in(server)
        kept = changed_since(api)
        with closing(open_directory(data_dir)):
            restored(server, api, "one.zip")
            assert "other processes use the data directory" in server.output()
            for each in (second, server):
                assert signed_in(each).ok("GET", f"{RECORDS}/{kept}")["n"] == 2
        restored(server, api, "one.zip")
        check_restored(signed_in(second), kept)


# -- kill -9 -----------------------------------------------------------------------------------------------------------


def test_kills_during_backups_lose_nothing_and_leave_nothing(data_dir: Path) -> None:
    with running("rowcast", data_dir) as server:
        signed_in(server).create_open_collection("notes", FIELDS)
    whole = 0
    for number in range(ROUNDS):
        with running("rowcast", data_dir) as server:
            api = signed_in(server)
            with writing(server) as writer:
                making = threading.Thread(target=_quietly, args=(api, f"k{number}.zip"))
                making.start()
                time.sleep(CHANCE.uniform(0.05, 0.5))
                server.process.kill()
                server.process.wait()
                making.join()
            acknowledged = set(writer.acknowledged)
        with running("rowcast", data_dir) as server:
            assert leftovers(data_dir) == []
            infos = signed_in(server).ok("GET", "/api/backups")
        connection = sqlite3.connect(data_dir / "data.db")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        stored = {n for (n,) in connection.execute("SELECT n FROM notes")}
        connection.execute("DELETE FROM notes")
        connection.commit()
        connection.close()
        # Every third one deletes another.
        assert len(acknowledged - stored) <= len(acknowledged) // 3 + 1
        for info in infos:
            assert zipfile.ZipFile(data_dir / "backups" / info["key"]).testzip() is None
        whole += f"k{number}.zip" in {info["key"] for info in infos}
        assert {path.name for path in (data_dir / "backups").glob("*")} == {
            name for info in infos for name in (info["key"], info["key"] + ".attrs")
        }
    assert whole <= ROUNDS


def _quietly(api: Api, name: str) -> None:
    try:
        api.call("POST", "/api/backups", {"name": name})
    except (OSError, http.client.HTTPException):
        return


def test_kills_during_restores_leave_the_old_or_the_new_state(data_dir: Path, tmp_path: Path) -> None:
    with running("rowcast", data_dir) as server:
        api = signed_in(server)
        api.create_open_collection("notes", FIELDS)
        body, kind = multipart("file", "note.txt", b"old", {"n": "1"})
        assert post_form(server, RECORDS, "", body, kind)[0] == 200
        api.ok("POST", "/api/backups", {"name": "one.zip"})
    outcomes = set()
    for number in range(ROUNDS):
        with running("rowcast", data_dir) as server:
            api = signed_in(server)
            body, kind = multipart("file", "note.txt", b"new", {"n": str(number + 2)})
            assert post_form(server, RECORDS, "", body, kind)[0] == 200
            api.ok("POST", "/api/backups/one.zip/restore")
            # The first second is for the answer.
            time.sleep(1 + CHANCE.uniform(0, 0.15))
            server.process.kill()
            server.process.wait()
        with running("rowcast", data_dir) as server:
            assert leftovers(data_dir) == []
            seen = {item["n"] for item in signed_in(server).ok("GET", RECORDS)["items"]}
        assert seen == set(checked(data_dir))
        assert 1 in seen
        assert number + 2 in seen or seen == {1}
        outcomes.add("old" if number + 2 in seen else "new")
    for _ in range(ROUNDS):
        process = subprocess.Popen(
            [*command("rowcast"), "restore", "one.zip", "--dir", str(data_dir)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(CHANCE.uniform(0.1, 0.6))
        process.kill()
        process.wait()
        with running("rowcast", data_dir):
            assert leftovers(data_dir) == []
        assert 1 in checked(data_dir)
    assert outcomes <= {"old", "new"}


# -- a full disk -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MB."""
    mount = tmp_path / "small"
    mount.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() or libc.mount(b"tmpfs", bytes(mount), b"tmpfs", 0, b"size=12m"):
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_is_told_and_leaves_nothing(small_disk: Path) -> None:
    data_dir = small_disk / "pb_data"
    make_directory("rowcast", data_dir)
    with running("rowcast", data_dir) as server:
        api = signed_in(server)
        api.create_open_collection("notes", FIELDS)
        kept = api.ok("POST", RECORDS, {"n": 1})
        api.ok("POST", "/api/backups", {"name": "one.zip"})
        body, kind = multipart("file", "big.zip", b"PK\x05\x06" + b"\0" * 18 + os.urandom(15 << 20))
        status, answer = post_form(server, "/api/backups/upload", api.token, body, kind)
        assert (status, json.loads(answer)["message"]) == (400, "Failed to upload backup.")
        filling = data_dir / "storage" / "filling"
        filling.parent.mkdir(exist_ok=True)
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        filling.write_bytes(os.urandom(free - 200_000))
        status, answer = api.call("POST", "/api/backups", {"name": "two.zip"})
        assert (status, answer["message"]) == (400, "Failed to create backup.")
        assert "the disk is full" in server.output()
        restored(server, api, "one.zip")
        assert "free on the disk" in server.output() or "the disk is full" in server.output()
        filling.unlink()
        assert leftovers(data_dir) in ([], [".pb_temp_to_delete"])
        assert [info["key"] for info in api.ok("GET", "/api/backups")] == ["one.zip"]
        assert sorted(path.name for path in (data_dir / "backups").iterdir()) == ["one.zip", "one.zip.attrs"]
        assert api.ok("GET", f"{RECORDS}/{kept['id']}")["n"] == 1
        api.ok("POST", "/api/backups", {"name": "three.zip"})
        assert stop(server, signal.SIGTERM) == 0


# -- the reference -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.environ.get("ROWCAST_REFERENCE"), reason="ROWCAST_REFERENCE names no PocketBase binary")
def test_archives_pass_between_rowcast_and_the_reference(tmp_path: Path) -> None:
    archive = tmp_path / "passed.zip"
    kinds: tuple[Kind, ...] = ("rowcast", "reference", "rowcast")
    for number, kind in enumerate(kinds):
        root = tmp_path / f"{kind}{number}"
        make_directory(kind, root)
        with running(kind, root) as server:
            api = signed_in(server)
            if number:
                (root / "backups").mkdir(exist_ok=True)
                (root / "backups" / "passed.zip").write_bytes(archive.read_bytes())
                api.ok("POST", "/api/backups/passed.zip/restore")
                deadline = time.monotonic() + 20
                while _count(server) != number and time.monotonic() < deadline:
                    time.sleep(0.05)
                api = signed_in(server)
                items = api.ok("GET", f"{RECORDS}?sort=n")["items"]
                assert [item["n"] for item in items] == list(range(number))
                for item in items:
                    url = f"{server.url}/api/files/notes/{item['id']}/{item['file']}"
                    assert urllib.request.urlopen(url, timeout=10).read() == b"content"
            else:
                api.create_open_collection("notes", FIELDS)
            body, form = multipart("file", "note.txt", b"content", {"n": str(number)})
            assert post_form(server, RECORDS, "", body, form)[0] == 200
            api.ok("POST", "/api/backups", {"name": "made.zip"})
            archive.write_bytes((root / "backups" / "made.zip").read_bytes())


def _count(server: Server) -> int:
    try:
        with urllib.request.urlopen(f"{server.url}{RECORDS}", timeout=5) as answer:
            return int(json.load(answer)["totalItems"])
    except (OSError, http.client.HTTPException):
        return -1
