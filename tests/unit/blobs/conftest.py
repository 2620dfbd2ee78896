"""One S3 server for all tests of a process; each test has a bucket of its own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.s3 import S3Server, running_s3


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> str:
    name = f"bucket-{secrets.token_hex(4)}"
    s3.make_bucket(name)
    return name
