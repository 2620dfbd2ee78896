"""Settings that are stored under a key: by whom, read by whom, and what is said without it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from tests.e2e.client import Api
from tests.e2e.server import Kind, Server, ServerError, make_directory, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

KEY, SECRET = "ROWCAST_TEST_KEY", "a very secret word"
WITH_KEY = ["--encryptionEnv", KEY]

needs_reference = pytest.mark.skipif(
    not os.environ.get("ROWCAST_REFERENCE"), reason="ROWCAST_REFERENCE does not name a PocketBase binary"
)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    make_directory("rowcast", tmp_path / "pb_data")
    return tmp_path / "pb_data"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "0123456789abcdef0123456789abcdef")


def stored(data_dir: Path) -> bytes:
    with sqlite3.connect(data_dir / "data.db") as connection:
        (value,) = connection.execute("SELECT CAST(value AS BLOB) FROM _params WHERE id = 'settings'").fetchone()
    return bytes(value)


def save(kind: Kind, data_dir: Path, name: str, options: list[str]) -> None:
    with running(kind, data_dir, options=options) as server:
        api = Api(server.url)
        api.sign_in()
        api.ok("PATCH", "/api/settings", {"meta": {"appName": name}, "smtp": {"password": SECRET}})


def app_name(kind: Kind, data_dir: Path, options: list[str]) -> str:
    with running(kind, data_dir, options=options) as server:
        api = Api(server.url)
        api.sign_in()
        return str(api.ok("GET", "/api/settings")["meta"]["appName"])


def test_a_key_that_comes_and_goes(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save("rowcast", data_dir, "plain", [])
    assert SECRET.encode() in stored(data_dir)
    # A key is used from the next save on.
    assert app_name("rowcast", data_dir, WITH_KEY) == "plain"
    assert SECRET.encode() in stored(data_dir)
    save("rowcast", data_dir, "sealed", WITH_KEY)
    assert SECRET.encode() not in stored(data_dir)
    assert b"{" not in stored(data_dir)
    assert app_name("rowcast", data_dir, WITH_KEY) == "sealed"

    refusals = {
        "": ([], "encrypted and there is no key: name the variable that holds it with --encryptionEnv"),
        "empty": (WITH_KEY, f"encrypted and there is no key: ${KEY} is empty"),
        "other": (WITH_KEY, f"can't be decrypted: the key in ${KEY} is not the one they were encrypted with"),
        "short": (WITH_KEY, f"the key in ${KEY} has 5 bytes; it must have 32"),
    }
    before = stored(data_dir)
    for case, (options, reason) in refusals.items():
        monkeypatch.setenv(KEY, {"empty": "", "other": "o" * 32, "short": "short"}.get(case, ""))
        with pytest.raises(ServerError, match="ended with 1") as raised, running("rowcast", data_dir, options=options):
            pass
        assert reason in str(raised.value)
        assert "Traceback" not in str(raised.value)
    assert stored(data_dir) == before


@needs_reference
@pytest.mark.parametrize(("writer", "reader"), [("rowcast", "reference"), ("reference", "rowcast")])
def test_one_server_reads_what_the_other_has_encrypted(data_dir: Path, writer: Kind, reader: Kind) -> None:
    save(writer, data_dir, f"by {writer}", WITH_KEY)
    assert SECRET.encode() not in stored(data_dir)
    assert app_name(reader, data_dir, WITH_KEY) == f"by {writer}"
    save(reader, data_dir, f"by {reader}", WITH_KEY)
    assert app_name(writer, data_dir, WITH_KEY) == f"by {reader}"


def restored(server: Server, end: str) -> None:
    """Restore a backup, and wait until the server says how that ended."""
    api = Api(server.url)
    api.sign_in()
    api.ok("POST", "/api/backups/one.zip/restore")
    deadline = time.monotonic() + 30
    while end not in server.output():
        assert time.monotonic() < deadline, server.output()
        time.sleep(0.02)


def test_backups_of_encrypted_settings_are_restored_with_their_key_alone(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running("rowcast", data_dir, options=WITH_KEY) as server:
        api = Api(server.url)
        api.sign_in()
        api.ok("PATCH", "/api/settings", {"meta": {"appName": SECRET}})
        api.ok("POST", "/api/backups", {"name": "one.zip"})
        api.ok("PATCH", "/api/settings", {"meta": {"appName": "later"}})
        restored(server, "the backup one.zip is restored")
    assert app_name("rowcast", data_dir, WITH_KEY) == SECRET
    assert SECRET.encode() not in stored(data_dir)
    other = data_dir.parent / "other"
    make_directory("rowcast", other)
    monkeypatch.setenv(KEY, "x" * 32)
    save("rowcast", other, "another key", WITH_KEY)
    (other / "backups").mkdir()
    shutil.copy(data_dir / "backups" / "one.zip", other / "backups")
    with running("rowcast", other, options=WITH_KEY) as server:
        restored(server, "could not be restored")
        assert "key" in server.output()
    assert app_name("rowcast", other, WITH_KEY) == "another key"
