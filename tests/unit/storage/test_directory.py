"""Data directories: new ones, those of the reference, and those that can't be opened."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import apsw
import pytest

from rowcast.errors import DataDirError
from rowcast.schema.fields import TextField
from rowcast.storage import UniqueError
from rowcast.storage.catalog_rows import (
    delete_collection,
    insert_collection,
    load_catalog,
    options_json,
    update_collection,
)
from rowcast.storage.directory import DataDir, open_directory
from rowcast.storage.migrations import SYSTEM_MIGRATIONS
from rowcast.storage.settings_rows import load_settings, save_settings

ROOT = Path(__file__).parents[3]
CONFORMANCE = Path(os.environ.get("ROWCAST_CONFORMANCE", ROOT.parent / "shared" / "conformance"))
REFERENCE = os.environ.get("ROWCAST_REFERENCE", "")
NO_ROOT = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pb_data"


def create(path: Path) -> None:
    open_directory(path).close()


def change(path: Path, *statements: str, file: str = "data.db") -> None:
    connection = apsw.Connection(str(path / file))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def query(path: Path, sql: str, file: str = "data.db") -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(path / file), apsw.SQLITE_OPEN_READONLY)
    rows = connection.execute(sql).fetchall()
    connection.close()
    return rows


def digests(path: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.iterdir() if file.is_file()}


def run(code: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )


class TestNew:
    def test_has_the_default_collections_in_their_order(self, path: Path) -> None:
        opened = open_directory(path)
        names = ["_mfas", "_otps", "_externalAuths", "_authOrigins", "_superusers", "users"]
        assert [c.name for c in opened.catalog] == names
        assert [c.id for c in opened.catalog] == [
            "pbc_2279338944",
            "pbc_1638494021",
            "pbc_2281828961",
            "pbc_4275539003",
            "pbc_3142635823",
            "_pb_users_auth_",
        ]
        opened.close()

    def test_lists_the_migrations_of_the_reference(self, path: Path) -> None:
        create(path)
        rows = query(path, "SELECT file, applied FROM _migrations ORDER BY applied")
        assert tuple(row[0] for row in rows) == SYSTEM_MIGRATIONS
        assert all(isinstance(row[1], int) and row[1] > 1_600_000_000_000_000 for row in rows)

    def test_stores_the_settings_as_the_reference_does(self, path: Path) -> None:
        create(path)
        ((kind, value),) = query(path, "SELECT typeof(value), CAST(value AS TEXT) FROM _params WHERE id = 'settings'")
        assert kind == "blob"
        assert str(value).startswith('{"superuserIPs":[],"smtp":{"enabled":false,"port":587,"host":"smtp.example.com"')

    def test_has_tables_with_their_columns_and_indexes(self, path: Path) -> None:
        create(path)
        ((sql,),) = query(path, "SELECT sql FROM sqlite_schema WHERE name = '_superusers'")
        assert sql == (
            "CREATE TABLE `_superusers` (`created` TEXT DEFAULT '' NOT NULL, `email` TEXT DEFAULT '' NOT NULL, "
            "`emailVisibility` BOOLEAN DEFAULT FALSE NOT NULL, "
            "`id` TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL, "
            "`password` TEXT DEFAULT '' NOT NULL, `tokenKey` TEXT DEFAULT '' NOT NULL, "
            "`updated` TEXT DEFAULT '' NOT NULL, `verified` BOOLEAN DEFAULT FALSE NOT NULL)"
        )
        indexes = {row[0] for row in query(path, "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql != ''")}
        assert indexes == {
            "idx__collections_type",
            "idx_mfas_collectionRef_recordRef",
            "idx_otps_collectionRef_recordRef",
            "idx_externalAuths_record_provider",
            "idx_externalAuths_collection_provider",
            "idx_authOrigins_unique_pairs",
            "idx_tokenKey_pbc_3142635823",
            "idx_email_pbc_3142635823",
            "idx_tokenKey__pb_users_auth_",
            "idx_email__pb_users_auth_",
        }

    def test_has_secrets_of_its_own(self, tmp_path: Path) -> None:
        seen = set()
        for name in ("one", "two"):
            opened = open_directory(tmp_path / name)
            for collection in opened.catalog:
                if collection.auth is not None:
                    for options in options_json(collection).values():
                        if isinstance(options, dict) and "secret" in options:
                            assert re.fullmatch("[A-Za-z0-9]{50}", options["secret"])
                            seen.add(options["secret"])
            opened.close()
        assert len(seen) == 2 * 2 * 5

    def test_is_not_made_twice(self, path: Path) -> None:
        create(path)
        before = query(path, "SELECT * FROM _collections")
        create(path)
        assert query(path, "SELECT * FROM _collections") == before

    def test_fills_an_empty_directory_and_empty_files(self, path: Path) -> None:
        path.mkdir()
        (path / "data.db").touch()
        create(path)
        assert len(query(path, "SELECT 1 FROM _collections")) == 6

    def test_processes_that_start_together_make_it_once(self, path: Path) -> None:
        code = "import sys; from rowcast.storage.directory import open_directory; open_directory(sys.argv[1]).close()"
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        children = [subprocess.Popen([sys.executable, "-c", code, path], env=env) for _ in range(3)]
        assert [child.wait(50) for child in children] == [0, 0, 0]
        assert len(query(path, "SELECT 1 FROM _collections")) == 6

    def test_leaves_no_log_behind(self, path: Path) -> None:
        create(path)
        assert sorted(file.name for file in path.iterdir()) == ["auxiliary.db", "data.db"]


class TestExisting:
    @pytest.fixture
    def base(self, path: Path) -> Path:
        if not (CONFORMANCE / "base").is_dir():
            pytest.skip("there is no directory of the reference at hand (ROWCAST_CONFORMANCE)")
        shutil.copytree(CONFORMANCE / "base", path)
        return path

    def test_opens_and_stays_as_it_is(self, base: Path) -> None:
        tables = [row[0] for row in query(base, "SELECT name FROM sqlite_schema WHERE type = 'table'")]
        before = [query(base, f"SELECT * FROM `{table}`") for table in tables]
        opened = open_directory(base)
        assert [c.name for c in opened.catalog][:4] == ["users", "demo1", "demo2", "demo3"]
        assert opened.settings.meta.app_name == "acme_test"
        opened.close()
        assert [query(base, f"SELECT * FROM `{table}`") for table in tables] == before

    def test_rows_that_are_written_back_say_the_same(self, base: Path) -> None:
        columns = "name, system, type, fields, indexes, listRule, viewRule, options, created, updated"
        before = query(base, f"SELECT {columns} FROM _collections ORDER BY rowid")
        opened = open_directory(base)
        with opened.data.write() as tx:
            for collection in opened.catalog:
                update_collection(tx, collection)
        opened.close()
        after = query(base, f"SELECT {columns} FROM _collections ORDER BY rowid")
        assert [self.parsed(row) for row in after] == [self.parsed(row) for row in before]

    @staticmethod
    def parsed(row: tuple[object, ...]) -> list[object]:
        values = [json.loads(v) if isinstance(v, str) and v[:1] in {"{", "["} else v for v in row]
        fields, options = values[3], values[7]
        assert isinstance(fields, list)
        assert isinstance(options, dict)
        for field in fields:
            if field["type"] != "autodate":
                field.setdefault("help", "")  # younger than the directory
        if "oauth2" in options:
            options["oauth2"]["providers"] = options["oauth2"]["providers"] or []
        return values

    def test_settings_round_trip(self, base: Path) -> None:
        ((before,),) = query(base, "SELECT CAST(value AS TEXT) FROM _params WHERE id = 'settings'")
        opened = open_directory(base)
        with opened.data.write() as tx:
            save_settings(tx, opened.settings, opened.key)
            assert load_settings(tx) == opened.settings
        opened.close()
        ((after,),) = query(base, "SELECT CAST(value AS TEXT) FROM _params WHERE id = 'settings'")
        assert json.loads(str(after)) | {"meta": 0} == json.loads(str(before)) | {"meta": 0}


class TestRefused:
    def refusal(self, path: Path) -> str:
        """Open `path`, which must fail and change nothing; return the text."""
        before = digests(path) if path.is_dir() else {}
        with pytest.raises(DataDirError) as raised:
            open_directory(path)
        if before:
            assert {name: digest for name, digest in digests(path).items() if name in before} == before
        return str(raised.value)

    def test_a_file(self, path: Path) -> None:
        path.touch()
        assert "can't be made" in self.refusal(path)

    def test_what_is_no_database(self, path: Path) -> None:
        path.mkdir()
        (path / "data.db").write_text("some text, but no database" * 50)
        assert "data.db can't be opened: the file is not a SQLite database" in self.refusal(path)

    def test_a_damaged_database(self, path: Path) -> None:
        create(path)
        content = (path / "data.db").read_bytes()
        (path / "data.db").write_bytes(content[:100] + b"\xff" * 4000 + content[4100:])
        assert "damaged" in self.refusal(path)

    def test_a_foreign_database(self, path: Path) -> None:
        path.mkdir()
        change(path, "CREATE TABLE notes (id)")
        assert "not a database of PocketBase or rowcast" in self.refusal(path)
        assert not (path / "auxiliary.db").exists()

    def test_a_directory_of_an_old_version(self, path: Path) -> None:
        create(path)
        change(path, "DROP TABLE _mfas", "DROP TABLE _superusers")
        text = self.refusal(path)
        assert "before 0.23 (there is no table _mfas)" in text
        assert "start PocketBase 0.39" in text

    def test_a_directory_of_a_newer_version(self, path: Path) -> None:
        create(path)
        change(path, "INSERT INTO _migrations VALUES ('1999999999_new.go', 1)")
        assert "does not know (1999999999_new.go)" in self.refusal(path)
        open_directory(path, allow_unknown_migrations=True).close()

    def test_but_not_schema_changes_of_a_project(self, path: Path) -> None:
        create(path)
        change(path, "INSERT INTO _migrations VALUES ('1999999999_created_posts.js', 1), ('1500000000_old.go', 1)")
        create(path)

    @pytest.mark.parametrize(
        "statement",
        [
            """UPDATE _collections SET fields = replace(fields, '"type":"file"', '"type":"hologram"')""",
            "UPDATE _collections SET fields = '{' WHERE name = 'users'",
            """UPDATE _collections SET options = '{"authToken":5}' WHERE name = 'users'""",
        ],
    )
    def test_a_collection_that_can_not_be_understood(self, path: Path, statement: str) -> None:
        create(path)
        change(path, statement)
        assert "the collection 'users' can't be understood" in self.refusal(path)

    def test_encrypted_and_broken_settings(self, path: Path) -> None:
        create(path)
        change(path, "UPDATE _params SET value = 'c2VjcmV0'")
        assert "are encrypted" in self.refusal(path)
        change(path, "UPDATE _params SET value = '{'")
        assert "can't be read" in self.refusal(path)

    def test_a_locked_database(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        create(path)
        monkeypatch.setattr("rowcast.storage.sqlite_readers.BUSY_TIMEOUT_MS", 1)
        monkeypatch.setattr("rowcast.storage.sqlite_connections.BUSY_TIMEOUT_MS", 1)
        other = apsw.Connection(str(path / "data.db"))
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE _params SET updated = ''")
        with pytest.raises(DataDirError, match="locked by another process"):
            open_directory(path)
        other.execute("ROLLBACK")
        other.close()
        create(path)

    def test_a_read_only_database(self, path: Path) -> None:
        create(path)
        result = self.as_nobody(
            path,
            """
            import os, sys
            from rowcast.errors import DataDirError
            from rowcast.storage.directory import open_directory
            if os.geteuid() == 0:
                os.setuid(int(sys.argv[2]))
            try:
                open_directory(sys.argv[1])
            except DataDirError as error:
                print(error)
            """,
        )
        assert "can't be written" in result or "can't be opened" in result

    def test_a_directory_without_the_right_to_make_it(self, tmp_path: Path) -> None:
        result = self.as_nobody(
            tmp_path,
            """
            import os, sys
            from rowcast.errors import DataDirError
            from rowcast.storage.directory import open_directory
            if os.geteuid() == 0:
                os.setuid(int(sys.argv[2]))
            try:
                open_directory(sys.argv[1] + "/new/data")
            except DataDirError as error:
                print(error)
            """,
        )
        assert "can't be made: Permission denied" in result

    @staticmethod
    def as_nobody(path: Path, code: str) -> str:
        """Run code as a user who may read `path` and its parents but write nothing."""
        for file in [path, *path.rglob("*")]:
            file.chmod(0o555 if file.is_dir() else 0o444)
        # What pytest made is closed to others; the temporary folder itself is not ours.
        for parent in path.parents:
            if parent.is_relative_to(tempfile.gettempdir()) and not parent.samefile(tempfile.gettempdir()):
                parent.chmod(0o755)
        result = run(code, path, str(NO_ROOT))
        path.chmod(0o755)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def test_a_full_disk_while_it_is_made(self, path: Path) -> None:
        result = run(
            """
            import resource, signal, sys
            from rowcast.errors import DataDirError
            from rowcast.storage.directory import open_directory
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
            try:
                open_directory(sys.argv[1])
            except DataDirError as error:
                print(error)
            """,
            path,
        )
        assert "disk" in result.stdout, result.stderr
        create(path)
        assert len(query(path, "SELECT 1 FROM _collections")) == 6


def test_a_disk_that_fills_up_loses_one_write_and_no_more(path: Path) -> None:
    create(path)
    result = run(
        """
        import resource, signal, sys
        from rowcast.storage import StorageError
        from rowcast.storage.directory import open_directory
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        storage = open_directory(sys.argv[1]).data
        with storage.write() as tx:
            tx.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
        def write(i):
            with storage.write() as tx:
                tx.run("INSERT INTO t VALUES (?, hex(randomblob(20000)))", (i,))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
        written = 0
        try:
            while True:
                write(written)
                written += 1
        except StorageError as error:
            print(error)
        with storage.read() as reader:
            assert reader.value("SELECT count(*) FROM t") == written
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        write(written)
        with storage.read() as reader:
            print(reader.value("SELECT count(*) FROM t") - written, reader.value("PRAGMA integrity_check"))
        storage.close()
        """,
        path,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["reading or writing the database file failed (disk I/O error)", "1 ok"]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


class TestCollectionRows:
    @pytest.fixture
    def opened(self, path: Path) -> DataDir:
        return open_directory(path)

    def test_are_added_changed_and_deleted(self, opened: DataDir) -> None:
        users = opened.catalog.find("users")
        assert users is not None
        copy = users.replaced(id="copy", name="copies")
        with opened.data.write() as tx:
            insert_collection(tx, copy)
            with pytest.raises(UniqueError, match=r"_collections\.name"):
                insert_collection(tx, copy.replaced(id="other"))
            with pytest.raises(UniqueError, match=r"_collections\.id"):
                insert_collection(tx, copy.replaced(name="other"))
            found = load_catalog(tx).find("copies")
            assert found is not None
            assert (found.fields, found.indexes, found.auth) == (users.fields, users.indexes, users.auth)
            update_collection(tx, found.replaced(name="renamed", list_rule=None))
            assert [c.name for c in load_catalog(tx)][-1] == "renamed"
            delete_collection(tx, "copy")
            assert load_catalog(tx).find("copy") is None
        opened.close()

    def test_are_written_as_the_reference_writes_them(self, opened: DataDir) -> None:
        ((fields, options),) = query(opened.path, "SELECT fields, options FROM _collections WHERE name = 'users'")
        assert str(fields).startswith(
            '[{"autogeneratePattern":"[a-z0-9]{15}","help":"","hidden":false,"id":"text3208210256","max":15,"min":15,'
            '"name":"id","pattern":"^[a-z0-9]+$","presentable":false,"primaryKey":true,"required":true,"system":true,'
            '"type":"text"},'
        )
        assert str(options).startswith(
            '{"authRule":"","manageRule":null,"authAlert":{"enabled":true,"emailTemplate":{"subject":'
            '"Login from a new location","body":"\\u003cp\\u003eHello,'
        )
        opened.close()

    def test_nulls_and_missing_members_have_the_defaults(self, opened: DataDir) -> None:
        with opened.data.write() as tx:
            tx.run(
                "INSERT INTO _collections (id, name, fields, indexes, options) VALUES ('x', 'x', ?, 'null', 'null')",
                ('[{"type":"text","name":"t","max":null,"pattern":null,"unknown":1}]',),
            )
            found = load_catalog(tx).find("x")
        assert found is not None
        assert found.fields == (TextField(name="t"),)
        assert (found.indexes, found.auth, found.view) == ((), None, None)
        opened.close()


def test_a_killed_process_loses_nothing_that_it_acknowledged(path: Path) -> None:
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(
                """
                import sys
                from rowcast.storage.directory import open_directory
                storage = open_directory(sys.argv[1]).data
                with storage.write() as tx:
                    tx.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
                i = 0
                while True:
                    with storage.write() as tx:
                        tx.run("INSERT INTO t VALUES (?, hex(randomblob(5000)))", (i,))
                    print(i, flush=True)
                    i += 1
                """
            ),
            path,
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    acknowledged = -1
    with child:
        assert child.stdout is not None
        for line in child.stdout:
            acknowledged = int(line)
            if acknowledged == 1500:
                child.kill()
    opened = open_directory(path)
    with opened.data.read() as reader:
        assert reader.value("PRAGMA integrity_check") == "ok"
        assert reader.value("SELECT count(*) FROM t WHERE id <= ?", (acknowledged,)) == acknowledged + 1
    opened.close()


@pytest.mark.skipif(not REFERENCE, reason="there is no binary of the reference at hand (ROWCAST_REFERENCE)")
class TestReference:
    def reference(self, path: Path, *args: str) -> str:
        result = subprocess.run(
            [REFERENCE, *args, "--dir", path], capture_output=True, text=True, timeout=50, check=True
        )
        return result.stdout

    def test_opens_a_directory_of_ours_without_migrating_it(self, path: Path) -> None:
        create(path)
        migrations = query(path, "SELECT * FROM _migrations")
        collections = query(path, "SELECT * FROM _collections")
        assert "Successfully saved" in self.reference(path, "superuser", "upsert", "root@example.com", "Password1234")
        assert query(path, "SELECT * FROM _migrations") == migrations
        assert query(path, "SELECT * FROM _collections") == collections
        assert query(path, "SELECT email FROM _superusers") == [("root@example.com",)]
        open_directory(path).close()

    def test_makes_the_same_directory(self, tmp_path: Path) -> None:
        ours, theirs = tmp_path / "ours", tmp_path / "theirs"
        create(ours)
        self.reference(theirs, "superuser", "ips")
        assert self.shape(ours) == self.shape(theirs)

    @staticmethod
    def shape(path: Path) -> list[object]:
        """Return all that two new directories have in common."""

        def plain(text: object) -> object:
            text = re.sub(r'"secret":"\w{50}"', "", str(text)).replace('"providers":null', '"providers":[]')
            return re.sub(r"\s+|`", "", text)

        schema = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name"
        return [
            [[plain(v) for v in row] for row in query(path, schema)],
            [[plain(v) for v in row] for row in query(path, schema, "auxiliary.db")],
            query(path, "SELECT file FROM _migrations ORDER BY rowid"),
            [
                [plain(v) for v in row[:-2]]
                for row in query(
                    path,
                    "SELECT id, name, type, system, fields, indexes, listRule, viewRule, createRule, updateRule, "
                    "deleteRule, options, created, updated FROM _collections ORDER BY rowid",
                )
            ],
            query(path, "SELECT id, value, typeof(value) FROM _params"),
        ]
