"""The command: arguments in every order that the reference takes, texts, and what ends with a failure."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from rowcast import __version__, cli, credentials
from rowcast.cli import serve
from rowcast.config import Config
from rowcast.errors import DataDirError
from rowcast.storage import Row
from rowcast.storage.directory import open_directory

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command on a data directory."""

    def run(*args: str) -> Result:
        result = CliRunner().invoke(cli.command, cli.ordered([*args, "--dir", str(tmp_path / "pb_data")]))
        assert not isinstance(result.exception, Exception), result.exception
        return result

    return run


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "DEFAULT_COST", 4)


def stored(tmp_path: Path, sql: str) -> list[Row]:
    opened = open_directory(tmp_path / "pb_data")
    with opened.data.read() as reader:
        rows = reader.rows(sql)
    opened.close()
    return rows


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("serve", "serve"),
        ("--dir x serve --http 1:2", "serve --http 1:2 --dir x"),
        ("serve --dir=x --dev", "serve --dir=x --dev=true"),
        ("--dev serve", "serve --dev=true"),
        ("serve --dev=false --http 1:2", "serve --http 1:2 --dev=false"),
        ("superuser --dir x upsert a b", "superuser upsert a b --dir x"),
        ("--indexFallback --hooksPool 3 serve", "serve --indexFallback=true --hooksPool 3"),
        ("superuser create --dir x -- a --dir", "superuser create --dir x -- a --dir"),
        ("serve --dir", "serve --dir"),
        ("--version", "--version"),
        ("", ""),
    ],
)
def test_shared_options_stand_before_and_behind_the_command(args: str, expected: str) -> None:
    assert cli.ordered(args.split()) == expected.split()


