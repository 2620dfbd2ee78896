"""The files of the inspector: types, policy, caching, and nothing but them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import rowcast.api.inspector
from tests.unit.api.client import Client

Tell = Callable[..., None]

FOLDER = Path(rowcast.api.inspector.__file__).parent
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PARTS = sorted(path for path in FOLDER.iterdir() if path.suffix in TYPES)


def test_the_page_has_a_strict_policy(tell: Tell) -> None:
    content = (FOLDER / "index.html").read_bytes()

    async def story(client: Client) -> None:
        reply = await client("GET", "/_/realtime")
        assert (reply.status, reply.body) == (200, content)
        headers = reply.headers
        assert headers["content-type"] == "text/html; charset=utf-8"
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert "http" not in policy

    tell(story)


@pytest.mark.parametrize("part", PARTS, ids=lambda path: path.name)
def test_each_part_has_its_type(tell: Tell, part: Path) -> None:
    content = part.read_bytes()

    async def story(client: Client) -> None:
        reply = await client("GET", f"/_/realtime/{part.name}")
        assert (reply.status, reply.body) == (200, content)
        assert reply.headers["content-type"].startswith(TYPES[part.suffix])

    tell(story)


def test_what_is_known_is_not_sent_again(tell: Tell) -> None:
    async def story(client: Client) -> None:
        headers = (await client("GET", "/_/realtime/main.js")).headers
        assert headers["cache-control"] == "no-cache"
        for known, status in ((headers["etag"], 304), (f'W/{headers["etag"]}, "x"', 304), ('"x"', 200), ("", 200)):
            reply = await client("GET", "/_/realtime/main.js", headers=[("If-None-Match", known)])
            assert (reply.status, bool(reply.body)) == (status, status == 200)

    tell(story)


@pytest.mark.parametrize(
    "name", ["nope.js", "serving.py", "__init__.py", "index.html", "..%2Finspector%2Fmain.js", "%2e%2e/main.js", "a/b"]
)
def test_nothing_else_is_served(tell: Tell, name: str) -> None:
    async def story(client: Client) -> None:
        assert (await client("GET", f"/_/realtime/{name}")).status in {307, 404}

    tell(story)


def test_a_slash_too_many_is_taken_away(tell: Tell) -> None:
    async def story(client: Client) -> None:
        reply = await client("GET", "/_/realtime/")
        assert (reply.status, reply.headers["location"]) == (307, "/_/realtime")

    tell(story)


@pytest.mark.parametrize("path", [*PARTS, FOLDER / "index.html"], ids=lambda path: path.name)
def test_parts_load_nothing_from_elsewhere_and_make_no_html(path: Path) -> None:
    text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
    for forbidden in ("http:", "https:", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "style="):
        assert forbidden not in text
