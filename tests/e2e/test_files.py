"""Large files with flat memory, and what breaks on their way: a clear error, nothing lost, nothing left over."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rowcast.config import S3Settings
from tests.e2e.client import Api
from tests.e2e.server import Server, make_directory, running
from tests.s3 import Proxy, S3Server, proxied

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

MB = 1 << 20
SIZE_MB = int(os.environ.get("ROWCAST_LARGE_FILE_MB", "150"))
"""How large a large file is; the figures in docs/files.md are of 500."""

GROWTH_MB = 48
"""How much more memory a server may take while a large file passes."""

BLOCK = os.urandom(MB)
RECORDS = "/api/collections/docs/records"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """rowcast with an open collection of files of any size."""
    with prepared(tmp_path / "pb_data") as started:
        yield started


@contextlib.contextmanager
def prepared(data_dir: Path) -> Iterator[Server]:
    make_directory("rowcast", data_dir)
    with running("rowcast", data_dir) as started:
        api = Api(started.url)
        api.sign_in()
        fields: list[dict[str, object]] = [
            {"name": "title", "type": "text", "max": 20},
            {"name": "file", "type": "file", "maxSelect": 1, "maxSize": 2000 * MB},
        ]
        api.create_open_collection("docs", fields)
        yield started


def use(server: Server, settings: S3Settings) -> None:
    api = Api(server.url)
    api.sign_in()
    api.ok("PATCH", "/api/settings", {"s3": msgspec.to_builtins(settings)})


def upload(
    server: Server, size_mb: int, *, title: str = "", record: str = "", timeout_s: float = 120
) -> tuple[int, Any]:
    """Send a file of some MB piece by piece."""
    head = (
        f'--XX\r\nContent-Disposition: form-data; name="title"\r\n\r\n{title}\r\n'
        '--XX\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'
    ).encode()
    end = b"\r\n--XX--\r\n"
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=timeout_s)
    with contextlib.closing(connection):
        connection.putrequest("PATCH" if record else "POST", f"{RECORDS}/{record}" if record else RECORDS)
        connection.putheader("Content-Type", "multipart/form-data; boundary=XX")
        connection.putheader("Content-Length", str(len(head) + size_mb * MB + len(end)))
        connection.endheaders(head)
        for _ in range(size_mb):
            connection.send(BLOCK)
        connection.send(end)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def download(server: Server, record: dict[str, Any], headers: dict[str, str] | None = None) -> tuple[int, str, int]:
    """Return the status, the digest and the size of what comes."""
    digest, size = hashlib.sha256(), 0
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=120)
    with contextlib.closing(connection):
        connection.request("GET", f"/api/files/docs/{record['id']}/{record['file']}", headers=headers or {})
        answer = connection.getresponse()
        while piece := answer.read(MB):
            digest.update(piece)
            size += len(piece)
        return answer.status, digest.hexdigest(), size


def digest_of(size_mb: int) -> str:
    digest = hashlib.sha256()
    for _ in range(size_mb):
        digest.update(BLOCK)
    return digest.hexdigest()


def port_of(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


def peak_mb(server: Server) -> float:
    """Return the most memory that a server has had so far."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def stored(server: Server) -> list[Path]:
    folders = (server.data_dir / "storage", server.data_dir / ".pb_temp_to_delete")
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


def count(server: Server) -> int:
    total: int = Api(server.url).ok("GET", RECORDS)["totalItems"]
    return total


def wait_until(check: Callable[[], bool], what: str) -> None:
    """Wait for what no event tells: the end of another process's work."""
    done = threading.Event()
    for _ in range(400):
        if check():
            return
        done.wait(0.05)
    raise AssertionError(what)


def test_a_large_file_passes_with_flat_memory(server: Server) -> None:
    upload(server, 1)
    before = peak_mb(server)
    status, record = upload(server, SIZE_MB)
    assert status == 200
    assert download(server, record) == (200, digest_of(SIZE_MB), SIZE_MB * MB)
    after = peak_mb(server)
    assert after - before < GROWTH_MB
    assert not list((server.data_dir / ".pb_temp_to_delete").iterdir())


