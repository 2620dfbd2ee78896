"""From who sees a change to the frames of their streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rowcast.realtime import frames
from rowcast.realtime.audience import Delivery
from rowcast.realtime.stream import Stream
from rowcast.schema.record import Change, Position

Push = Callable[[Stream, bytes], None]


def deliver(change: Change, deliveries: Iterable[Delivery], push: Push, *, behind: Position) -> None:
    """Push the frames of a change; `behind` is the position of the change before it.

    Streams are looked up only now: judging may have run in a thread while some left or
    lost their account. A stream with a cursor that gets several events of one change is
    told the change's position with the last of them, so that a cut between two brings
    the change again.
    """
    position = change.position
    owed: dict[Stream, bytes] = {}
    for delivery in deliveries:
        body = delivery.body
        for stream in delivery.group.receivers(delivery.kind, delivery.accounts):
            if position is None or not stream.has_cursor:
                push(stream, body)
                continue
            earlier = owed.get(stream)
            if earlier is not None:
                push(stream, frames.at(position, earlier, behind=behind))
            owed[stream] = body
    if position is None:
        return
    whole: dict[bytes, bytes] = {}
    for stream, body in owed.items():
        frame = whole.get(body)
        if frame is None:
            frame = whole[body] = frames.at(position, body)
        push(stream, frame)
