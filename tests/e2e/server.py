"""Starts a real server process on a data directory of its own and waits until it answers.

Knows three kinds of servers: `rowcast` from this environment, the same over PostgreSQL
and, where the environment variable ROWCAST_REFERENCE names a PocketBase binary, the
reference. Tests that hold for it too show that the test itself is right.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from tests import postgres

Kind = Literal["rowcast", "postgres", "reference"]

SUPERUSER = ("root@example.com", "Password1234")

_READY_WITHIN_S = 30.0
_STOPPED_WITHIN_S = 10.0


class ServerError(Exception):
    """The server did not start or stop as it should; the message holds what it printed."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    kind: Kind
    url: str
    data_dir: Path
    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """Return what it has printed so far."""
        return self.log.read_text(errors="replace")


def command(kind: Kind) -> list[str]:
    """Return the command of a kind of server. Raises KeyError if there is no reference."""
    if kind == "reference":
        return [os.environ["ROWCAST_REFERENCE"]]
    return [str(Path(sys.executable).parent / "rowcast")]


def environment(kind: Kind, data_dir: Path) -> dict[str, str]:
    """Return what a server finds in its environment: with PostgreSQL a database that belongs to the directory."""
    if kind != "postgres":
        return {}
    note = _note(data_dir)
    if not note.exists():
        note.write_text(postgres.new_database())
    return {"ROWCAST_DB": note.read_text()}


def _note(data_dir: Path) -> Path:
    return data_dir.parent / f"{data_dir.name}.database"


def make_directory(kind: Kind, data_dir: Path) -> None:
    """Make a data directory with one superuser: a copy of one that the command line has made in this process."""
    prepared = _prepared(kind)
    shutil.copytree(prepared, data_dir, dirs_exist_ok=True)
    if kind == "postgres":
        database = postgres.new_database(like=environment(kind, prepared)["ROWCAST_DB"])
        _note(data_dir).write_text(database)


@cache
def _prepared(kind: Kind) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="rowcast-directory-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    upsert_superuser(kind, folder / "pb_data")
    return folder / "pb_data"


def upsert_superuser(kind: Kind, data_dir: Path, account: tuple[str, str] = SUPERUSER) -> None:
    """Create a superuser by the command line. Raises ServerError if that fails."""
    run = subprocess.run(
        [*command(kind), "superuser", "upsert", *account, "--dir", str(data_dir)],
        cwd=data_dir.parent,
        env={**os.environ, **environment(kind, data_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_READY_WITHIN_S,
        check=False,
    )
    if run.returncode:
        raise ServerError(f"superuser upsert ended with {run.returncode}:\n{run.stdout.decode(errors='replace')}")


@contextmanager
def running(
    kind: Kind,
    data_dir: Path,
    *,
    options: Sequence[str] = (),
    port: int = 0,
    more: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server on `data_dir` until the block ends. Raises ServerError if it does not answer in time.

    `more` stands in its environment.
    """
    port = port or free_port()
    log = data_dir.parent / f"{data_dir.name}.{port}.log"
    options = ["--dev=false", *options] if kind == "reference" else options
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*command(kind), "serve", "--dir", str(data_dir), "--http", f"127.0.0.1:{port}", *options],
            cwd=data_dir.parent,
            env={**os.environ, **environment(kind, data_dir), **(more or {})},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    server = Server(kind, f"http://127.0.0.1:{port}", data_dir, process, log)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        stop(server)


@contextmanager
def apart(data_dir: Path, bus: str) -> Iterator[Server]:
    """Run a server that sees no sockets of others, and has a bus."""
    with tempfile.TemporaryDirectory() as folder:
        more = {"XDG_RUNTIME_DIR": folder, "ROWCAST_BUS": bus}
        with running("rowcast", data_dir, more=more) as server:
            yield server


def stop(server: Server, by: signal.Signals = signal.SIGTERM) -> int:
    """End a server and return its exit status. Raises ServerError if it had to be killed."""
    if server.process.poll() is None:
        server.process.send_signal(by)
    try:
        return server.process.wait(_STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
        raise ServerError(f"the server did not stop within {_STOPPED_WITHIN_S:g} s:\n{server.output()}") from None


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise ServerError(f"the server ended with {server.process.returncode}:\n{server.output()}")
        try:
            with urllib.request.urlopen(f"{server.url}/api/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.02)
    raise ServerError(f"the server did not answer within {_READY_WITHIN_S:g} s:\n{server.output()}")


def free_port() -> int:
    """Return a port that nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