def test_a_large_file_passes_to_a_bucket_with_flat_memory(server: Server, s3: S3Server, bucket: str) -> None:
    use(server, s3.settings(bucket=bucket))
    status, record = upload(server, 1)
    download(server, record)
    before = peak_mb(server)
    status, record = upload(server, SIZE_MB)
    assert status == 200
    assert download(server, record) == (200, digest_of(SIZE_MB), SIZE_MB * MB)
    after = peak_mb(server)
    assert after - before < GROWTH_MB + 32  # the parts on their way
    assert download(server, record, {"Range": f"bytes={(SIZE_MB - 1) * MB}-"}) == (
        206,
        hashlib.sha256(BLOCK).hexdigest(),
        MB,
    )
    assert stored(server) == []


def test_others_are_answered_while_a_bucket_hangs(server: Server, s3: S3Server, bucket: str) -> None:
    with proxied(s3.port) as proxy:
        use(server, s3.settings(bucket=bucket, port=proxy.port))
        status, record = upload(server, 1)
        assert status == 200
        proxy.is_frozen = True
        with ThreadPoolExecutor(60) as threads:
            asked: list[Future[tuple[Any, ...]]] = [
                *(threads.submit(download, server, record) for _ in range(40)),
                *(threads.submit(upload, server, 1) for _ in range(20)),
            ]
            assert proxy.has_seen.wait(20)
            api = Api(server.url)
            for _ in range(20):
                api.ok("POST", RECORDS, {"title": "small"})
                api.ok("GET", RECORDS)
            assert not any(future.done() for future in asked)
            # It comes back before the time is up.
            proxy.is_frozen = False
            proxy.close()
            assert {future.result()[0] for future in asked} <= {200, 400, 404}
    assert server.process.poll() is None


def test_a_bucket_that_breaks_in_a_download_ends_it_as_not_whole(server: Server, s3: S3Server, bucket: str) -> None:
    with proxied(s3.port) as proxy:
        use(server, s3.settings(bucket=bucket, port=proxy.port))
        _, record = upload(server, 20)
        connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=120)
        with contextlib.closing(connection):
            connection.request("GET", f"/api/files/docs/{record['id']}/{record['file']}")
            answer = connection.getresponse()
            assert len(answer.read(MB)) == MB
            proxy.down_bytes = 1000
            with pytest.raises(http.client.IncompleteRead):
                answer.read()
        proxy.down_bytes = None
        assert download(server, record)[:2] == (200, digest_of(20))
        assert "Traceback" not in server.output()


def test_a_bucket_that_breaks_in_an_upload_leaves_the_old_file(server: Server, s3: S3Server, bucket: str) -> None:
    with proxied(s3.port) as proxy:
        use(server, s3.settings(bucket=bucket, port=proxy.port))
        _, record = upload(server, 1)
        before = s3.keys(bucket)
        proxy.up_bytes = 2 * MB
        status, error = upload(server, 20, record=record["id"])
        assert (status, error["message"]) == (400, "Failed to update record.")
        assert s3.keys(bucket) == before
        assert s3.pending_uploads(bucket) == 0
        proxy.up_bytes = None
        assert download(server, record)[:2] == (200, digest_of(1))
    assert stored(server) == []


