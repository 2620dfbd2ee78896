"""The bytes of a realtime stream (Server-Sent Events). Pure.

A frame is `id:CLIENT_ID\\nevent:TOPIC\\ndata:JSON\\n\\n`, as the reference writes
it (tools/subscriptions/message.go, WriteSSE). Some clients read the client id
from the id of any frame, so it stands in each of them; it is the only part that
differs between the receivers of one event. So a frame is the stream's own
`id_line` and a body that all streams of an audience share.
"""

from __future__ import annotations

from rowcast.schema.record import Position

HEARTBEAT = b":\n\n"
"""A comment: ignored by every client, noticed by proxies and dead peers."""

_BODY_END = b"}\n\n"


def id_line(client_id: str) -> bytes:
    """Return the first line of each frame of a stream."""
    return b"id:" + client_id.encode("ascii") + b"\n"


def body(event_name: bytes, data: bytes) -> bytes:
    """Return what follows the id line; `data` is JSON text and so holds no line break."""
    return b"event:" + event_name + b"\ndata:" + data + b"\n\n"


def connect(client_id: str) -> bytes:
    """Return the first frame of a stream, which tells the client its id."""
    return id_line(client_id) + body(b"PB_CONNECT", b'{"clientId":"' + client_id.encode("ascii") + b'"}')


def connect_at(client_id: str, position: Position, *, is_resumed: bool) -> bytes:
    """Return the first frame of a stream with a cursor: also where it starts, and whether as it was asked to."""
    resumed = b"true" if is_resumed else b"false"
    cursor = str(position).encode("ascii")
    return connect(client_id)[: -len(_BODY_END)] + b',"cursor":"' + cursor + b'","resumed":' + resumed + _BODY_END


def at(position: Position, body: bytes, *, behind: Position | None = None) -> bytes:
    """Return the whole frame of an event for streams with a cursor: its id and a third member are the position.

    `behind` is the position to resume from, where it is another one: a change of which
    a stream gets several events is not behind it before the last of them.
    """
    cursor = str(position).encode("ascii")
    return id_line(str(behind or position)) + body[: -len(_BODY_END)] + b',"cursor":"' + cursor + b'"' + _BODY_END


def progress(position: Position) -> bytes:
    """Return an event of its own name that tells how far a stream is; it serves as a heartbeat as well."""
    cursor = str(position)
    return id_line(cursor) + body(b"PB_CURSOR", b'{"cursor":"' + cursor.encode("ascii") + b'"}')
