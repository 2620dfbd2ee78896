"""Records through the Python client, on a real server of each kind."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import httpx
import pytest

from rowcast.client import Client, ClientResponseError, DecodeError, UsageError, field
from tests.e2e.posts import PlainPost, Post, TypedPost, make_posts
from tests.e2e.server import Server, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


async def test_a_record_is_created_read_updated_and_deleted(root: Client) -> None:
    await make_posts(root)
    posts = root.collection("posts")
    made = await posts.create({"title": "one", "total": 3})
    assert (made.title, made["total"], made.collectionName) == ("one", 3, "posts")
    assert await posts.get(made.id) == made
    changed = await posts.update(made.id, {"title": "two", "total+": 4})
    assert (changed.id, changed.title, changed.total) == (made.id, "two", 7)
    await posts.delete(made.id)
    with pytest.raises(ClientResponseError) as refused:
        await posts.get(made.id)
    assert refused.value.status == 404
    assert not refused.value.is_abort


async def test_records_come_as_the_type_that_was_asked_for(root: Client) -> None:
    await make_posts(root)
    made = await root.collection("posts", Post).create({"title": "typed", "total": 1})
    assert isinstance(made, Post)
    assert made.collection_id.startswith("pbc_")
    assert asdict(await root.collection("posts", PlainPost).get(made.id)) == {"id": made.id, "title": "typed"}
    page = await root.collection("posts", TypedPost).list()
    assert page.items == [{"id": made.id, "title": "typed"}]


async def test_a_struct_and_a_dataclass_can_be_written(root: Client) -> None:
    await make_posts(root)
    posts = root.collection("posts", Post)
    first = await posts.create(Post("a" * 15, "struct", 2))
    second = await posts.create(PlainPost("b" * 15, "dataclass"))
    assert [(post.id, post.title) async for post in posts.all(sort="id")] == [
        (first.id, "struct"),
        (second.id, "dataclass"),
    ]


async def test_a_record_that_does_not_fit_its_type_is_told(root: Client) -> None:
    await make_posts(root)
    await root.collection("posts").create({"title": "x"})
    with pytest.raises(DecodeError, match=r"no Post.*title"):
        await root.collection("posts", Post).first(fields="id")


async def test_pages_have_totals_unless_they_are_skipped(root: Client) -> None:
    await make_posts(root)
    posts = root.collection("posts")
    for number in range(5):
        await posts.create({"title": f"t{number}", "total": number})
    page = await posts.list(2, 2, sort="total")
    assert ([post.total for post in page], page.page, page.per_page) == ([2, 3], 2, 2)
    assert (page.total_items, page.total_pages) == (5, 3)
    assert (await posts.list(skip_total=True)).total_items == -1


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 500])
async def test_all_pages_are_loaded_as_they_are_wanted(root: Client, batch: int) -> None:
    await make_posts(root)
    posts = root.collection("posts")
    for number in range(3):
        await posts.create({"title": "t", "total": number})
    assert [post.total async for post in posts.all(sort="-total", batch=batch)] == [2, 1, 0]
    assert [post async for post in posts.all(filter="total > 9", batch=batch)] == []


HOSTILE = ['a"b', "a'b", "back\\slash", "ends in \\", '\\" || 1=1 || "', "new\nline\ttab\r", "{:q}", "üñ💥", "bell\a"]


async def test_values_in_filters_are_never_read_as_filters(root: Client) -> None:
    await make_posts(root)
    posts = root.collection("posts")
    for text in HOSTILE:
        await posts.create({"title": text})
    for text in HOSTILE:
        bound = [post.title async for post in posts.all(filter=root.filter("title = {:q}", {"q": text}))]
        built = [post.title async for post in posts.all(filter=field("title") == text)]
        assert bound == built == [text]


async def test_conditions_find_what_they_say(root: Client) -> None:
    await make_posts(root, fields=[{"name": "on", "type": "bool"}, {"name": "at", "type": "date"}])
    posts = root.collection("posts")
    noon = datetime(2024, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    for number, title in enumerate(["alpha", "beta", "gamma"]):
        await posts.create({"title": title, "total": number, "on": number == 1, "at": "2024-01-01 12:00:00.250Z"})

    async def found(condition: object) -> list[str]:
        return [post.title async for post in posts.all(filter=str(condition), sort="title")]

    assert await found(field("title").contains("MM") | (field("total") < 1)) == ["alpha", "gamma"]
    assert await found(field("title").excludes("a%") & (field("on") == True)) == ["beta"]  # noqa: E712 - a condition
    assert await found(field("title").is_in("alpha", "gamma")) == ["alpha", "gamma"]
    assert await found((field("at") == noon) & (field("total") >= 1) & (field("total") != 2)) == ["beta"]
    assert await found(field("total") <= 1e-7) == ["alpha"]
    assert (await posts.first(root.filter("at >= {:at} && total > {:n}", at=noon, n=1))).title == "gamma"


async def test_first_of_none_is_not_found(root: Client) -> None:
    await make_posts(root)
    with pytest.raises(ClientResponseError) as missing:
        await root.collection("posts").first(field("title") == "nobody")
    assert missing.value.status == 404


async def test_relations_are_expanded_as_records(root: Client) -> None:
    await make_posts(root, "authors")
    authors = (await root.collections.get("authors")).id
    relation = {"name": "by", "type": "relation", "collectionId": authors, "maxSelect": 1}
    many = {"name": "also", "type": "relation", "collectionId": authors, "maxSelect": 9}
    await make_posts(root, fields=[relation, many])
    ann = await root.collection("authors").create({"title": "Ann"})
    bob = await root.collection("authors").create({"title": "Bob"})
    post = await root.collection("posts").create(
        {"title": "x", "by": ann.id, "also": [ann.id, bob.id]}, expand="by,also"
    )
    assert post.expand.by.title == "Ann"
    assert [author.title for author in post.expand.also] == ["Ann", "Bob"]


async def test_errors_name_the_fields(root: Client, server: Server) -> None:
    await make_posts(root)
    with pytest.raises(ClientResponseError) as refused:
        await root.collection("posts").create({"title": ""})
    error = refused.value
    assert error.status == 400
    assert error.data["title"]["code"] == "validation_required"
    assert error.url == f"{server.url}/api/collections/posts/records"
    assert str(error) == f"400 from {error.url}: Failed to create record. (title: Cannot be blank.)"


async def test_names_and_ids_of_any_form_stay_in_their_place(root: Client) -> None:
    await make_posts(root)
    with pytest.raises(ClientResponseError, match="id") as refused:
        await root.collection("posts").get("")
    assert refused.value.status == 404
    for strange in ("../../settings", "a/b", "a?b#c", "ü"):
        with pytest.raises(ClientResponseError) as refused:
            await root.collection("posts").get(strange)
        assert refused.value.status == 404


async def test_no_server_is_told_without_waiting_long() -> None:
    async with Client(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(ClientResponseError) as failed:
            await client.collection("posts").create({"title": "x"})
    assert (failed.value.status, failed.value.is_abort) == (0, False)
    assert isinstance(failed.value.__cause__, httpx.ConnectError)


async def test_a_closed_client_refuses(server: Server) -> None:
    async with Client(server.url) as client:
        assert (await client.health.check()).code == 200
    with pytest.raises(ClientResponseError) as refused:
        await client.health.check()
    assert refused.value.is_abort
    with pytest.raises(UsageError, match="closed"):
        await anext(aiter(client.collection("posts").subscribe()))


async def test_a_batch_happens_as_a_whole(root: Client) -> None:
    await make_posts(root)
    await root.settings.update({"batch": {"enabled": True, "maxRequests": 50, "timeout": 3}})
    posts = root.collection("posts", Post)
    old = await posts.create({"title": "old"})
    async with root.batch() as batch:
        made = batch.collection("posts", Post).create({"title": "made"})
        put = batch.collection("posts").upsert({"id": "p" * 15, "title": "put"}, fields="title")
        changed = batch.collection("posts", Post).update(old.id, {"title": "changed"})
        with pytest.raises(UsageError):
            _ = made.record
    assert (made.record.title, changed.record.title, put.record) == ("made", "changed", {"title": "put"})
    gone = root.batch()
    gone.collection("posts").delete(old.id)
    assert [result.status for result in await gone.send()] == [204]
    with pytest.raises(UsageError, match="sent"):
        await gone.send()
    refused = root.batch()
    refused.collection("posts").create({"title": "not kept"})
    refused.collection("posts").create({"title": ""})
    with pytest.raises(ClientResponseError, match=r"requests\.1\.title: Cannot be blank") as error:
        await refused.send()
    assert error.value.status == 400
    assert sorted([post.title async for post in posts.all()]) == ["made", "put"]


async def test_a_batch_is_dropped_with_its_block(root: Client) -> None:
    await make_posts(root)
    with pytest.raises(LookupError):
        async with root.batch() as batch:
            batch.collection("posts").create({"title": "x"})
            raise LookupError
    assert (await root.collection("posts").list()).total_items == 0
