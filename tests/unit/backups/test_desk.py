"""Backups of an open directory: what goes in, one at a time, and by a schedule."""

from __future__ import annotations

import io
import os
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from rowcast.auth.superusers import Superusers
from rowcast.backups import ArchiveError, Backups, stage
from rowcast.backups.auto import JOB, AutoBackup
from rowcast.backups.desk import BusyError
from rowcast.backups.restoring import restore
from rowcast.blobs import LocalBlobs
from rowcast.config import BackupsSettings, MetaSettings, Settings, SettingsRef
from rowcast.errors import BadRequestError
from rowcast.mail import Message
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.uploads import upload
from rowcast.storage import CHANGES_TABLE
from rowcast.storage.directory import DataDir, Opening, open_directory
from rowcast.storage.occupancy import Occupancy, OccupiedError
from rowcast.storage.swap import Swap

OLD = time.time() - 3600
USERS = "_pb_users_auth_"


def silent(_: str, __: int, ___: int) -> None:
    return


@dataclass
class Desk:
    directory: DataDir
    settings: SettingsRef
    backups: Backups
    blobs: LocalBlobs

    def add_user(self, number: int, avatar: str) -> str:
        """A record of users with a file, stored as a server does: first the file, then the row."""
        record_id = f"user{number:011}"
        self.blobs.save(f"{USERS}/{record_id}/{avatar}", avatar.encode(), content_type="text/plain")
        with self.directory.data.write() as tx:
            tx.run(
                "INSERT INTO users (id, email, avatar, tokenKey, password) VALUES (?, ?, ?, ?, '')",
                [record_id, f"{number}@example.com", avatar, f"key{number}"],
            )
        return record_id

    def delete_user(self, record_id: str) -> None:
        with self.directory.data.write() as tx:
            tx.run("DELETE FROM users WHERE id = ?", [record_id])
            tx.on_commit(lambda: self.blobs.delete_prefix(f"{USERS}/{record_id}/"))

    def names(self, key: str) -> set[str]:
        return set(zipfile.ZipFile(self.directory.path / "backups" / key).namelist())

    def change(self, **backups: object) -> None:
        self.settings.swap(
            msgspec.structs.replace(self.settings.current, backups=msgspec.convert(backups, BackupsSettings))
        )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    directory = open_directory(tmp_path / "pb_data")
    settings = SettingsRef(directory.settings)
    yield Desk(directory, settings, Backups(directory, settings), LocalBlobs(directory.files, directory.held))
    directory.close()


def leftovers(directory: DataDir) -> list[str]:
    folder = directory.temporary
    return [path.name for path in folder.rglob("*")] if folder.exists() else []


# -- what goes in ------------------------------------------------------------------------------------------------------


def test_a_backup_holds_the_databases_and_every_file(desk: Desk) -> None:
    record_id = desk.add_user(1, "a.txt")
    (desk.directory.path / "types.d.ts").write_text("kept too")
    (desk.directory.path / "lost+found").mkdir()
    (desk.directory.path / "lost+found" / "x").write_text("not kept")
    desk.backups.create("one.zip")
    desk.backups.create("two.zip")
    folder = f"storage/{USERS}/{record_id}"
    expected = {"data.db", "auxiliary.db", "types.d.ts", f"{folder}/a.txt", f"{folder}/a.txt.attrs"}
    assert desk.names("one.zip") == desk.names("two.zip") == expected
    assert zipfile.ZipFile(desk.directory.path / "backups/one.zip").testzip() is None
    info = desk.backups.place.info("one.zip")
    assert (info.content_type, info.original_name) == ("application/zip", "one.zip")
    assert leftovers(desk.directory) == []