class TestSuperusers:
    def test_are_created_changed_and_deleted(self, run: Run, tmp_path: Path) -> None:
        for args, said in (
            (("create", "a@example.com", "1234567890"), 'Successfully created new superuser "a@example.com"!'),
            (("upsert", "b@example.com", "1234567890"), 'Successfully saved superuser "b@example.com"!'),
            (("update", "a@example.com", "abcdefghij"), 'Successfully changed superuser "a@example.com" password!'),
            (("upsert", "b@example.com", "abcdefghij"), 'Successfully saved superuser "b@example.com"!'),
        ):
            result = run("superuser", *args)
            assert (result.exit_code, result.stdout.strip()) == (0, said), result.output
        columns = "email, password, tokenKey, verified, emailVisibility, length(id), created <= updated"
        rows = stored(tmp_path, f"SELECT {columns} FROM _superusers ORDER BY email")
        assert [row[0] for row in rows] == ["a@example.com", "b@example.com"]
        for row in rows:
            assert credentials.is_password("abcdefghij", str(row[1]))
            assert len(str(row[2])) == 50
            assert row[3:] == (1, 0, 15, 1)
        result = run("superuser", "delete", "b@example.com")
        assert result.stdout.strip() == 'Successfully deleted superuser "b@example.com"!'
        assert stored(tmp_path, "SELECT email FROM _superusers") == [("a@example.com",)]

    def test_a_new_password_ends_the_tokens(self, run: Run, tmp_path: Path) -> None:
        keys = set()
        for password in ("1234567890", "abcdefghij"):
            run("superuser", "upsert", "a@example.com", password)
            keys |= set(stored(tmp_path, "SELECT tokenKey FROM _superusers"))
        assert len(keys) == 2

    def test_what_belongs_to_a_deleted_one_goes_too(self, run: Run, tmp_path: Path) -> None:
        for email in ("a@example.com", "b@example.com"):
            run("superuser", "create", email, "1234567890")
        opened = open_directory(tmp_path / "pb_data")
        with opened.data.write() as tx:
            tx.run(
                "INSERT INTO _otps (id, collectionRef, recordRef) "
                "SELECT 'otp', 'pbc_3142635823', id FROM _superusers WHERE email = 'a@example.com'"
            )
        opened.close()
        run("superuser", "delete", "a@example.com")
        assert stored(tmp_path, "SELECT id FROM _otps") == []

    def test_the_reference_s_installer_leaves_when_there_is_a_real_one(self, run: Run, tmp_path: Path) -> None:
        for email in ("__pbinstaller@example.com", "a@example.com"):
            run("superuser", "create", email, "1234567890")
        assert stored(tmp_path, "SELECT email FROM _superusers") == [("a@example.com",)]

    @pytest.mark.parametrize(
        ("args", "text"),
        [
            ("upsert", "missing email and password arguments"),
            ("upsert a@example.com", "missing email and password arguments"),
            ("create a b c", "missing email and password arguments"),
            ("update none 1234567890", "missing or invalid email address"),
            ("delete", "invalid or missing email address"),
            ("otp none", "invalid or missing email address"),
            ("update b@example.com 1234567890", 'superuser with email "b@example.com" doesn\'t exist'),
            ("otp b@example.com", 'superuser with email "b@example.com" doesn\'t exist'),
            ("otp a@example.com", "OTP auth is not enabled for the _superusers collection"),
            (
                "upsert b@example.com 123",
                "failed to upsert superuser account: password: Must be at least 8 character(s).",
            ),
            (
                "create a@example.com 1234567890",
                "failed to create new superuser account: email: Value must be unique.",
            ),
            (
                "update a@example.com 123",
                'failed to change superuser "a@example.com" password: password: Must be at least 8 character(s).',
            ),
            (
                f"create b@example.com {'x' * 73}",
                "failed to create new superuser account: password: bcrypt: password length exceeds 72 bytes.",
            ),
            (
                "delete a@example.com",
                'failed to delete superuser "a@example.com": You can\'t delete the only existing superuser.',
            ),
            ("ips 127.0.0.1 none", "'none' is not an IP or a subnet in CIDR notation"),
        ],
    )
    def test_are_refused_with_the_reference_s_texts(self, run: Run, args: str, text: str) -> None:
        run("superuser", "create", "a@example.com", "1234567890")
        result = run("superuser", *args.split())
        assert (result.exit_code, result.stderr.strip()) == (1, f"Error: {text}")

    def test_an_empty_password_is_refused(self, run: Run) -> None:
        result = run("superuser", "create", "a@example.com", "")
        assert "password: Cannot be blank." in result.stderr

    def test_a_missing_one_is_deleted_already(self, run: Run) -> None:
        result = run("superuser", "delete", "a@example.com")
        assert (result.exit_code, result.stdout.strip()) == (
            0,
            'superuser "a@example.com" is missing or already deleted',
        )

    def test_get_one_time_passwords(self, run: Run, tmp_path: Path) -> None:
        run("superuser", "create", "a@example.com", "1234567890")
        opened = open_directory(tmp_path / "pb_data")
        with opened.data.write() as tx:
            tx.run(
                "UPDATE _collections SET options = json_set(options, '$.otp.enabled', json('true'), '$.otp.length', 6) "
                "WHERE name = '_superusers'"
            )
        opened.close()
        result = run("superuser", "otp", "a@example.com")
        said = dict(line.strip("├─└ ").split(":", 1) for line in result.stdout.splitlines()[1:])
        ((id, password, owner),) = stored(
            tmp_path, "SELECT o.id, o.password, s.email FROM _otps o JOIN _superusers s ON s.id = o.recordRef"
        )
        assert (said["Id"].strip(), said["Valid"].strip(), owner) == (id, "180s", "a@example.com")
        assert len(said["Pass"].strip()) == 6
        assert said["Pass"].strip().isdigit()
        assert credentials.is_password(said["Pass"].strip(), str(password))

    def test_may_be_bound_to_addresses(self, run: Run, tmp_path: Path) -> None:
        result = run("superuser", "ips", "127.0.0.1", "10.0.0.0/24")
        assert result.stdout.splitlines()[1:] == ["├─ 127.0.0.1", "└─ 10.0.0.0/24"]
        value = "SELECT CAST(value AS TEXT) ->> '$.superuserIPs' FROM _params"
        assert stored(tmp_path, value) == [('["127.0.0.1","10.0.0.0/24"]',)]
        assert "cleared" in run("superuser", "ips").stdout
        assert stored(tmp_path, value) == [("[]",)]


