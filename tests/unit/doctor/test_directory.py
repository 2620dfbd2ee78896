from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from rowcast import cli
from rowcast.doctor import examine, machine
from rowcast.doctor.findings import Finding, exit_status, some
from tests.unit.api.client import serving
from tests.unit.api.conftest import Template

OLD = time.time() - 7200


def look(path: Path, *, fix: bool = False) -> list[Finding]:
    return list(examine.directory(path, streams=100, fix=fix))


def bad(path: Path) -> dict[str, str]:
    """What is not as it should be, by check. The machine that runs the tests is not the matter."""
    machine_checks = {"disk", "backlog", "open files"}
    return {
        one.check: f"{one.level}: {one.text}"
        for one in look(path)
        if one.level != "ok" and one.check not in machine_checks
    }


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path / "data.db")
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def collection_id(path: Path, name: str) -> str:
    connection = sqlite3.connect(path / "data.db")
    found = connection.execute("SELECT id FROM _collections WHERE name = ?", (name,)).fetchone()
    connection.close()
    return str(found[0])


def put(path: Path, text: str = "x", at: float = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))
    os.utime(path.parent, (at, at))
    return path


def with_file(data_dir: Path) -> Path:
    """A record that names a file, and the file."""
    change(data_dir, "INSERT INTO posts (id, title, files) VALUES ('record000000001', 't', '[\"a.txt\"]')")
    return put(data_dir / "storage" / collection_id(data_dir, "posts") / "record000000001" / "a.txt")


def state(path: Path) -> dict[str, tuple[int, int]]:
    return {
        file.relative_to(path).as_posix(): (file.stat().st_size, file.stat().st_mtime_ns)
        for file in path.rglob("*")
        if file.is_file()
    }


def test_a_good_directory_is_well_and_stays_as_it_was(data_dir: Path) -> None:
    with_file(data_dir)
    before = state(data_dir)
    assert bad(data_dir) == {}
    assert state(data_dir) == before


def test_a_directory_in_use_is_looked_at_beside_its_server(data_dir: Path, template: Template) -> None:
    async def play() -> tuple[dict[str, str], int]:
        async with serving(data_dir) as client:
            for _ in range(3):
                await client("POST", "/api/collections/posts/records", {"title": "a"})
            found = await asyncio.to_thread(bad, data_dir)
            # Nothing keeps the server from writing on.
            return found, (await client("POST", "/api/collections/posts/records", {"title": "b"})).status

    assert asyncio.run(play()) == ({}, 200)


def test_a_damaged_database_is_told(data_dir: Path) -> None:
    change(data_dir, *["INSERT INTO posts (id, title) VALUES (hex(randomblob(8)), hex(randomblob(500)))"] * 200)
    file = data_dir / "data.db"
    size = file.stat().st_size
    with file.open("r+b") as damaged:
        damaged.seek(size - 60_000)
        damaged.write(b"\xff" * 50_000)
    found = bad(data_dir)
    assert found["data.db integrity"].startswith("problem: data.db ")
    assert "damaged" in found["data.db integrity"]
    assert exit_status(look(data_dir)) == 2


def test_what_is_no_database_is_told(data_dir: Path) -> None:
    (data_dir / "data.db").write_bytes(b"no database at all" * 1000)
    assert bad(data_dir)["data.db integrity"].startswith("problem: data.db can't be read")


