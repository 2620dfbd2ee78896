"""The topic index: which groups a change concerns."""

from __future__ import annotations

import sys
import threading

import pytest

from rowcast.realtime import topics
from rowcast.realtime.accounts import Accounts
from rowcast.realtime.index import TopicIndex
from rowcast.realtime.stream import Budget, Stream
from rowcast.schema.collection import Collection
from tests.property.engine import Sink

POSTS = Collection(id="pbc_1", name="posts", list_rule="list", view_rule="view")


def listening(*texts: str) -> Stream:
    stream = Stream(Sink(), "one", address="", account=Accounts().guest, budget=Budget())
    stream.subscriptions = {text: topics.parse(text) for text in texts}
    return stream


def told(index: TopicIndex, record_id: str = "r1") -> list[tuple[str, str | None]]:
    return [(found.group.subscription.text, found.rule) for found in index.addressees(POSTS, record_id)]


def test_a_change_is_told_by_record_then_by_collection_by_name_and_by_id() -> None:
    texts = ("pbc_1", "posts", "pbc_1/*", "posts/*", "pbc_1/r1", "posts/r1", "posts/r2", "comments/*", "posts/r1/x")
    index = TopicIndex()
    index.join(listening(*texts))
    assert told(index) == [
        ("posts/r1", "view"), ("pbc_1/r1", "view"), ("posts/*", "list"), ("pbc_1/*", "list"), ("posts", "list"),
        ("pbc_1", "list"),
    ]  # fmt: skip
    assert len(index) == index.group_count() == len(texts)


def test_each_subscription_string_of_a_topic_is_a_group() -> None:
    index = TopicIndex()
    texts = ("posts/*", 'posts/*?options={"query":{"fields":"id"}}')
    index.join(listening(*texts))
    assert [text for text, _ in told(index)] == list(texts)
    assert (len(index), index.group_count()) == (1, 2)


@pytest.mark.parametrize("topic", ["posts/*", "posts/r1", "posts", "@oauth2", "a/b/c", ""])
def test_nothing_is_left_of_streams_that_left(topic: str) -> None:
    index = TopicIndex()
    streams = [listening(topic), listening(topic)]
    for stream in streams:
        index.join(stream)
    assert [group.streams() for group in index.groups(topic)] == [streams]
    for stream in streams:
        index.leave(stream)
        index.leave(stream)
    assert index.groups(topic) == ()
    assert (len(index), index.group_count(), told(index), index.heads(POSTS)) == (0, 0, [], [])


def test_threads_may_ask_while_streams_come_and_go() -> None:
    index, is_over = TopicIndex(), threading.Event()
    index.join(listening(*(f'posts/*?options={{"query":{{"fields":"{number}"}}}}' for number in range(200))))
    other = listening("posts/*")

    def come_and_go() -> None:
        while not is_over.is_set():
            index.join(other)
            index.leave(other)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        assert {len(told(index)) for _ in range(3_000)} <= {200, 201}
    finally:
        sys.setswitchinterval(before)
        is_over.set()
        thread.join()