def test_a_client_that_stops_half_way_leaves_nothing(server: Server) -> None:
    head = (
        f"POST {RECORDS} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=XX\r\n"
        f"Content-Length: {100 * MB}\r\n\r\n"
        '--XX\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'
    ).encode()
    with socket.create_connection(("127.0.0.1", port_of(server)), 20) as client:
        client.sendall(head + BLOCK * 5)
        wait_until(lambda: len(stored(server)) == 1, "nothing arrived")
    wait_until(lambda: stored(server) == [], f"left over: {stored(server)}")
    assert count(server) == 0
    # and one that stops to read
    _, record = upload(server, 30)
    with socket.create_connection(("127.0.0.1", port_of(server)), 20) as client:
        client.sendall(f"GET /api/files/docs/{record['id']}/{record['file']} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
    wait_until(lambda: not is_open(server, record["file"]), "the file is still open")
    assert download(server, record)[:2] == (200, digest_of(30))


def is_open(server: Server, name: str) -> bool:
    """Whether a server has a file of this name open."""
    for path in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if path.readlink().name == name:
                return True
    return False


def test_a_server_stops_in_time_while_a_bucket_hangs(tmp_path: Path, s3: S3Server, bucket: str) -> None:
    with proxied(s3.port) as proxy, prepared(tmp_path / "pb_data") as server:
        use(server, s3.settings(bucket=bucket, port=proxy.port))
        _, record = upload(server, 1)
        proxy.is_frozen = True
        Api(server.url).ok("DELETE", f"{RECORDS}/{record['id']}")
        assert proxy.has_seen.wait(20)
        started = time.monotonic()
        server.process.terminate()
        assert server.process.wait(60) == 0
        assert time.monotonic() - started < 40
        assert "are left over" in server.output()


@pytest.mark.skipif("ROWCAST_REFERENCE" not in os.environ, reason="ROWCAST_REFERENCE does not name a PocketBase binary")
def test_a_bucket_passes_between_the_reference_and_rowcast(tmp_path: Path, s3: S3Server, bucket: str) -> None:
    data_dir = tmp_path / "pb_data"
    records = []
    with prepared(data_dir) as server:
        use(server, s3.settings(bucket=bucket))
        records.append(upload(server, 9)[1])
    for kind in ("reference", "rowcast"):
        with running(kind, data_dir) as server:
            records.append(upload(server, 9)[1])
            for record in records:
                assert download(server, record) == (200, digest_of(9), 9 * MB)
                assert download(server, record, {"Range": f"bytes={8 * MB}-"})[0] == 206
    with running("reference", data_dir) as server:
        for record in records:
            Api(server.url).ok("DELETE", f"{RECORDS}/{record['id']}")
        wait_until(lambda: s3.keys(bucket) == [], "files are left over")


def test_what_is_refused_leaves_nothing(server: Server) -> None:
    status, error = upload(server, 3, title="x" * 21)
    assert (status, list(error["data"])) == (400, ["title"])
    assert stored(server) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_is_a_clear_error_and_loses_nothing(small_disk: Path) -> None:
    with prepared(small_disk / "pb_data") as server:
        status, record = upload(server, 4)
        assert status == 200
        before = stored(server)
        for target in ("", record["id"]):
            status, error = upload(server, 40, record=target)
            assert (status, error["message"]) == (507, "The server has no room for the files.")
        assert stored(server) == before
        assert count(server) == 1
        assert download(server, record)[:2] == (200, digest_of(4))
        Api(server.url).ok("POST", RECORDS, {"title": "goes on"})


def test_a_killed_server_leaves_files_that_the_next_one_sweeps(tmp_path: Path) -> None:
    data_dir = tmp_path / "pb_data"
    with prepared(data_dir) as server:
        with socket.create_connection(("127.0.0.1", port_of(server)), 20) as client:
            head = (
                f"POST {RECORDS} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=XX\r\n"
                f"Content-Length: {100 * MB}\r\n\r\n"
                '--XX\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'
            ).encode()
            client.sendall(head + BLOCK * 5)
            wait_until(lambda: len(stored(server)) == 1, "nothing arrived")
            server.process.kill()
            server.process.wait()
        (left,) = stored(server)
        os.utime(left, (0, 0))
        with running("rowcast", data_dir) as again:
            assert stored(again) == []
            assert count(again) == 0


def test_proxies_are_closed(s3: S3Server) -> None:
    proxy = Proxy(s3.port)
    proxy.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", proxy.port), 1)
