"""A real server that speaks S3, as a process on loopback, and a proxy that stands in its way.

The server is moto's, which keeps its objects in memory. The proxy can cut
transfers after some bytes, freeze them, or refuse them, as networks do.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rowcast.config import S3Settings

BUCKET = "files"
REGION = "us-east-1"

_READY_WITHIN_S = 30.0


@dataclass(frozen=True)
class S3Server:
    """A server with one empty bucket."""

    port: int
    process: subprocess.Popen[bytes]

    def settings(self, *, bucket: str = BUCKET, port: int = 0) -> S3Settings:
        """Return what the settings of a server say of the bucket, at another port where a proxy stands before it."""
        return S3Settings(
            enabled=True,
            bucket=bucket,
            region=REGION,
            endpoint=f"http://127.0.0.1:{port or self.port}",
            access_key="key",
            secret="secret",
            force_path_style=True,
        )

    def make_bucket(self, name: str = BUCKET) -> None:
        """Make an empty bucket."""
        self.request("PUT", f"/{name}")

    def pending_uploads(self, bucket: str = BUCKET) -> int:
        """Return how many uploads in parts were begun and neither finished nor given up."""
        return self.request("GET", f"/{bucket}?uploads").count(b"<UploadId>")

    def keys(self, bucket: str = BUCKET) -> list[str]:
        """Return the keys of all objects."""
        text = self.request("GET", f"/{bucket}?list-type=2").decode()
        return [part.partition("</Key>")[0] for part in text.split("<Key>")[1:]]

    def request(self, method: str, path: str) -> bytes:
        """Ask the server, as its owner."""
        scope = f"key/20260101/{REGION}/s3/aws4_request"
        signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none"
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(
            urllib.request.Request(url, method=method, headers={"Authorization": signed}), timeout=10
        ) as answer:
            body: bytes = answer.read()
        return body


@contextmanager
def running_s3(log: Path) -> Iterator[S3Server]:
    """Run a server until the block ends."""
    port = free_port()
    program = str(Path(sys.executable).parent / "moto_server")
    with log.open("wb") as sink:
        process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=sink, stderr=sink)
    try:
        _wait_until_ready(port, process, log)
        server = S3Server(port, process)
        server.make_bucket()
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the S3 server did not start:\n{log.read_text(errors='replace')}")


def free_port() -> int:
    """Return a port that nobody listens at just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Proxy:
    """Passes connections on to a port, until told to behave otherwise.

    `up_bytes` and `down_bytes` are how many bytes of a connection are passed on before
    it is cut; None for all. Only `cuts_left` are cut, where that is no None. `is_frozen`
    keeps connections open without passing anything.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.up_bytes: int | None = None
        self.down_bytes: int | None = None
        self.cuts_left: int | None = None
        self.is_frozen = False
        self.connections = 0
        self.has_seen = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Cut everything."""
        if self._listener.fileno() < 0:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._sockets):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(client)
            if self.is_frozen:
                self.has_seen.set()
                continue
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets.append(server)
            for source, sink in ((client, server), (server, client)):
                thread = threading.Thread(target=self._pass, args=(source, sink, source is client), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket, is_up: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.is_frozen:
                    self.has_seen.set()
                    return
                passed += len(data)
                limit = self.up_bytes if is_up else self.down_bytes
                if limit is not None and passed > limit and self.cuts_left != 0:
                    self.cuts_left = self.cuts_left and self.cuts_left - 1
                    self.has_seen.set()
                    break
                sink.sendall(data)
            for one in (source, sink):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(target: int) -> Iterator[Proxy]:
    """Run a proxy until the block ends."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
