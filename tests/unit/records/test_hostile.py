"""Whatever a client sends: an answer or an ApiError, and nothing hidden in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowcast.errors import ApiError
from tests.unit.records.world import POST_FIELDS, World, asking, failing

pytestmark = pytest.mark.property

MARK = "top-secret-value"

TEXTS = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from([field.name for field in POST_FIELDS] + ["id", "expand", "collectionId", "password", "@x"])
KEYS = st.builds(str.format, st.sampled_from(["{}", "{}+", "+{}", "{}-", "{}:autogenerate", "{}:each"]), NAMES) | TEXTS
BODIES = st.dictionaries(KEYS, JSON, max_size=6)
PIECES = st.lists(
    st.sampled_from([
        "secret", "title", "author", "readers.", "author.tokenKey", "users_via_author", "comments_via_post", ".", ",",
        "(", ")", "*", ":", ":excerpt(3)", "'", '"', "=", "~", "&&", "||", "?=", ">", "@request.auth.id", "@random",
        "@collection.posts.secret", "@rowid", "-", "+", ":lower", ":each", ":length", "1", "'a'", "%", " ",
    ]),
    max_size=9,
).map("".join)  # fmt: skip
QUERIES = st.dictionaries(
    st.sampled_from(["filter", "sort", "expand", "fields", "page", "perPage", "skipTotal"]), PIECES | TEXTS, max_size=4
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("hostile") / "data")
    author = world.account(email="someone@example.com", tokenKey=MARK * 3)
    for number in range(3):
        world.add("posts", title=f"post {number}", secret=MARK, author=author.id, readers=[author.id])
    world.alter("posts", list_rule="title != 'post 2'")
    yield world
    world.close()


@settings(max_examples=150)
@given(body=BODIES)
def test_any_body_is_saved_or_refused(shared: World, body: dict[str, object]) -> None:
    posts = shared.of("posts")
    with shared.storage.read() as reader:
        known = shared.records.find_first(reader, posts, "title", "post 0")
    assert known is not None
    for call in (
        lambda: shared.records.create(asking(body=dict(body)), posts),
        lambda: shared.records.update(asking(body=dict(body)), posts, known.id),
        lambda: shared.records.create(asking(body=dict(body)), shared.of("users")),
    ):
        try:
            text = undone(shared, call)
        except ApiError as error:
            assert 400 <= error.status < 500
        else:
            assert MARK.encode() not in text
            msgspec.json.decode(text)


def undone(world: World, call: Callable[[], bytes]) -> bytes:
    """Return what a write answers, and undo it, so that each example starts from the same rows."""
    found: list[bytes] = []

    def run() -> None:
        with world.storage.write():
            found.append(call())
            raise KeyError

    error = failing(run)
    if not isinstance(error, KeyError):
        raise error
    return found[0]


@settings(max_examples=250)
@given(query=QUERIES)
def test_any_query_is_answered_or_refused(shared: World, query: dict[str, str]) -> None:
    try:
        text = shared.records.list(asking(query=query), shared.of("posts"))
    except ApiError as error:
        assert 400 <= error.status < 500
        return
    assert MARK.encode() not in text
    assert b"someone@example.com" not in text
    assert b"post 2" not in text
    msgspec.json.decode(text)