class TestServe:
    @pytest.fixture
    def served(self, monkeypatch: pytest.MonkeyPatch) -> list[Config]:
        """What the server is started with."""
        configs: list[Config] = []
        monkeypatch.setattr(serve, "_run_server", lambda config, listening: configs.append(config))
        return configs

    def test_options_become_the_config(self, run: Run, served: list[Config], tmp_path: Path) -> None:
        options = (
            "--http 127.0.0.1:0 --origins=https://a.example,https://b.example --publicDir www --indexFallback=false"
        )
        bounds = (
            "--streams 10 --streams-per-address 5 --stream-max-age 60 --stream-max-bytes 1000 --stream-max-events 7 "
            "--heartbeat 2.5 --changes 9 --changes-max-age 30 --request-log 100 "
            "--avatar-host id.internal --avatar-host id.internal:8443"
        )
        result = run(
            "serve",
            *options.split(),
            "--dev",
            "--log-format=json",
            "--log-level",
            "error",
            "--queryTimeout",
            "5",
            "--allowUnknownMigrations",
            *bounds.split(),
        )
        assert result.exit_code == 0, result.output
        assert served == [
            Config(
                data_dir=str(tmp_path / "pb_data"),
                http="127.0.0.1:0",
                origins=("https://a.example", "https://b.example"),
                public_dir="www",
                index_fallback=False,
                dev=True,
                log_format="json",
                log_level="error",
                query_timeout_s=5,
                allow_unknown_migrations=True,
                stream_max_total=10,
                stream_max_per_address=5,
                stream_max_age_s=60,
                stream_max_bytes=1000,
                stream_max_frames=7,
                heartbeat_s=2.5,
                log_max_changes=9,
                log_max_age_s=30,
                activity_max_rows=100,
                avatar_hosts=("id.internal", "id.internal:8443"),
            )
        ]

    def test_options_are_those_of_the_config_unless_told_otherwise(self, run: Run, served: list[Config]) -> None:
        assert run("serve", "--http", "127.0.0.1:0").exit_code == 0
        assert served == [Config(data_dir=served[0].data_dir, http="127.0.0.1:0")]

    @pytest.mark.parametrize("args", ["--streams 0", "--changes-max-age 0", "--heartbeat 0", "--request-log x"])
    def test_bounds_that_mean_nothing_are_refused(self, run: Run, served: list[Config], args: str) -> None:
        result = run("serve", "--http", "127.0.0.1:0", *args.split())
        assert (result.exit_code, served) == (2, [])
        assert args.split(maxsplit=1)[0] in result.output

    def test_options_of_the_reference_without_effect_are_told(self, run: Run, served: list[Config]) -> None:
        result = run("serve", "--http", "127.0.0.1:0", "--hooksDir", "hooks", "--automigrate")
        assert "--hooksDir has no effect: JavaScript hooks are not run" in result.stderr
        assert "--automigrate has no effect: migrations are not written" in result.stderr
        assert len(served) == 1

    @pytest.mark.parametrize("args", ["example.com", "--https 127.0.0.1:443"])
    def test_certificates_are_left_to_a_proxy(self, run: Run, served: list[Config], args: str) -> None:
        result = run("serve", *args.split())
        assert result.exit_code == 1
        assert "put a proxy" in result.stderr
        assert not served

    def test_what_the_server_refuses_is_told(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(config: Config, listening: socket.socket) -> None:
            raise DataDirError("the disk is full")

        monkeypatch.setattr(serve, "_run_server", refuse)
        result = run("serve", "--http", "127.0.0.1:0")
        assert (result.exit_code, result.stderr.strip()) == (1, "Error: the disk is full")

    @pytest.mark.parametrize(
        "address", ["", "localhost", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "x:99999", "x:-1"]
    )
    def test_what_is_no_address_is_refused(self, address: str) -> None:
        with pytest.raises(click.ClickException, match="is not an address"):
            serve._listen(address)

    @pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", "0.0.0.0:0", ":0"])
    def test_listens(self, address: str) -> None:
        with serve._listen(address) as listening:
            port = listening.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                pass

    def test_an_address_in_use_is_told(self) -> None:
        with serve._listen("127.0.0.1:0") as listening:
            address = f"127.0.0.1:{listening.getsockname()[1]}"
            with pytest.raises(click.ClickException, match=rf"can't listen at {address}: Address already in use"):
                serve._listen(address)

    def test_a_host_that_is_not_here_is_told(self) -> None:
        with pytest.raises(click.ClickException, match=r"can't listen at 192\.0\.2\.1:80"):
            serve._listen("192.0.2.1:80")

    @pytest.mark.parametrize(
        ("http", "url"),
        [("127.0.0.1:0", "http://127.0.0.1:"), (":0", "http://127.0.0.1:"), ("localhost:0", "http://localhost:")],
    )
    def test_says_where_it_is(self, http: str, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        with serve._listen(http) as listening:
            serve._greet(Config(http=http), listening, has_superuser=True)
            said = capsys.readouterr().out
        assert f"Server started at {url}" in said
        assert f"└─ REST API:  {url}" in said
        assert "superuser" not in said

    def test_says_how_to_make_the_first_superuser(self, capsys: pytest.CaptureFixture[str]) -> None:
        with serve._listen("127.0.0.1:0") as listening:
            serve._greet(Config(), listening, has_superuser=False)
            assert "    rowcast superuser upsert EMAIL PASS\n" in capsys.readouterr().out
            serve._greet(Config(data_dir="other"), listening, has_superuser=False)
            assert "    rowcast superuser upsert EMAIL PASS --dir other\n" in capsys.readouterr().out


def test_version_and_help_need_no_data_directory(tmp_path: Path) -> None:
    for args, said in (
        (["--version"], f"rowcast version {__version__}"),
        (["-v"], f"rowcast version {__version__}"),
        (["-h"], "Serve a PocketBase-compatible backend"),
        (["serve", "--help"], "The origins that CORS allows"),
    ):
        result = CliRunner().invoke(cli.command, cli.ordered(args))
        assert result.exit_code == 0
        assert said in result.stdout


def test_what_the_command_needs_is_imported_late() -> None:
    heavy = {"apsw", "asyncio", "bcrypt", "uvicorn"}
    code = f"import sys, rowcast.cli; print(*sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_runs_as_a_module(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "rowcast", "superuser", "delete", "a@example.com"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (run.returncode, run.stdout) == (0, 'superuser "a@example.com" is missing or already deleted\n')
    assert (tmp_path / "pb_data" / "data.db").exists()


def test_adopt_and_capture_say_what_they_do(run: Run, tmp_path: Path) -> None:
    run("superuser", "upsert", "a@example.com", "1234567890")
    opened = open_directory(tmp_path / "pb_data")
    with opened.data.write() as tx:
        tx.run('CREATE TABLE old (id TEXT PRIMARY KEY NOT NULL, "a b" INT, raw BLOB)')
    opened.close()
    shown = (
        'Collection "kept" over the table "old":\n  id: text\n  a_b: number, from the column \'a b\'\n'
        "  the column 'raw' is left alone: there is no field for the type BLOB\n"
    )
    assert run("adopt", "old", "--collection", "kept", "--dry-run").output == f"{shown}Nothing was changed.\n"
    adopted = run("adopt", "old", "--collection", "kept", "--list-rule", "a_b > 1", "--view-rule=")
    assert adopted.output == f'{shown}Successfully adopted "old" as the collection "kept"!\n'
    rules = stored(tmp_path, "SELECT listRule, viewRule, createRule FROM _collections WHERE name = 'kept'")
    assert rules == [("a_b > 1", "", None)]
    assert run("capture").output == 'kept: not captured, adopted "old"\n'
    assert "Successfully captured" in run("capture", "kept").output
    assert run("capture").output == 'kept: captured, adopted "old"\n'
    assert "is not told any more" in run("capture", "kept", "--off").output
    for refused, reason in ((("adopt", "old"), "is that of the collection kept"), (("capture", "no"), "no collection")):
        result = run(*refused)
        assert result.exit_code == 1
        assert reason in result.output
