from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from rowcast.auth.oauth2.flow import OAuth2SignInForm
from rowcast.records.finding import find
from rowcast.schema.collection import MappedFields, OAuth2Options, OAuth2Provider
from rowcast.schema.record import Record
from rowcast.schema.request import RequestInfo
from tests.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, provided
from tests.unit.auth.world import HOME, World


@pytest.fixture
def provider() -> Iterator[Provider]:
    with provided() as made:
        yield made


class Entrance:
    """Signs in to `users` with the provider."""

    def __init__(self, world: World, provider: Provider) -> None:
        self.world = world
        self.provider = provider
        self.configure()

    def configure(self, how: str = "honest", *, mapped: MappedFields | None = None, **options: Any) -> None:
        """Have the provider behave in a way; other options replace those of the provider."""
        base = f"{self.provider.url}/{how}"
        values: dict[str, Any] = {
            "name": "oidc",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "token_url": f"{base}/token",
            "user_info_url": f"{self.provider.url}/honest/userinfo",
        }
        config = OAuth2Provider(**(values | options))
        oauth2 = OAuth2Options(providers=(config,), mapped_fields=mapped or MappedFields(), enabled=True)
        self.world.alter("users", oauth2=oauth2)

    def by_id_token(self, how: str = "honest") -> None:
        """Have the id token tell who the user is, and check all of it."""
        extra: dict[str, object] = {"jwksURL": f"{self.provider.url}/honest/jwks", "issuers": [self.provider.url]}
        self.configure(how, user_info_url="", extra=extra)

    def enter(
        self,
        user: str = "ada",
        *,
        auth: Record | None = None,
        code: str = "",
        mfa_id: str = "",
        data: dict[str, object] | None = None,
    ) -> dict[str, Any]:
        """Sign in; `data` is for a new account."""
        flow, users = self.world.accounts.oauth2, self.world.of("users")
        if auth is not None:
            with self.world.storage.read() as reader:
                auth = find(reader, users, auth.id)
        form = OAuth2SignInForm("oidc", code or self.provider.give_code(user), "", "", data or {})
        request = RequestInfo(auth, "POST", "oauth2")
        proof = flow.ask(users, form, request)
        answer = flow.sign_in(users, form, proof, request, HOME, mfa_id=mfa_id)
        decoded: dict[str, Any] = msgspec.json.decode(answer)
        return decoded

    def links(self) -> list[tuple[str, str]]:
        """Return the accounts and ids that are linked."""
        return [(row["recordRef"], row["providerId"]) for row in self.world.rows("_externalAuths")]


@pytest.fixture
def entrance(world: World, provider: Provider) -> Entrance:
    return Entrance(world, provider)
