"""What strangers send is worked on in processes that can be ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowcast.pictures.workshop import PictureError, Workshop
from tests.unit.pictures.test_worker import save


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    made = Workshop(timeout_s=20)
    yield made
    made.close()


def test_a_process_is_kept_for_the_next_picture(workshop: Workshop, tmp_path: Path) -> None:
    source, target = save(tmp_path / "a"), tmp_path / "thumb"
    workshop.thumb(source, target, "10x10", "image/png")
    (worker,) = workshop._idle
    workshop.thumb(source, target, "10x10", "image/png")
    assert workshop._idle == [worker]
    assert target.stat().st_size > 0


def test_a_broken_picture_is_an_error_and_ends_nothing(workshop: Workshop, tmp_path: Path) -> None:
    source, target = save(tmp_path / "a"), tmp_path / "thumb"
    whole = source.read_bytes()
    for content in (b"", b"no picture", whole[:60], whole[: len(whole) // 2]):
        source.write_bytes(content)
        with pytest.raises(PictureError):
            workshop.thumb(source, target, "10x10", "image/png")
    source.write_bytes(whole)
    workshop.thumb(source, target, "10x10", "image/png")
    assert len(workshop._idle) == 1


def test_a_process_that_was_ended_is_replaced(workshop: Workshop, tmp_path: Path) -> None:
    source, target = save(tmp_path / "a"), tmp_path / "thumb"
    workshop.thumb(source, target, "10x10", "image/png")
    workshop._idle[0].send_signal(signal.SIGKILL)
    workshop._idle[0].wait()
    workshop.thumb(source, target, "10x10", "image/png")
    assert len(workshop._idle) == 1


def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    workshop = Workshop(timeout_s=0.001)  # no process is up in that time
    with pytest.raises(PictureError, match="took more than"):
        workshop.thumb(save(tmp_path / "a"), tmp_path / "thumb", "10x10", "image/png")
    assert workshop._idle == []