def test_the_archive_is_one_state_while_records_come_and_go(desk: Desk) -> None:
    """Every file of a record in the archive is there, and no file of a record that is not."""
    for number in range(40):
        desk.add_user(number, f"f{number}.txt")
    is_over = threading.Event()

    def churn() -> None:
        number = 40
        while not is_over.is_set():
            desk.add_user(number, f"f{number}.txt")
            desk.delete_user(f"user{number - 40:011}")
            number += 1

    writer = threading.Thread(target=churn)
    writer.start()
    try:
        names = [desk.backups.create(f"{number}.zip") for number in range(6)]
    finally:
        is_over.set()
        writer.join()
    moved = 0
    for name in names:
        root = desk.directory.path.parent / name
        restore(root, desk.directory.path / "backups" / name, silent, Opening())
        opened = open_directory(root)
        with opened.data.read() as reader:
            users = [(str(id), str(avatar)) for id, avatar in reader.rows("SELECT id, avatar FROM users")]
        opened.close()
        assert 39 <= len(users) <= 41
        expected = {f"{USERS}/{id}/{avatar}{end}" for id, avatar in users for end in ("", ".attrs")}
        found = {path.relative_to(root / "storage").as_posix() for path in root.glob("storage/*/*/*")}
        assert found == expected
        moved += "user00000000000" not in {id for id, _ in users}
    assert moved
    assert leftovers(desk.directory) == []


def test_files_deleted_meanwhile_are_in_and_gone_afterwards(desk: Desk) -> None:
    record_id, other = desk.add_user(1, "a.txt"), desk.add_user(2, "b.txt")
    desk.blobs.save(f"{USERS}/{record_id}/thumbs_a.txt/10x10_a.txt", b"thumb")

    def delete(what: str, _: int, __: int) -> None:
        if what == "archive" and desk.blobs.exists(f"{USERS}/{record_id}/a.txt"):
            desk.delete_user(record_id)
            desk.blobs.delete(f"{USERS}/{other}/b.txt")

    desk.backups.create("one.zip", delete)
    folder = f"storage/{USERS}/"
    assert desk.names("one.zip") >= {
        f"{folder}{record_id}/a.txt",
        f"{folder}{record_id}/a.txt.attrs",
        f"{folder}{record_id}/thumbs_a.txt/10x10_a.txt",
        f"{folder}{other}/b.txt",
    }
    assert not list(desk.directory.files.rglob("*.txt"))
    assert leftovers(desk.directory) == []


def test_files_without_a_record_are_in_if_they_were_there_before(desk: Desk) -> None:
    for name in (f"{USERS}/unknown00000001/old.txt", f"{USERS}/unknown00000001/new.txt", "mine/by/hand.txt", "top.txt"):
        desk.blobs.save(name, b"x")
    os.utime(desk.directory.files / USERS / "unknown00000001" / "old.txt", (OLD, OLD))
    desk.backups.create("one.zip")
    found = {name for name in desk.names("one.zip") if name.endswith(".txt")}
    assert found == {f"storage/{USERS}/unknown00000001/old.txt", "storage/mine/by/hand.txt", "storage/top.txt"}


def test_what_goes_wrong_leaves_nothing(desk: Desk) -> None:
    def fail(what: str, _: int, __: int) -> None:
        if what == "archive":
            raise ArchiveError("enough")

    with pytest.raises(BadRequestError, match="Failed to create backup") as raised:
        desk.backups.create("one.zip", fail)
    assert "enough" in str(raised.value.__cause__)
    assert desk.backups.list() == []
    assert leftovers(desk.directory) == []
    assert desk.backups.active is None
    with pytest.raises(ArchiveError, match="enough"):
        desk.backups.write(desk.directory.path.parent / "out.zip", fail)
    assert sorted(path.name for path in desk.directory.path.parent.iterdir()) == ["pb_data"]
    with pytest.raises(ArchiveError, match="No such file"):
        desk.backups.write(desk.directory.path.parent / "missing" / "out.zip")


# -- names and turns ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("A.zip", "validation_match_invalid"),
        ("a.tar", "validation_match_invalid"),
        ("../a.zip", "validation_match_invalid"),
        (f"{'a' * 150}.zip", "validation_length_out_of_range"),
        ("taken.zip", "validation_backup_name_exists"),
        ("a.zip\n", "validation_match_invalid"),
    ],
)
def test_names_that_are_refused(desk: Desk, name: str, code: str) -> None:
    desk.backups.place.save("taken.zip", b"PK")
    with pytest.raises(BadRequestError) as raised:
        desk.backups.check_name(name)
    assert raised.value.data.to_json()["name"]["code"] == code  # type: ignore[index]


