"""One stream: queue, budget, closing."""

from __future__ import annotations

import pytest

from rowcast.realtime.accounts import Account
from rowcast.realtime.stream import Budget, Stream, new_client_id
from rowcast.schema.record import Position


class ListSink:
    """Takes what it is given while it has room."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.is_free = True
        self.is_aborted: bool | None = None

    def has_room(self) -> bool:
        return self.is_free

    def write(self, data: bytes) -> bool:
        if self.is_free:
            self.pieces.append(data)
        return self.is_free

    def pending(self) -> int:
        return 0

    def close(self, *, abort: bool) -> None:
        self.is_aborted = abort


@pytest.fixture
def sink() -> ListSink:
    return ListSink()


def open_stream(sink: ListSink, budget: Budget | None = None) -> Stream:
    return Stream(sink, new_client_id(), address="127.0.0.1", account=Account(), budget=budget or Budget())


def test_client_ids_are_forty_letters_and_digits() -> None:
    client_id = new_client_id()
    assert len(client_id) == 40
    assert client_id.isalnum()
    assert client_id != new_client_id()


def test_what_piled_up_leaves_as_one_piece_with_the_id_in_each_frame(sink: ListSink) -> None:
    stream = open_stream(sink)
    stream.push(b"event:a\n\n")
    stream.push(b"event:b\n\n")
    assert stream.flush()
    assert sink.pieces == [stream.id_line + b"event:a\n\n" + stream.id_line + b"event:b\n\n"]
    assert stream.queued_bytes == 0
    assert stream.sent_frames == 2


def test_frames_wait_while_the_sink_has_no_room(sink: ListSink) -> None:
    stream = open_stream(sink)
    sink.is_free = False
    stream.push(b"event:a\n\n")
    assert not stream.flush()
    sink.is_free = True
    assert stream.flush()
    assert sink.pieces == [stream.id_line + b"event:a\n\n"]


@pytest.mark.parametrize("budget", [Budget(max_bytes=200), Budget(max_frames=3)])
def test_a_slow_stream_is_closed_not_skipped(sink: ListSink, budget: Budget) -> None:
    stream = open_stream(sink, budget)
    closed: list[Stream] = []
    stream.on_close = closed.append
    for _ in range(4):
        stream.push(b"event:aaaaaaaaaaaaaaaaaaaa\n\n")
    assert stream.closed == "slow"
    assert closed == [stream]
    assert sink.is_aborted
    assert not sink.pieces


def test_a_heartbeat_is_sent_only_when_nothing_waits(sink: ListSink) -> None:
    stream = open_stream(sink)
    stream.beat(Position(7, "abcdefghij"))
    assert sink.pieces == [b":\n\n"]
    stream.push(b"event:a\n\n")
    stream.beat(Position(7, "abcdefghij"))
    assert sink.pieces == [b":\n\n"]


def test_a_stop_lets_the_queue_out_first_and_closes_once(sink: ListSink) -> None:
    stream = open_stream(sink)
    closed: list[Stream] = []
    stream.on_close = closed.append
    stream.push(b"event:a\n\n")
    stream.close("stop")
    stream.close("gone")
    assert stream.closed == "stop"
    assert sink.pieces == [stream.id_line + b"event:a\n\n"]
    assert sink.is_aborted is False
    assert closed == [stream]


class BrokenSink(ListSink):
    """A connection that raises, whatever is asked of it."""

    def write(self, data: bytes) -> bool:
        raise RuntimeError("closed")

    def close(self, *, abort: bool) -> None:
        raise RuntimeError("closed")


def test_a_connection_that_raises_ends_its_stream_and_nothing_else() -> None:
    for use in ("flush", "beat"):
        stream = open_stream(BrokenSink())
        closed: list[Stream] = []
        stream.on_close = closed.append
        if use == "flush":
            stream.push(b"event:a\n\n")
            assert stream.flush()
        else:
            stream.beat(Position(1, "a" * 10))
        assert stream.closed == "failed"
        assert closed == [stream]


class CountingSink(ListSink):
    """Counts how often it is given something to write."""

    writes = 0

    def write(self, data: bytes) -> bool:
        self.writes += 1
        return super().write(data)


def test_frames_are_not_put_together_while_there_is_no_room() -> None:
    sink = CountingSink()
    stream = open_stream(sink)
    sink.is_free = False
    stream.push(b"event:a\n\n")
    for _ in range(50):
        assert not stream.flush()
    assert sink.writes == 0
