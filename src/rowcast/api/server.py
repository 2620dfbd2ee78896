"""uvicorn with two additions: streams get their transport, and end before the server waits for them."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rowcast.api.stream import TRANSPORT_EXTENSION


class TransportProtocol(HttpToolsProtocol):
    """HTTP/1.1 by httptools; hands the transport to the application as an extension of the scope."""

    def on_message_begin(self) -> None:
        """Start a request's scope."""
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT_EXTENSION: self.transport}  # type: ignore[dict-item]


class Server(uvicorn.Server):
    """Ends the streams when it is told to stop: uvicorn would wait for them, and they never end by themselves."""

    def __init__(self, config: uvicorn.Config, *, end_streams: Callable[[], None]) -> None:
        super().__init__(config)
        self._end_streams = end_streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, end streams, wait for the other requests."""
        self._end_streams()
        await super().shutdown(sockets)
