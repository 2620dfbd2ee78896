from __future__ import annotations

import pytest

from rowcast.errors import BadRequestError, ForbiddenError, NotFoundError
from rowcast.records.references import ReferencedError
from rowcast.schema.record import Record
from tests.unit.records.world import World, failing


@pytest.fixture
def post(world: World) -> Record:
    return world.add("posts", title="one", n=5)


def said(world: World) -> list[tuple[str, str, str]]:
    return [(c.action, c.record.collection.name, c.record.id) for c in world.changes]


def test_a_deleted_record_is_gone_and_announced(world: World, post: Record) -> None:
    world.delete("posts", post.id)
    assert world.stored("posts", post.id) is None
    assert said(world) == [("delete", "posts", post.id)]
    assert world.changes[0].record.values["n"] == 5
    assert world.changes[0].before is None


@pytest.mark.parametrize(
    ("rule", "error"),
    [(None, ForbiddenError), ("n = 9", NotFoundError), ("missing = 1", NotFoundError), ("n = 5", None)],
)
def test_the_delete_rule_decides(world: World, post: Record, rule: str | None, error: type[Exception] | None) -> None:
    world.alter("posts", delete_rule=rule)
    if error is None:
        world.delete("posts", post.id)
    else:
        assert type(failing(lambda: world.delete("posts", post.id))) is error
        world.delete("posts", post.id, auth=world.superuser())
    assert world.count("posts") == 0


def test_who_cascades_goes_along_and_comes_first(world: World, post: Record) -> None:
    comments = [world.add("comments", post=post.id) for _ in range(3)]
    other = world.add("comments", post=world.add("posts", title="two").id)
    world.delete("posts", post.id)
    assert said(world) == [*(("delete", "comments", c.id) for c in comments), ("delete", "posts", post.id)]
    assert world.count("comments") == 1
    assert world.stored("comments", other.id) is not None


def test_a_required_reference_stands_in_the_way(world: World, post: Record) -> None:
    world.add("comments", post=post.id)
    world.add("pins", post=post.id)
    error = failing(lambda: world.delete("posts", post.id, auth=world.superuser()))
    assert type(error) is ReferencedError
    assert error.message == (
        "Failed to delete record. Make sure that the record is not part of a required relation reference."
    )
    assert (world.count("posts"), world.count("comments"), world.changes) == (1, 1, [])


def test_weak_references_are_taken_out(world: World, post: Record) -> None:
    two = world.add("posts", title="two")
    held = world.add("lists", posts=[post.id, two.id], parts=[two.id, post.id], main=post.id)
    world.delete("posts", post.id)
    stored = world.stored("lists", held.id) or {}
    assert (stored["posts"], stored["parts"], stored["main"]) == ([two.id], [two.id], "")
    assert said(world) == [("update", "lists", held.id)] * 3 + [("delete", "posts", post.id)]


def test_a_list_cascades_with_its_last_item(world: World, post: Record) -> None:
    two = world.add("posts", title="two")
    held = world.add("lists", posts=[two.id], parts=[post.id])
    world.delete("posts", post.id)
    assert world.stored("lists", held.id) is None


def test_a_required_list_keeps_its_last_item(world: World, post: Record) -> None:
    world.add("lists", posts=[post.id])
    assert type(failing(lambda: world.delete("posts", post.id))) is ReferencedError


def test_a_long_chain_goes_as_a_whole(world: World) -> None:
    with world.storage.write() as tx:
        for number in range(3000):
            tx.run("INSERT INTO nodes (id, parent) VALUES (?, ?)", [f"n{number}", f"n{number - 1}" if number else ""])
    world.delete("nodes", "n0")
    assert world.count("nodes") == 0
    assert [change.record.id for change in world.changes[:2]] == ["n2999", "n2998"]


def test_a_circle_of_references_comes_to_an_end(world: World) -> None:
    with world.storage.write() as tx:
        for node, parent in (("a", "c"), ("b", "a"), ("c", "b"), ("d", "d")):
            tx.run("INSERT INTO nodes (id, parent) VALUES (?, ?)", [node, parent])
    world.delete("nodes", "a")
    assert sorted(change.record.id for change in world.changes) == ["a", "b", "c"]
    world.delete("nodes", "d")
    assert world.count("nodes") == 0


def test_more_references_than_a_batch_are_followed(world: World, post: Record) -> None:
    with world.storage.write() as tx:
        for number in range(4100):
            tx.run("INSERT INTO comments (id, post, likes) VALUES (?, ?, '[]')", [f"c{number}", post.id])
    world.delete("posts", post.id)
    assert world.count("comments") == 0
    assert len(world.changes) == 4101


def test_an_account_takes_along_what_hangs_on_it(world: World) -> None:
    user, other = world.account(), world.account()
    for account in (user, other):
        reference = {"collectionRef": "users", "recordRef": account.id}
        world.add("_authOrigins", fingerprint="f", **reference)
        world.add("_mfas", method="password", **reference)
        world.add("_otps", password="x", **reference)
        world.add("_externalAuths", provider="google", providerId=account.id, **reference)
    world.delete("users", user.id)
    assert [world.count(name) for name in ("_authOrigins", "_mfas", "_otps", "_externalAuths")] == [1, 1, 1, 1]
    assert [name for _, name, _ in said(world)] == ["_authOrigins", "_otps", "_mfas", "_externalAuths", "users"]


def test_who_listens_gets_the_state_before(world: World, post: Record) -> None:
    world.add("comments", post=post.id, text="hello")
    world.listened = {"comments"}
    world.delete("posts", post.id)
    of_comment, of_post = world.changes
    assert of_post.before is None
    assert of_comment.before is not None
    try:
        assert of_comment.before.value("SELECT COUNT(*) FROM posts") == 1
    finally:
        of_comment.before.close()


def test_deletes_of_several_records_are_one_transaction(world: World, post: Record) -> None:
    pinned = world.add("posts", title="two")
    world.add("pins", post=pinned.id)

    def both() -> None:
        with world.storage.write():
            world.delete("posts", post.id)
            world.delete("posts", pinned.id)

    assert isinstance(failing(both), BadRequestError)
    assert (world.count("posts"), world.changes) == (2, [])
