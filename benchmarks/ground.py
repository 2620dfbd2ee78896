"""A prepared data directory: a superuser, a collection of accounts, a collection of rooms.

Made once for each kind of server; each measurement starts a server on a copy, so that
memory and caches start from the same point and nobody waits for a thousand password
hashes. All accounts share one password: the row of the first is copied by SQL.
"""

from __future__ import annotations

import secrets
import shutil
import sqlite3
import string
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.wire import Client
from tests.e2e.server import SUPERUSER, Kind, Server, running, upsert_superuser

ACCOUNTS = 1_000
TEAMS = 10
PASSWORD = "Password1234"

_ID_LETTERS = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class Ground:
    """A data directory that nobody has open. `account_ids` are in order; account n is in team `t{n % TEAMS}`."""

    kind: Kind
    folder: Path
    account_ids: tuple[str, ...]

    @contextmanager
    def copied(self) -> Iterator[Path]:
        """Copy the directory; the copy is gone when the block ends."""
        with tempfile.TemporaryDirectory(prefix="rowcast-bench-") as folder:
            data_dir = Path(folder) / "pb_data"
            shutil.copytree(self.folder, data_dir)
            yield data_dir

    @contextmanager
    def serving(self) -> Iterator[tuple[Server, int]]:
        """Run a server on a copy; gives it and its port."""
        with self.copied() as data_dir, running(self.kind, data_dir) as server:
            yield server, port_of(server)


def port_of(server: Server) -> int:
    """Return the port that a server listens at."""
    return int(server.url.rpartition(":")[2])


def email(number: int) -> str:
    """Return the address of an account."""
    return f"u{number}@example.com"


@contextmanager
def prepared(kind: Kind) -> Iterator[Ground]:
    """Make a ground; it is gone when the block ends. Raises ServerError or LoadError."""
    with tempfile.TemporaryDirectory(prefix="rowcast-bench-") as folder:
        data_dir = Path(folder) / "pb_data"
        upsert_superuser(kind, data_dir)
        with running(kind, data_dir) as server:
            _create_collections(Client(port_of(server)))
        with closing(sqlite3.connect(data_dir / "data.db")) as db, db:
            account_ids = tuple(_copy_accounts(db))
        yield Ground(kind, data_dir, account_ids)


def _create_collections(client: Client) -> None:
    token = client.sign_in(*SUPERUSER)
    team = {"name": "team", "type": "text"}
    form = {"name": "accounts", "type": "auth", "listRule": "", "viewRule": "", "fields": [team]}
    accounts = client.call("POST", "/api/collections", form, token)["id"]
    members = {"name": "members", "type": "relation", "collectionId": accounts, "maxSelect": 100_000}
    client.call("POST", "/api/collections", {"name": "rooms", "type": "base", "fields": [members]}, token)
    first = {"email": email(0), "password": PASSWORD, "passwordConfirm": PASSWORD, "team": "t0"}
    client.call("POST", "/api/collections/accounts/records", first, token)


def _copy_accounts(db: sqlite3.Connection) -> Iterator[str]:
    """Give the first account company; yields the ids of all."""
    found = db.execute("SELECT * FROM accounts")
    columns = [column[0] for column in found.description]
    first = dict(zip(columns, found.fetchone(), strict=True))
    yield first["id"]
    insert = f"INSERT INTO accounts ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    for number in range(1, ACCOUNTS):
        account_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(15))
        own = {
            "id": account_id,
            "email": email(number),
            "tokenKey": secrets.token_hex(25),
            "team": f"t{number % TEAMS}",
        }
        db.execute(insert, list({**first, **own}.values()))
        yield account_id