BROKEN = {
    "table": (("DROP TABLE posts",), "tables", "problem: The collection posts has no table"),
    "stranger": (("CREATE TABLE mine (a)",), "tables", "warning: No collection has the tables mine"),
    "column": (("ALTER TABLE posts DROP COLUMN count",), "columns", "problem: The table posts lacks the columns count"),
    "more": (("ALTER TABLE posts ADD extra TEXT",), "columns", "warning: The table posts has columns of no"),
    "index": (
        ("CREATE INDEX by_hand ON posts (title)",), "indexes",
        "warning: The table posts has indexes that its collection does not name: by_hand",
    ),
    "no index": (("DROP INDEX idx_mfas_collectionRef_recordRef",), "indexes", "problem: The index idx_mfas_"),
    "other index": (
        (
            "DROP INDEX idx_mfas_collectionRef_recordRef",
            "CREATE INDEX idx_mfas_collectionRef_recordRef ON _mfas (method)",
        ),
        "indexes", "warning: The index idx_mfas_collectionRef_recordRef of _mfas is not as",
    ),
    "settings": (("UPDATE _params SET value = 'x' WHERE id = 'settings'",), "settings", "problem: The settings can't"),
    "fields": (
        ("UPDATE _collections SET fields = '[{\"type\":\"odd\"}]' WHERE name = 'posts'",), "collections",
        "problem: The collections can't be read",
    ),
    "system": (("DROP TABLE _mfas",), "tables", "problem: The data directory was written by"),
    "dangling": (
        (
            "CREATE TABLE parents (id INTEGER PRIMARY KEY)",
            "CREATE TABLE children (parent REFERENCES parents (id))",
            "INSERT INTO children VALUES (5)",
        ),
        "data.db foreign keys", "problem: 1 rows of children refer",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_what_does_not_agree_is_told(data_dir: Path, fault: str) -> None:
    statements, check, said = BROKEN[fault]
    change(data_dir, *statements)
    assert bad(data_dir)[check].startswith(said)


def test_an_adopted_table_is_known_as_long_as_it_is_there(data_dir: Path) -> None:
    change(data_dir, "CREATE TABLE old (id TEXT PRIMARY KEY NOT NULL, note TEXT)")
    arguments = ["adopt", "old", "--collection", "kept", "--capture", "--dir", str(data_dir)]
    assert CliRunner().invoke(cli.command, arguments).exit_code == 0
    assert bad(data_dir) == {}
    change(data_dir, "DROP TABLE old")
    assert "The view kept can't be read" in bad(data_dir)["tables"]


def test_a_missing_file_is_told(data_dir: Path) -> None:
    with_file(data_dir).unlink()
    assert bad(data_dir)["files"].startswith("problem: 1 files are named by records but gone")


def test_orphans_are_told_but_kept(data_dir: Path) -> None:
    folder = with_file(data_dir).parent
    orphans = [put(folder / "other.txt"), put(data_dir / "storage" / "gone" / "r" / "a.txt")]
    put(folder / "fresh.txt", at=time.time())
    assert bad(data_dir)["files"] == "warning: 2 files in storage belong to no record: other.txt, a.txt."
    look(data_dir, fix=True)
    assert all(path.exists() for path in orphans)


def test_fix_deletes_only_what_nobody_can_miss(data_dir: Path) -> None:
    original = with_file(data_dir)
    folder = original.parent
    kept = [original, put(folder / "a.txt.attrs"), put(folder / "thumbs_a.txt" / "100x100_a.txt")]
    young = put(folder / ".00112233445566ff.tmp", at=time.time())
    gone = [put(folder / ".0011223344556677.tmp"), put(folder / "thumbs_b.png" / "100x100_b.png")]
    assert set(bad(data_dir)) == {"leftovers", "thumbs"}
    assert all(path.exists() for path in gone), "looking must not delete"
    look(data_dir, fix=True)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in [*kept, young])
    assert bad(data_dir) == {}


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    assert bad(tmp_path / "none")["directory"].startswith("problem: There is no data directory")
    assert not (tmp_path / "none").exists()


def test_everybody_may_write_is_told(data_dir: Path) -> None:
    (data_dir / "data.db").chmod(0o666)
    assert bad(data_dir)["permissions"] == "warning: Everybody may write data.db."


def test_a_low_limit_of_open_files_is_told() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))\n"
        "from rowcast.doctor.machine import open_files\n"
        "print([one.level for one in open_files(10_000) if '512' in one.text], next(open_files(100)).level)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['problem'] ok"


def test_versions_name_the_libraries() -> None:
    said = machine.versions("3.0").text
    assert all(name in said for name in ("rowcast ", "Python 3", "SQLite 3.0", "apsw ", "uvloop "))


@pytest.mark.parametrize(
    ("levels", "status"), [((), 0), (("ok",), 0), (("ok", "warning"), 1), (("problem", "warning"), 2)]
)
def test_status_is_that_of_the_worst(levels: tuple[str, ...], status: int) -> None:
    findings = [msgspec.convert({"level": level, "check": "a", "text": "b"}, Finding) for level in levels]
    assert exit_status(findings) == status


def test_long_lists_are_cut() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some(list("abcdefg")) == "a, b, c, d, e and 2 more"


@pytest.fixture
def run() -> Callable[..., tuple[int, str]]:
    def call(*args: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli.command, cli.ordered(["doctor", "--streams", "100", *args]))
        return result.exit_code, result.output

    return call


def test_command_tells_in_words_and_in_json(data_dir: Path, run: Callable[..., tuple[int, str]]) -> None:
    change(data_dir, "DROP TABLE posts")
    status, text = run("--dir", str(data_dir))
    assert status == 2
    assert "problem  tables: The collection posts has no table.\n         → restore" in text
    status, text = run("--dir", str(data_dir), "--json")
    told = msgspec.json.decode(text)
    assert (status, told["status"]) == (2, "problem")
    assert any(one["check"] == "tables" and one["mend"] for one in told["findings"])


def test_command_refuses_what_is_no_address(run: Callable[..., tuple[int, str]]) -> None:
    status, text = run("--url", "ftp://x")
    assert status == 1
    assert "is not an address" in text
