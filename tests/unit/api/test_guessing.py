"""Who guesses passwords meets the rate limits of the settings, also with the right one."""

from __future__ import annotations

from tests.unit.api.client import Client
from tests.unit.api.conftest import PASSWORD, Template
from tests.unit.api.test_handlers import Tell

USERS = "/api/collections/users"


def test_guesses_are_limited_by_address(tell: Tell, template: Template) -> None:
    rules = [{"label": "*:auth", "maxRequests": 3, "duration": 600}]

    async def story(client: Client) -> None:
        settings = {"rateLimits": {"enabled": True, "rules": rules}}
        await client("PATCH", "/api/settings", settings, token=template.root_token)
        wrong = {"identity": "u@example.com", "password": "wrong"}
        unknown = {"identity": "nobody@example.com", "password": "wrong"}
        right = {"identity": "u@example.com", "password": PASSWORD}
        statuses = [
            (await client("POST", f"{USERS}/auth-with-password", form)).status
            for form in (wrong, unknown, wrong, right)
        ]
        assert statuses == [400, 400, 400, 429]
        elsewhere = await client("POST", f"{USERS}/auth-with-password", right, client=("192.0.2.7", 1))
        assert elsewhere.status == 200

    tell(story)


def test_who_signs_up_learns_no_more_than_in_the_reference(tell: Tell) -> None:
    """A taken address is refused by its unique index: the one answer that names an account, as in the reference."""

    async def story(client: Client) -> None:
        form = {"email": "u@example.com", "password": PASSWORD, "passwordConfirm": PASSWORD}
        reply = await client("POST", f"{USERS}/records", form)
        assert (reply.status, reply.message) == (400, "Failed to create record.")
        taken = {"code": "validation_not_unique", "message": "Value must be unique."}
        assert reply.json()["data"] == {"email": taken}

    tell(story)
