"""The bytes of a stream, as the reference writes them."""

from __future__ import annotations

from rowcast.realtime import frames


def test_the_first_frame_tells_the_client_id() -> None:
    assert frames.connect("abc") == b'id:abc\nevent:PB_CONNECT\ndata:{"clientId":"abc"}\n\n'


def test_a_frame_is_an_id_line_and_a_shared_body() -> None:
    body = frames.body(b"posts/*", b'{"record":{},"action":"create"}')
    assert frames.id_line("abc") + body == b'id:abc\nevent:posts/*\ndata:{"record":{},"action":"create"}\n\n'


def test_a_heartbeat_is_a_comment() -> None:
    assert frames.HEARTBEAT == b":\n\n"
