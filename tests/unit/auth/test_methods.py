from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from rowcast.auth import methods, providers
from rowcast.schema.collection import (
    AuthOptions,
    MFAOptions,
    OAuth2Options,
    OAuth2Provider,
    OTPOptions,
    PasswordAuthOptions,
)
from rowcast.schema.oauth2_providers import PROVIDERS
from tests.unit.auth.world import World


def begun(**config: object) -> providers.Request:
    request = providers.begin(msgspec.convert(config, OAuth2Provider))
    assert request is not None
    return request


def test_nothing_is_enabled() -> None:
    options = AuthOptions(
        password_auth=PasswordAuthOptions(identity_fields=("email",)),
        mfa=MFAOptions(duration=10),
        otp=OTPOptions(duration=20),
        oauth2=OAuth2Options(providers=(OAuth2Provider(name="google"),)),
    )
    assert methods.describe(options) == {
        "password": {"identityFields": [], "enabled": False},
        "oauth2": {"providers": [], "enabled": False},
        "mfa": {"enabled": False, "duration": 0},
        "otp": {"enabled": False, "duration": 0},
        "authProviders": None,
        "usernamePassword": False,
        "emailPassword": False,
    }


def test_everything_is_enabled() -> None:
    options = AuthOptions(
        password_auth=PasswordAuthOptions(enabled=True, identity_fields=("email", "username")),
        mfa=MFAOptions(enabled=True, duration=10),
        otp=OTPOptions(enabled=True, duration=20),
        oauth2=OAuth2Options(
            enabled=True,
            providers=(OAuth2Provider(name="google"), OAuth2Provider(name="gone"), OAuth2Provider(name="vk")),
        ),
    )
    found = methods.describe(options)
    assert found["password"] == {"identityFields": ["email", "username"], "enabled": True}
    assert (found["mfa"], found["otp"]) == ({"enabled": True, "duration": 10}, {"enabled": True, "duration": 20})
    assert (found["usernamePassword"], found["emailPassword"]) == (True, True)
    oauth2, legacy = found["oauth2"], found["authProviders"]
    assert isinstance(oauth2, dict)
    assert isinstance(legacy, list)
    assert [info["name"] for info in oauth2["providers"]] == ["google", "vk"]
    assert legacy == [{**info, "logo": ""} for info in oauth2["providers"]]
    assert all(info["logo"].startswith("<svg") for info in oauth2["providers"])


def test_the_answer_has_the_order_of_the_reference(world: World) -> None:
    text = world.accounts.methods(world.of("users"))
    assert list(msgspec.json.decode(text)) == [
        "password", "oauth2", "mfa", "otp", "authProviders", "usernamePassword", "emailPassword",
    ]  # fmt: skip


def test_a_provider_without_a_name_of_its_own_is_shown_by_its_usual_one() -> None:
    options = OAuth2Options(
        enabled=True, providers=(OAuth2Provider(name="github"), OAuth2Provider(name="oidc", display_name="Ours"))
    )
    found = methods.describe(AuthOptions(oauth2=options))["oauth2"]
    assert isinstance(found, dict)
    assert [info["displayName"] for info in found["providers"]] == ["GitHub", "Ours"]
    assert list(found["providers"][0]) == [
        "name", "displayName", "logo", "state", "authURL", "authUrl",
        "codeVerifier", "codeChallenge", "codeChallengeMethod",
    ]  # fmt: skip


def test_every_provider_of_the_schema_is_known() -> None:
    assert set(providers.PROVIDERS) == set(PROVIDERS)


def test_the_address_names_what_is_asked_for() -> None:
    request = begun(name="google", clientId="id&1")
    assert request.url.endswith("&redirect_uri=")
    split = urlsplit(request.url)
    assert f"{split.scheme}://{split.netloc}{split.path}" == "https://accounts.google.com/o/oauth2/v2/auth"
    names = [name for name, _ in parse_qsl(split.query, keep_blank_values=True)]
    assert names == [*sorted(names[:-1]), "redirect_uri"]
    assert dict(parse_qsl(split.query)) == {
        "client_id": "id&1",
        "code_challenge": request.challenge,
        "code_challenge_method": "S256",
        "response_type": "code",
        "scope": "https://www.googleapis.com/auth/userinfo.profile https://www.googleapis.com/auth/userinfo.email",
        "state": request.state,
    }


def test_the_challenge_is_made_of_the_verifier() -> None:
    request = begun(name="gitlab", clientId="id")
    digest = hashlib.sha256(request.verifier.encode()).digest()
    assert base64.urlsafe_b64decode(request.challenge + "=") == digest
    assert (len(request.verifier), len(request.state)) == (43, 30)
    assert begun(name="gitlab").verifier != request.verifier


@pytest.mark.parametrize(
    ("config", "has_challenge"),
    [
        ({"name": "github"}, True),
        ({"name": "github", "pkce": False}, False),
        ({"name": "linear"}, False),
        ({"name": "linear", "pkce": True}, True),
    ],
)
def test_challenges_are_sent_to_those_who_understand_them(config: dict[str, object], has_challenge: bool) -> None:
    request = begun(**config)
    assert bool(request.verifier) is bool(request.challenge) is bool(request.challenge_method) is has_challenge
    assert ("code_challenge" in request.url) is has_challenge


@pytest.mark.parametrize(
    ("config", "start"),
    [
        (
            {"name": "oidc", "clientId": "c", "authURL": "https://x.example/a?b=1"},
            "https://x.example/a?b=1&client_id=c&",
        ),
        (
            {"name": "notion", "pkce": False},
            "https://api.notion.com/v1/oauth/authorize?client_id=&response_type=code&s",
        ),
        (
            {"name": "apple", "pkce": False},
            "https://appleid.apple.com/auth/authorize?client_id=&response_mode=form_post",
        ),
    ],
)
def test_addresses_of_special_providers(config: dict[str, object], start: str) -> None:
    assert begun(**config).url.startswith(start)


def test_microsoft_is_asked_for_an_id_token_where_the_address_comes_from_it() -> None:
    assert "scope=User.Read+openid&" in begun(name="microsoft", extra={"idTokenEmailClaim": "email"}).url
    assert "scope=User.Read&" in begun(name="microsoft", extra={"idTokenEmailClaim": ""}).url


def test_an_unknown_provider_is_none() -> None:
    assert providers.begin(OAuth2Provider(name="gone")) is None
