"""A mail server that is down, refuses or hangs: who asked is answered as ever, and others meanwhile."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from rowcast.mail import drivers
from tests.unit.api.client import Client, Reply
from tests.unit.api.conftest import PASSWORD, Template
from tests.unit.api.test_handlers import Tell
from tests.unit.mail.sink import Sink, running_sink

USERS = "/api/collections/users"
EMAIL = "u@example.com"

OTP = {"enabled": True, "duration": 180, "length": 8}


async def use(client: Client, template: Template, port: int) -> None:
    """Have mails sent to a port, and one-time passwords allowed."""
    smtp = {"enabled": True, "host": "127.0.0.1", "port": port}
    assert (await client("PATCH", "/api/settings", {"smtp": smtp}, token=template.root_token)).status == 200
    assert (await client("PATCH", USERS, {"otp": OTP}, token=template.root_token)).status == 200


async def request(client: Client, template: Template, what: str) -> Reply:
    token = template.user_token if what == "email-change" else ""
    body = {"newEmail": "new@example.com"} if what == "email-change" else {"email": EMAIL}
    return await client("POST", f"{USERS}/request-{what}", body, token=token)


async def otps(client: Client, template: Template) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        await client("GET", "/api/collections/_otps/records", token=template.root_token)
    ).json()["items"]
    return found


async def until(is_so: Callable[[], Any]) -> None:
    """Wait for what the threads of mails do; they tell nobody when they are done."""
    for _ in range(1_000):
        if await is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within some ten seconds")


def down(_: Sink) -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def refusing(sink: Sink) -> int:
    sink.refused = {"RCPT"}
    return sink.port


def cutting(sink: Sink) -> int:
    sink.cut = {"DATA"}
    return sink.port


def hanging(sink: Sink) -> int:
    sink.silent = {"RCPT"}
    return sink.port


@pytest.mark.parametrize("fault", [down, refusing, cutting, hanging])
def test_the_answers_are_those_of_a_working_server(
    tell: Tell, template: Template, fault: Callable[[Sink], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "_TIMEOUT_S", 0.3)

    async def story(client: Client) -> None:
        with running_sink() as sink:
            await use(client, template, fault(sink))
            asked = await request(client, template, "otp")
            assert (asked.status, list(asked.json())) == (200, ["otpId"])
            for what in ("password-reset", "verification"):
                asked = await request(client, template, what)
                assert (asked.status, asked.body) == (204, b"")
            asked = await request(client, template, "email-change")
            assert (asked.status, asked.json()) == (
                400,
                {"data": {}, "message": "Failed to request email change.", "status": 400},
            )
            # The password of a mail that never left is worth nothing to anybody.

            async def is_gone() -> bool:
                return await otps(client, template) == []

            await until(is_gone)
            assert sink.mails == []

    tell(story)


def test_others_are_answered_while_mails_hang(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        with running_sink() as sink:
            sink.silent = {"RCPT"}
            await use(client, template, sink.port)
            waiting = [asyncio.ensure_future(request(client, template, "email-change")) for _ in range(5)]
            await asyncio.to_thread(sink.stuck.wait, 10)
            for what in ("otp", "password-reset", "verification"):
                assert (await request(client, template, what)).status in {200, 204}
            form = {"identity": EMAIL, "password": PASSWORD}
            assert (await client("POST", f"{USERS}/auth-with-password", form)).status == 200
            made = await client("POST", "/api/collections/posts/records", {"title": "x"})
            assert made.status == 200
            assert (await client("GET", "/api/collections/posts/records")).json()["totalItems"] == 1
            assert not any(task.done() for task in waiting)
            sink.released.set()
            assert {reply.status for reply in await asyncio.gather(*waiting)} <= {204, 400}

    tell(story)


def test_who_waits_behind_hanging_mails_is_answered_in_time(
    tell: Tell, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rowcast.api.auth_mails._MAIL_WAIT_S", 0.2)

    async def story(client: Client) -> None:
        with running_sink() as sink:
            sink.silent = {"CONNECT"}
            await use(client, template, sink.port)
            asked = await request(client, template, "email-change")
            assert (asked.status, asked.message) == (400, "Failed to request email change.")

    tell(story)


def test_a_failed_reset_can_be_asked_for_again_at_once(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        with running_sink() as sink:
            sink.refused = {"RCPT"}
            await use(client, template, sink.port)
            await request(client, template, "password-reset")

            async def is_refused() -> bool:
                return any(line.upper().startswith("RCPT") for line in sink.commands)

            await until(is_refused)
            sink.refused = set()

            async def arrives() -> bool:
                await request(client, template, "password-reset")
                return sink.arrived.is_set()

            await until(arrives)
            (mail,) = sink.parsed()
            assert mail["To"] == EMAIL
            # One mail in two minutes, however often it is asked for.
            await request(client, template, "password-reset")
            assert len(sink.mails) == 1

    tell(story)


def test_why_a_mail_on_trial_fails_is_told_to_superusers(tell: Tell, template: Template) -> None:
    async def story(client: Client) -> None:
        with running_sink() as sink:
            sink.refused = {"RCPT"}
            await use(client, template, sink.port)
            body = {"email": "me@example.com", "template": "verification", "collection": "users"}
            asked = await client("POST", "/api/settings/test/email", body, token=template.root_token)
            assert asked.status == 400
            assert asked.message.startswith("Failed to send the test email. Raw error:")

    tell(story)