def test_names_that_are_made(desk: Desk) -> None:
    desk.settings.swap(Settings(meta=MetaSettings(app_name="My App! " + "x" * 100)))
    name = desk.backups.create()
    assert name.startswith("pb_backup_my_app_xxxxx")
    assert len(name) == len("pb_backup_") + 50 + len("_20261127120000.zip")


def test_one_at_a_time_over_processes(desk: Desk) -> None:
    other_directory = open_directory(desk.directory.path)
    other = Backups(other_directory, desk.settings)
    with desk.backups.turn("one.zip"):
        for backups in (desk.backups, other):
            with pytest.raises(BusyError, match="another backup/restore process has already been started"):
                backups.create("two.zip")
        with pytest.raises(BadRequestError, match="currently being used"):
            desk.backups.delete("one.zip")
    other.create("two.zip")
    other_directory.close()
    assert [info.key for info in desk.backups.list()] == ["two.zip"]


def test_closing_ends_what_runs(desk: Desk) -> None:
    begun, outcome = threading.Event(), []
    for number in range(30):
        desk.blobs.save(f"free/file{number}", os.urandom(300_000))

    def run() -> None:
        try:
            desk.backups.create("one.zip", lambda *_: begun.set())
        except BadRequestError as error:
            outcome.append(str(error.__cause__))

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait(10)
    desk.backups.close()
    assert leftovers(desk.directory) == []
    thread.join()
    assert outcome == ["the backup can't be made: the server stops"]
    with pytest.raises(BusyError):
        desk.backups.create("two.zip")


def test_uploads_are_checked(desk: Desk) -> None:
    memory = io.BytesIO()
    zipfile.ZipFile(memory, "w").close()
    desk.backups.upload(upload("Any Name.zip", memory.getvalue()))
    wrong = upload("b.zip", b"text")
    for file, code, text in (
        (None, "validation_required", "Cannot be blank."),
        (wrong, "validation_invalid_mime_type", f'"{wrong.name}" mime type must be one of: application/zip.'),
        (
            upload("Any Name.zip", memory.getvalue()),
            "validation_backup_name_exists",
            "Backup file with the specified name already exists.",
        ),
    ):
        with pytest.raises(BadRequestError) as raised:
            desk.backups.upload(file)
        assert raised.value.data.to_json() == {"file": {"code": code, "message": text}}
    with pytest.raises(BadRequestError, match="Failed to upload backup"):
        desk.backups.upload(upload("..", memory.getvalue()))
    assert [info.key for info in desk.backups.list()] == ["Any Name.zip"]


# -- restoring ---------------------------------------------------------------------------------------------------------


def test_positions_are_not_restored(desk: Desk, tmp_path: Path) -> None:
    with desk.directory.data.write() as tx:
        tx.run(f"CREATE TABLE {CHANGES_TABLE} (number INTEGER PRIMARY KEY, tag TEXT)")
        tx.run(f"INSERT INTO {CHANGES_TABLE} VALUES (1, 'tag')")
    desk.backups.create("one.zip")
    restore(tmp_path / "new", desk.directory.path / "backups" / "one.zip", silent, Opening())
    opened = open_directory(tmp_path / "new")
    with opened.data.read() as reader:
        assert reader.value("SELECT count(*) FROM sqlite_schema WHERE name = ?", [CHANGES_TABLE]) == 0
    opened.close()


def test_a_used_directory_is_not_replaced(desk: Desk) -> None:
    desk.backups.create("one.zip")
    with pytest.raises(OccupiedError, match="a server uses the data directory"):
        restore(desk.directory.path, desk.directory.path / "backups" / "one.zip", silent, Opening())


