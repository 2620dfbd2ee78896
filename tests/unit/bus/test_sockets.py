"""The link between processes of one machine: hints, questions, and those who died."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from rowcast.bus import LinkError
from rowcast.bus.sockets import SocketLink, folder_of


async def answer(question: bytes) -> bytes:
    return b"answer to " + question


async def opened(name: str, folder: Path, hinted: asyncio.Event) -> SocketLink:
    link = SocketLink(name, folder)
    await link.open(hinted.set, answer)
    return link


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_who_leaves_takes_the_sockets_away(folder: Path) -> None:
    async def play() -> None:
        one, two = [await opened(name, folder, asyncio.Event()) for name in ("one", "two")]
        await two.close()
        assert await one.nodes() == []
        await one.close()

    asyncio.run(play())
    assert list(folder.iterdir()) == []


def test_what_a_dead_node_left_behind_is_removed_and_counts_as_nobody(folder: Path) -> None:
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(str(folder / "dead.hint"))
    dead.close()
    (folder / "dead.ask").touch()

    async def play() -> None:
        one = await opened("one", folder, asyncio.Event())
        assert not one.has_others
        await one.close()

    asyncio.run(play())
    assert list(folder.iterdir()) == []


def test_a_directory_has_one_folder_that_is_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    found = folder_of(tmp_path / "pb_data")
    assert found == folder_of(tmp_path / "x" / ".." / "pb_data")
    assert found != folder_of(tmp_path / "other")
    assert found.stat().st_mode & 0o777 == 0o700
    found.chmod(0o755)
    with pytest.raises(LinkError, match="closed to others"):
        folder_of(tmp_path / "pb_data")
