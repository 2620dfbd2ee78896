"""Backups in a bucket: made there, fetched from there, restored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rowcast.backups import Backups, stage
from rowcast.config import BackupsSettings, Settings, SettingsRef
from rowcast.errors import BadRequestError
from rowcast.storage.directory import Opening, open_directory
from rowcast.storage.swap import Swap
from tests.s3 import S3Server, running_s3


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server


def test_a_backup_goes_to_a_bucket_and_comes_back(s3: S3Server, tmp_path: Path) -> None:
    directory = open_directory(tmp_path / "pb_data")
    s3.make_bucket("backups")
    settings = SettingsRef(Settings(backups=BackupsSettings(s3=s3.settings(bucket="backups"))))
    backups = Backups(directory, settings)
    try:
        backups.create("one.zip")
        assert [info.key for info in backups.list()] == ["one.zip"]
        assert not (directory.path / "backups").exists()
        with pytest.raises(BadRequestError):
            backups.check_name("one.zip")
        swap = Swap(tmp_path / "new")
        (tmp_path / "new").mkdir()
        with backups.fetched("one.zip", backups.watched()) as archive:
            stage(swap, archive, backups.watched(), Opening())
        assert (swap.new / "data.db").is_file()
        assert list(directory.temporary.iterdir()) == []
        broken = msgspec.structs.replace(s3.settings(bucket="backups"), bucket="")
        settings.swap(Settings(backups=BackupsSettings(s3=broken)))
        with pytest.raises(BadRequestError, match="Failed to create backup"):
            backups.create("two.zip")
    finally:
        directory.close()
