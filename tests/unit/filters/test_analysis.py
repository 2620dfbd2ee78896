"""What the realtime engine learns about a rule without asking it."""

from __future__ import annotations

import pytest

from rowcast import filters
from rowcast.filters import AuthEquality
from tests.unit.filters.world import world


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("owner = @request.auth.id", [("owner", "id")]),
        ("@request.auth.id = owner", [("owner", "id")]),
        ("owner ?= @request.auth.id", [("owner", "id")]),
        ("owner.id = @request.auth.id", [("owner", "id")]),
        ("owner = @request.auth.id && flag = true", [("owner", "id")]),
        ("flag = true && (owner = @request.auth.id && team = @request.auth.team)", [("owner", "id"), ("team", "team")]),
        ("mail = @request.auth.email", [("mail", "email")]),
        ("kind = @request.auth.role", [("kind", "role")]),
        ("owner = @request.auth.id || flag = true", []),
        ("owner != @request.auth.id", []),
        ("owner ~ @request.auth.id", []),
        ("owner.team = @request.auth.team", []),
        ("teams.id ?= @request.auth.team", []),
        ("tags = @request.auth.id", []),
        ("n = @request.auth.age", []),
        ("title:lower = @request.auth.id", []),
        ("data = @request.auth.id", []),
        ("title = @request.auth.tags", []),
        ("title = @request.auth.verified", []),
        ("title = @request.auth.name:lower", []),
        ("@request.auth.id = @request.auth.team", []),
        ("title = 'x'", []),
    ],
)
def test_auth_equalities(rule: str, found: list[tuple[str, str]]) -> None:
    scope = world().scope("posts", world().request("u00000000000000"))
    assert filters.auth_equalities(rule, scope) == tuple(AuthEquality(*pair) for pair in found)


def test_guests_have_no_values_to_look_up() -> None:
    assert filters.auth_equalities("owner = @request.auth.id", world().scope("posts")) == ()


@pytest.mark.parametrize("account", [row["id"] for row in world().rows("users")])
def test_a_look_up_finds_what_the_rule_finds(account: str) -> None:
    request = world().request(account)
    part = filters.Part("owner = @request.auth.id", allow_hidden=True)
    owned = [row["id"] for row in world().rows("posts") if row["owner"] == account]
    assert world().ids("posts", part, request=request) == owned
