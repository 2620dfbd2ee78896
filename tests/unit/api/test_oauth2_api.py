"""The redirect reaches the stream that waits for it; forms are read as the reference reads them."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from tests.unit.api.client import Client, Reply
from tests.unit.api.conftest import Template
from tests.unit.api.test_realtime_api import TARGET, Listener, Tell
from tests.unit.api.test_realtime_extras import Listener as CursorListener

REDIRECT = "/api/oauth2-redirect"
DONE, FAILED = "../_/#/auth/oauth2-redirect-success", "../_/#/auth/oauth2-redirect-failure"
APPLE = json.dumps({"name": {"firstName": "Ada", "lastName": "L"}})


async def waiting(client: Client, *topics: str) -> tuple[Listener, str]:
    listener = Listener(client)
    client_id = await listener.id()
    form = {"clientId": client_id, "subscriptions": topics or ("@oauth2",)}
    assert (await client("POST", TARGET, form)).status == 204
    return listener, client_id


async def back(client: Client, address: str = "10.0.0.1", **query: str) -> str:
    reply = await client("GET", f"{REDIRECT}?{urlencode(query)}", client=(address, 1))
    assert (reply.status, reply.body) == (307, b"")
    return reply.headers["location"]


async def posted(client: Client, **form: str) -> Reply:
    headers = [("Content-Type", "application/x-www-form-urlencoded")]
    return await client("POST", REDIRECT, urlencode(form).encode(), headers=headers)


def test_a_stream_is_told_once_and_keeps_its_other_topics(tell: Tell) -> None:
    async def story(client: Client) -> None:
        listener, state = await waiting(client, "@oauth2", "posts/*")
        assert await back(client, state=state, code="a<b") == DONE
        told = f'id:{state}\nevent:@oauth2\ndata:{{"state":"{state}","code":"a\\u003cb"}}\n\n'
        assert told in await listener.until("@oauth2")
        assert await back(client, state=state, code="2") == FAILED
        await client("POST", "/api/collections/posts/records", {"title": "later"})
        text = await listener.until("later")
        assert text.count("event:@oauth2") == 1
        await listener.close()
        assert await back(client, state=state, code="3") == FAILED

    tell(story)


def test_errors_are_told_too(tell: Tell) -> None:
    async def story(client: Client) -> None:
        for query, data in (
            ({"error": "access_denied"}, '"code":"","error":"access_denied"'),
            ({"code": "1", "error": "x"}, '"code":"1","error":"x"'),
            ({}, '"code":""'),
        ):
            listener, state = await waiting(client)
            assert await back(client, state=state, **query) == FAILED
            assert data in await listener.until("@oauth2")
            await listener.close()

    tell(story)


def test_another_address_ends_the_waiting(tell: Tell) -> None:
    async def story(client: Client) -> None:
        listener, state = await waiting(client)
        assert await back(client, "10.0.0.2", state=state, code="stolen") == FAILED
        assert await back(client, state=state, code="1") == FAILED
        assert "stolen" not in listener.text
        await listener.close()

    tell(story)


@pytest.mark.parametrize("topic", ["@oauth2/*", "@oauth2?options={}", "@OAuth2", "posts"])
def test_other_topics_are_not_waiting(tell: Tell, topic: str) -> None:
    async def story(client: Client) -> None:
        listener, state = await waiting(client, topic)
        assert await back(client, state=state, code="1") == FAILED
        await listener.close()

    tell(story)


def test_a_stream_with_a_cursor_keeps_its_position(tell: Tell) -> None:
    async def story(client: Client) -> None:
        stream = CursorListener(client, f"{TARGET}?cursor=")
        state = (await stream.subscribe("@oauth2"))["clientId"]
        assert await back(client, state=state, code="1") == DONE
        frame = await stream.frame()
        while frame["event"] == "PB_CURSOR":
            frame = await stream.frame()
        assert frame == {"event": "@oauth2", "data": json.dumps({"state": state, "code": "1"}, separators=(",", ":"))}
        await stream.close()

    tell(story)


def test_the_name_that_apple_sends_is_kept_for_the_code(tell: Tell) -> None:
    async def story(client: Client) -> None:
        names = client.app._running.accounts.apple_names
        listener, state = await waiting(client)
        reply = await posted(client, state=state, code="abc", user=APPLE)
        assert (reply.status, reply.headers["location"]) == (303, DONE)
        assert "Ada" not in await listener.until("@oauth2")
        assert names.take("abc") == "Ada L"
        assert (await posted(client, state="unknown", code="def", user=APPLE)).headers["location"] == FAILED
        assert names.take("def") == "", "only for who waits"
        await listener.close()

    tell(story)


@pytest.mark.parametrize("body", [b"{", b'{"state":1}', b"[]"])
def test_redirects_that_can_not_be_read(tell: Tell, body: bytes) -> None:
    async def story(client: Client) -> None:
        reply = await client("POST", REDIRECT, body, headers=[("Content-Type", "application/json")])
        assert (reply.status, reply.headers["location"]) == (303, FAILED)

    tell(story)


@pytest.mark.parametrize("data", [1, "x", [], [{}]])
def test_data_for_a_new_account_is_an_object(tell: Tell, template: Template, data: object) -> None:
    async def story(client: Client) -> None:
        options = {"oauth2": {"enabled": True, "providers": []}}
        await client("PATCH", "/api/collections/users", options, token=template.root_token)
        form = {"provider": "oidc", "code": "1", "createData": data}
        reply = await client("POST", "/api/collections/users/auth-with-oauth2", form)
        assert (reply.status, reply.message) == (400, "An error occurred while loading the submitted data.")
        assert reply.json()["data"] == {}
        reply = await client("POST", "/api/collections/users/auth-with-oauth2", form | {"createData": None})
        assert set(reply.json()["data"]) == {"provider"}

    tell(story)
