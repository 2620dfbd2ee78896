"""A client of one server for tests that look at statuses, frames and sockets, which the SDK hides."""

from __future__ import annotations

import http.client
import json
import re
import socket
from contextlib import ExitStack
from typing import Any

from tests.e2e.server import SUPERUSER

OPENED = ExitStack()
"""Sockets of the running test; a fixture closes them after it."""

TEXT_FIELD: list[dict[str, object]] = [{"name": "title", "type": "text", "max": 1_000_000}]


class Api:
    """Asks one server over one connection; `prefix` is where the API is mounted."""

    def __init__(self, url: str, prefix: str = "") -> None:
        self.port = int(url.rpartition(":")[2])
        self.prefix = prefix
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        OPENED.callback(self._connection.close)
        self.token = ""

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", **({"Authorization": self.token} if self.token else {})}
        payload = None if body is None else json.dumps(body)
        self._connection.request(method, self.prefix + path, payload, headers)
        answer = self._connection.getresponse()
        data = answer.read()
        return answer.status, json.loads(data) if data else None

    def ok(self, method: str, path: str, body: object = None) -> Any:
        status, data = self.call(method, path, body)
        assert status < 300, data
        return data

    def text(self, path: str) -> str:
        """The body of an answer that is not JSON."""
        self._connection.request("GET", self.prefix + path)
        return self._connection.getresponse().read().decode()

    def sign_in(self, collection: str = "_superusers", account: tuple[str, str] = SUPERUSER) -> None:
        identity, password = account
        path = f"/api/collections/{collection}/auth-with-password"
        self.token = self.ok("POST", path, {"identity": identity, "password": password})["token"]

    def create_open_collection(self, name: str, fields: list[dict[str, object]]) -> None:
        rules = dict.fromkeys(("listRule", "viewRule", "createRule", "updateRule", "deleteRule"), "")
        self.ok("POST", "/api/collections", {"name": name, "type": "base", "fields": fields, **rules})


class EventStream:
    """One realtime stream on a raw socket."""

    def __init__(self, api: Api, topics: list[str] | None = None, *, buffer_bytes: int = 0, query: str = "") -> None:
        self.socket = OPENED.enter_context(socket.socket())
        if buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", api.port))
        self.socket.sendall(f"GET {api.prefix}/api/realtime{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        self._data = b""
        self.head = self._until(b"\r\n\r\n").decode()
        self.first = self.frame()
        found = re.search(r'"clientId":"([^"]+)"', self.first)
        assert found, self.first
        self.client_id = found[1]
        if topics:
            api.ok("POST", "/api/realtime", {"clientId": self.client_id, "subscriptions": topics})

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._data:
            chunk = self.socket.recv(65_536)
            if not chunk:
                raise EOFError(self._data)
            self._data += chunk
        head, self._data = self._data.split(mark, 1)
        return head

    def frame(self) -> str:
        """The next frame without its chunk framing; heartbeats are passed over."""
        while True:
            text = self._until(b"\n\n").decode()
            lines = [line for line in text.split("\n") if not re.fullmatch(r"[0-9a-f]*\r", line)]
            if not lines[0].startswith(":"):
                return "\n".join(lines)

    def rest(self) -> bytes:
        """Whatever comes until the server closes the connection."""
        parts = [self._data]
        try:
            while chunk := self.socket.recv(65_536):
                parts.append(chunk)
        except ConnectionResetError:
            pass
        return b"".join(parts)