def repacked(source: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if (content := change(name, old.read(name))) is not None:
                new.writestr(name, content)
    return target


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda name, content: None if name == "data.db" else content, "data.db file is missing or invalid"),
        (lambda name, content: b"text" * 999 if name == "data.db" else content, "data.db of the archive"),
        (lambda name, content: b"text" * 1000 if name == "auxiliary.db" else content, "auxiliary.db of the archive"),
        (lambda name, content: content[:90_000] if name == "data.db" else content, "data.db of the archive"),
        (lambda name, content: b"" if name == "auxiliary.db" else content, ""),
    ],
    ids=["missing", "text", "auxiliary", "cut", "empty auxiliary"],
)  # fmt: skip
def test_an_archive_is_checked_before_anything_is_replaced(
    desk: Desk, tmp_path: Path, change: Callable[[str, bytes], bytes | None], text: str
) -> None:
    desk.backups.create("one.zip")
    archive = repacked(desk.directory.path / "backups" / "one.zip", tmp_path / "changed.zip", change)
    root = tmp_path / "other"
    open_directory(root).close()
    before = {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}
    if not text:
        restore(root, archive, silent, Opening())
        open_directory(root).close()
        return
    with pytest.raises(ArchiveError, match=text):
        restore(root, archive, silent, Opening())
    assert {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()} == before
    assert sorted(path.name for path in root.iterdir()) == ["auxiliary.db", "data.db"]


def test_a_foreign_database_is_refused(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "other"
    opened = open_directory(root)
    with opened.data.write() as tx:
        tx.run("DROP TABLE _collections")
    opened.close()
    with zipfile.ZipFile(tmp_path / "foreign.zip", "w") as out:
        out.write(root / "data.db", "data.db")
    swap = Swap(desk.directory.path)
    with pytest.raises(ArchiveError, match="the data of the archive can't be opened"):
        stage(swap, tmp_path / "foreign.zip", silent, Opening())
    assert not swap.folder.exists()


# -- by a schedule -----------------------------------------------------------------------------------------------------


@dataclass
class Jobs:
    found: dict[str, str] = field(default_factory=dict)

    def add(self, id: str, expression: str, call: Callable[[], object]) -> None:
        self.found[id] = expression

    def remove(self, id: str) -> None:
        self.found.pop(id, None)


def auto(desk: Desk, mails: list[Message]) -> tuple[AutoBackup, Jobs]:
    jobs = Jobs()
    return AutoBackup(desk.backups, desk.directory.data, desk.settings, mails.append, jobs), jobs


def test_the_job_follows_the_settings(desk: Desk) -> None:
    _, jobs = auto(desk, [])
    assert jobs.found == {}
    desk.change(cron="0 1 * * *")
    assert jobs.found == {JOB: "0 1 * * *"}
    desk.change(cron="@daily")
    assert jobs.found == {JOB: "@daily"}
    desk.change(cron="")
    assert jobs.found == {}


def test_the_latest_few_are_kept(desk: Desk) -> None:
    desk.change(cron="0 1 * * *", cronMaxKeep=2)
    job, _ = auto(desk, [])
    for number, name in enumerate(
        ("@auto_pb_backup_c.zip", "@auto_pb_backup_b.zip", "@auto_pb_backup_a.zip", "my.zip")
    ):
        desk.backups.place.save(name, b"PK")
        os.utime(desk.directory.path / "backups" / name, (OLD + number, OLD + number))
    job.run()
    names = [info.key for info in desk.backups.list()]
    assert len(names) == 3
    assert {"@auto_pb_backup_a.zip", "my.zip"} < set(names)
    assert names[1].startswith("@auto_pb_backup_acme_2")


def test_a_failure_is_told_to_every_superuser(desk: Desk) -> None:
    superusers = Superusers(desk.directory.data, CatalogRef(desk.directory.catalog), desk.blobs)
    for name in ("a", "b"):
        superusers.create(f"{name}@example.com", "Password1234")
    desk.settings.swap(Settings(meta=MetaSettings(app_name="<App>")))
    mails: list[Message] = []
    job, _ = auto(desk, mails)
    with desk.backups.turn("other.zip"):
        job.run()
    assert [mail.to for mail in mails] == ["a@example.com", "b@example.com"]
    assert mails[0].subject == "[<App> system alert] Autobackup failure"
    assert "Failed to create/upload automated backup. Raw error:\nTry again later" in mails[0].html
    assert "&lt;App&gt; system alert occurred:" in mails[0].html


def test_the_lock_of_the_directory_is_not_that_of_the_backups(desk: Desk) -> None:
    with desk.backups.turn("one.zip"):
        assert not Occupancy(desk.directory.path, wait_s=0).is_alone
