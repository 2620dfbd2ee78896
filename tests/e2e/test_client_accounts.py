"""Sign-in through the Python client, on a real server of each kind."""

from __future__ import annotations

import pytest

from rowcast.client import AuthStore, Client, ClientResponseError, MfaRequiredError, Record
from tests.e2e.posts import add_person, make_people, make_posts
from tests.e2e.server import Server

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

EMAIL, PASSWORD = "ann@example.com", "Password1234"


async def test_a_password_signs_in_and_the_store_keeps_it(root: Client) -> None:
    await make_people(root)
    ann = await add_person(root, EMAIL)
    told: list[tuple[str, Record | None]] = []
    store = AuthStore()
    store.on_change(lambda token, record: told.append((token, record)))
    async with Client(root.url, store) as client:
        people = client.collection("people")
        with pytest.raises(ClientResponseError, match="Failed to authenticate") as refused:
            await people.auth_with_password(EMAIL, "wrong")
        assert (refused.value.status, told) == (400, [])
        result = await people.auth_with_password(EMAIL, PASSWORD)
        assert (result.record.id, store.token, store.is_valid, store.is_superuser) == (ann, result.token, True, False)
        assert told == [(result.token, result.record)]
        again = await people.auth_refresh()
        assert again.record.id == ann
        changed = await people.update(ann, {"emailVisibility": False})
        assert store.record is not None
        assert store.record.emailVisibility is changed.emailVisibility is False
        await people.delete(ann)
        assert store.token == ""
        assert store.record is None
    assert root.auth_store.is_superuser


async def test_methods_are_listed(root: Client) -> None:
    await make_people(root, otp={"enabled": True, "duration": 100, "length": 8})
    methods = await root.collection("people").list_auth_methods()
    assert (methods.password.enabled, methods.password.identity_fields) == (True, ["email"])
    assert (methods.otp.enabled, methods.otp.duration) == (True, 100)
    assert (methods.mfa.enabled, methods.oauth2.enabled, methods.oauth2.providers) == (False, False, [])


async def test_a_second_factor_is_asked_for(root: Client) -> None:
    await make_people(
        root,
        otp={"enabled": True, "duration": 100, "length": 8},
        mfa={"enabled": True, "duration": 100, "rule": ""},
    )
    await add_person(root, EMAIL)
    async with Client(root.url) as client:
        people = client.collection("people")
        with pytest.raises(MfaRequiredError) as wanted:
            await people.auth_with_password(EMAIL, PASSWORD)
        assert len(wanted.value.mfa_id) == 15
        otp_id = await people.request_otp(EMAIL)
        assert otp_id
        with pytest.raises(ClientResponseError) as refused:
            await people.auth_with_otp(otp_id, "00000000", mfa_id=wanted.value.mfa_id)
        assert refused.value.status == 400
        assert client.auth_store.token == ""


async def test_a_superuser_acts_as_somebody_else(root: Client) -> None:
    await make_people(root)
    ann = await add_person(root, EMAIL)
    await make_posts(root, listRule="@request.auth.id = ''")
    await root.collection("posts").create({"title": "for guests"})
    async with await root.collection("people").impersonate(ann, 60) as client:
        assert client.auth_store.record is not None
        assert client.auth_store.record.id == ann
        assert (await client.collection("posts").list()).total_items == 0
    assert root.auth_store.is_superuser


async def test_mails_are_asked_for_and_wrong_tokens_refused(root: Client) -> None:
    await make_people(root)
    await add_person(root, EMAIL)
    async with Client(root.url) as client:
        people = client.collection("people")
        await people.request_verification("nobody@example.com")
        await people.request_password_reset("nobody@example.com")
        for refused in (
            people.confirm_verification("x"),
            people.confirm_password_reset("x", PASSWORD),
            people.confirm_email_change("x", PASSWORD),
        ):
            with pytest.raises(ClientResponseError) as error:
                await refused
            assert error.value.data["token"]["code"].startswith("validation_invalid_token")
        with pytest.raises(ClientResponseError) as error:
            await people.request_email_change("new@example.com")
        assert error.value.status == 401
        with pytest.raises(ClientResponseError) as error:
            await people.auth_with_oauth2_code("none", "code", "verifier", "http://127.0.0.1/back")
        assert error.value.status in {400, 403, 404}


async def test_superusers_run_a_server(root: Client, server: Server) -> None:
    assert (await root.health.check()).code == 200
    await make_posts(root)
    assert "posts" in [collection.name async for collection in root.collections.all()]
    assert (await root.collections.list(filter="name = 'posts'")).items[0].name == "posts"
    assert (await root.collections.update("posts", {"name": "articles"})).name == "articles"
    await root.collection("articles").create({"title": "x"})
    await root.collections.truncate("articles")
    assert (await root.collection("articles").list()).total_items == 0
    await root.collections.import_([await root.collections.get("articles")])
    await root.collections.delete("articles")
    assert set(await root.collections.scaffolds()) == {"base", "auth", "view"}
    assert (await root.settings.update({"meta": {"appName": "Here"}})).meta["appName"] == "Here"
    assert (await root.settings.get()).meta["appName"] == "Here"
    assert (await root.logs.list(per_page=1)).per_page == 1
    assert isinstance(await root.logs.stats(), list)
    assert (await root.send("GET", "/api/health"))["code"] == 200
