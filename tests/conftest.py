"""Settings that hold for every test."""

from __future__ import annotations

import gc
import os
import secrets
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import memory
from tests.redis_server import RedisServer, running_redis
from tests.s3 import S3Server, running_s3

# Hundreds of servers are started, and none of them shall compile all modules anew, whatever the environment says.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

memory.use()

# A shared or slow machine must not decide whether a property holds.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_collection_finish() -> None:
    """Have the collector pass over what lives as long as the process: modules and thousands of tests."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(exitstatus: int) -> None:
    """Keep what tests that failed have left."""
    if exitstatus:
        memory.keep()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run one S3 server for all tests of a process; each has a bucket of its own."""
    with running_s3(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> str:
    name = f"bucket-{secrets.token_hex(4)}"
    s3.make_bucket(name)
    return name


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run one Redis server for all tests of a process; each uses a prefix of its own."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server
