"""Requests to an application in this process, straight over ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from rowcast import App, Config
from rowcast.api.request import Message, Request, Scope

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Reply:
    """An answer. Header names are in lower case; equal ones are joined by ", "."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def message(self) -> str:
        return str(self.json()["message"])


def scope(
    method: str, target: str, headers: Headers = (), *, root: str = "", client: tuple[str, int] | None = ("10.0.0.1", 5)
) -> Scope:
    """Return what a server makes of a request line and headers."""
    path, _, query = target.partition("?")
    from urllib.parse import unquote

    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": root + unquote(path, errors="replace"),
        "raw_path": (root + path).encode(),
        "root_path": root,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        "client": client,
        "server": ("127.0.0.1", 8090),
    }


class Channel:
    """The two ends of a connection: `pieces` come in, `messages` went out."""

    def __init__(self, pieces: Sequence[bytes] = (b"",)) -> None:
        self._pieces = list(pieces)
        self.messages: list[Message] = []
        self.gone = asyncio.Event()
        self._sent = asyncio.Event()

    async def receive(self) -> Message:
        if self._pieces:
            piece = self._pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        self._sent.set()

    async def sent(self) -> None:
        """Wait for the next message that goes out."""
        self._sent.clear()
        await self._sent.wait()

    def reply(self) -> Reply:
        start, *rest = self.messages
        assert start["type"] == "http.response.start"
        assert [bool(message.get("more_body")) for message in rest] == [True] * (len(rest) - 1) + [False]
        headers: dict[str, str] = {}
        for name, value in start["headers"]:
            key = name.decode()
            assert key == key.lower()
            headers[key] = f"{headers[key]}, {value.decode('latin-1')}" if key in headers else value.decode("latin-1")
        return Reply(start["status"], headers, b"".join(message["body"] for message in rest))


class Client:
    """Sends requests to one application."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        headers: Headers = (),
        token: str = "",
        pieces: Sequence[bytes] | None = None,
        root: str = "",
        client: tuple[str, int] | None = ("10.0.0.1", 5),
    ) -> Reply:
        """Send a request. A body that is no bytes is sent as JSON; `pieces` is a body without a length."""
        given = list(headers)
        if token:
            given.append(("Authorization", token))
        if pieces is None:
            data = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
            pieces = (data,)
            if body is not None and not any(name.lower() == "content-length" for name, _ in given):
                given.append(("Content-Length", str(len(data))))
            if body is not None and not isinstance(body, bytes):
                given.append(("Content-Type", "application/json"))
        else:
            given.append(("Transfer-Encoding", "chunked"))
        channel = Channel(pieces)
        await self.app(scope(method, target, given, root=root, client=client), channel.receive, channel.send)
        return channel.reply()


@asynccontextmanager
async def serving(data_dir: Path, **config: Any) -> AsyncIterator[Client]:
    """Start an application on a data directory and stop it in the end."""
    app = App(
        data_dir,
        config=Config(public_dir=str(data_dir / "nowhere"), **config)
        if "public_dir" not in config
        else Config(**config),
    )
    await app.start()
    try:
        yield Client(app)
    finally:
        await app.stop()


def request(
    method: str = "GET", target: str = "/", headers: Headers = (), pieces: Sequence[bytes] = (b"",), **more: Any
) -> Request:
    """Return a request as the pipeline makes it, with a body limit."""
    made = Request(scope(method, target, headers, **more), Channel(pieces).receive)
    made.body_limit = 1 << 20
    return made
