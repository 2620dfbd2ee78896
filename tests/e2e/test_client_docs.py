"""What docs/python-client.md shows runs as it stands there."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

import pytest

from rowcast.client import Client
from tests.e2e.server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

PAGE = Path(__file__).parents[2] / "docs" / "python-client.md"
ROWCAST_ONLY = "client.realtime.publish"


async def test_the_examples_of_the_page_run(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    first, *others = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(others) > 5
    opening, mark, body = first.partition('async with Client("http://127.0.0.1:8090") as client:\n')
    assert mark
    blocks = [opening, textwrap.dedent(body), *others]
    if server.kind == "reference":
        blocks = [block for block in blocks if ROWCAST_ONLY not in block]
    async with Client(server.url) as client:
        names: dict[str, object] = {"client": client, "__name__": "page"}
        for block in blocks:
            code = compile(block, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)  # noqa: S307 - what we wrote
            if running is not None:
                await running
    printed = capsys.readouterr().out
    assert "name: Cannot be blank." in printed
    assert (tmp_path / "copy.txt").read_bytes() == b"bytes"
