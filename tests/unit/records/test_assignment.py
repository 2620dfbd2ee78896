"""What a body can't set, however it is spelled."""

from __future__ import annotations

import contextlib

import pytest

from rowcast.errors import ApiError
from rowcast.schema.uploads import upload
from tests.unit.records.world import World, asking, failing

GUARDED = ("id", "email", "verified", "tokenKey", "password", "created", "collectionId", "collectionName", "expand")
SPELLINGS = ("{}", "{}+", "+{}", "{}-", "{}:autogenerate", "{}:lower", " {}", "{}.x")
VALUES = (True, 1, "x" * 15, ["x"], {"a": 1}, None)


@pytest.mark.parametrize("name", GUARDED)
def test_an_account_does_not_change_what_is_guarded(world: World, name: str) -> None:
    account = world.account()
    before = world.stored("users", account.id)
    assert before is not None
    for spelling in SPELLINGS:
        for value in VALUES:
            body: dict[str, object] = {spelling.format(name): value}
            with contextlib.suppress(ApiError):
                world.update("users", account.id, body, auth=account)
            after = world.stored("users", account.id)
            assert after is not None
            assert after | {"updated": ""} == before | {"updated": ""}, body


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", ["secret", "tokenKey", "verified"])
def test_a_new_record_brings_nothing_hidden(world: World, name: str, spelling: str) -> None:
    collection = "posts" if name == "secret" else "users"
    body: dict[str, object] = {"title": "a", "email": "a@example.com", "password": "12345678"}
    body |= {"passwordConfirm": "12345678", spelling.format(name): "x" * 40}
    try:
        made = world.create(collection, body)
    except ApiError:
        return
    stored = world.stored(collection, made["id"])
    assert stored is not None
    assert stored[name] not in {"x" * 40, True}


def test_a_file_can_not_be_put_into_another_field(world: World) -> None:
    account = world.account()
    made = upload("a.txt", b"x")
    for key in ("tokenKey", "tokenKey+", "id", "password", "cover/../x"):
        failed = None
        with contextlib.suppress(ApiError):
            failed = world.records.update(asking(account), world.of("users"), account.id, {key: [made]})
        stored = world.stored("users", account.id)
        assert stored is not None
        assert (stored["tokenKey"], stored["id"]) == (account.text("tokenKey"), account.id), failed
    post = world.add("posts", title="a")
    error = failing(lambda: world.update("posts", post.id, {"cover": "../../data.db"}))
    assert isinstance(error, ApiError)
    assert "cover" in error.data.to_json()
