"""The parser of event streams: however the bytes are cut, the events are the same."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowcast.client.realtime import sse
from rowcast.client.realtime.sse import EventParser, Frame, StreamError

LINE = st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]), max_size=8)
END = st.sampled_from(["\n", "\r\n", "\r"])


def parse(*chunks: bytes) -> list[Frame]:
    parser = EventParser()
    return [frame for chunk in chunks for frame in parser.feed(chunk)]


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[Frame]]:
    """A stream and what it holds."""
    text, frames, end = "", [], draw(END)
    for _ in range(draw(st.integers(0, 4))):
        id_, event, data = draw(LINE), draw(LINE), draw(st.lists(LINE, min_size=1, max_size=3))
        lines = [f"id: {id_}", f"event: {event}", ": a comment", *(f"data: {line}" for line in data), "retry: 5", ""]
        text += "".join(line + end for line in lines)
        frames.append(Frame(id_, event or "message", "\n".join(data).encode()))
    return text.encode() + b"x\n", frames


@pytest.mark.property
@given(streams(), st.lists(st.integers(0, 400)), st.booleans())
def test_cuts_change_nothing(stream: tuple[bytes, list[Frame]], cuts: list[int], has_mark: bool) -> None:
    text, frames = stream
    text = b"\xef\xbb\xbf" + text if has_mark else text
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert parse(*(text[start:end] for start, end in pairwise(places))) == frames
    assert parse(*(bytes([byte]) for byte in text)) == frames


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        (b"data:x\n\n", [Frame("", "message", b"x")]),
        (b"id:1\ndata:a\n\ndata:b\n\n", [Frame("1", "message", b"a"), Frame("1", "message", b"b")]),
        (b"id:1\nevent:e\n\n", []),
        (b":\n\n", []),
        (b"data\n\n", [Frame("", "message", b"")]),
        (b"data:x\n", []),
        (b"data:  x\n\n", [Frame("", "message", b" x")]),
        (b"id:a\0b\ndata:x\n\n", [Frame("", "message", b"x")]),
    ],
)
def test_corners_of_the_standard(text: bytes, frames: list[Frame]) -> None:
    assert parse(text) == frames


def test_an_event_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
    with pytest.raises(StreamError):
        parse(b"data:" + b"x" * 60 + b"\n", b"data:" + b"x" * 60 + b"\n")
    with pytest.raises(StreamError):
        parse(b"x" * 101)
