"""The place of the settings in force is used, from the next call on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rowcast.blobs import BlobError, Blobs, LocalBlobs
from rowcast.blobs.configured import ConfiguredBlobs
from rowcast.config import S3Settings, Settings, SettingsRef
from tests.s3 import S3Server


def test_files_go_where_the_settings_say(tmp_path: Path, s3: S3Server, bucket: str) -> None:
    settings = SettingsRef(Settings())
    local = LocalBlobs(tmp_path)
    blobs = ConfiguredBlobs(settings, local)
    typed: Blobs = blobs
    typed.save("a/b/local", b"1")
    assert not blobs.is_remote
    settings.current = msgspec.structs.replace(settings.current, s3=s3.settings(bucket=bucket))
    assert blobs.is_remote
    assert blobs.current is blobs.current
    assert not blobs.exists("a/b/local")
    blobs.save("a/b/remote", b"22")
    assert s3.keys(bucket) == ["a/b/remote"]
    assert [info.key for info in blobs.list("a/")] == ["a/b/remote"]
    assert blobs.info("a/b/remote").size == 2
    blobs.delete("a/b/remote")
    settings.current = Settings()
    info, file = blobs.open_with_info("a/b/local")
    with file, blobs.open("a/b/local") as again:
        assert file.read() == again.read() == b"1"
        assert info == local.info("a/b/local")
    blobs.delete_prefix("a/")
    assert list(blobs.list()) == []


def test_settings_that_are_not_complete_are_an_error_of_the_file(tmp_path: Path) -> None:
    blobs = ConfiguredBlobs(SettingsRef(Settings(s3=S3Settings(enabled=True))), LocalBlobs(tmp_path))
    with pytest.raises(BlobError, match="missing bucket name"):
        blobs.save("a/b/c", b"")
