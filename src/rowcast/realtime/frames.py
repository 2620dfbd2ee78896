"""The bytes of a realtime stream (Server-Sent Events). Pure.

A frame is `id:CLIENT_ID\\nevent:TOPIC\\ndata:JSON\\n\\n`, as the reference writes
it (tools/subscriptions/message.go, WriteSSE). Some clients read the client id
from the id of any frame, so it stands in each of them; it is the only part that
differs between the receivers of one event. So a frame is the stream's own
`id_line` and a body that all streams of an audience share.
"""

from __future__ import annotations

HEARTBEAT = b":\n\n"
"""A comment: ignored by every client, noticed by proxies and dead peers."""


def id_line(client_id: str) -> bytes:
    """Return the first line of each frame of a stream."""
    return b"id:" + client_id.encode("ascii") + b"\n"


def body(event_name: bytes, data: bytes) -> bytes:
    """Return what follows the id line; `data` is JSON text and so holds no line break."""
    return b"event:" + event_name + b"\ndata:" + data + b"\n\n"


def connect(client_id: str) -> bytes:
    """Return the first frame of a stream, which tells the client its id."""
    return id_line(client_id) + body(b"PB_CONNECT", b'{"clientId":"' + client_id.encode("ascii") + b'"}')
