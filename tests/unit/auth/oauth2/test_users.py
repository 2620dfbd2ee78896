"""Recorded user-info answers of every provider, and who the user is by them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings, strategies

from rowcast.auth.oauth2.exchange import Token
from rowcast.auth.oauth2.idtokens import IdTokenError
from rowcast.auth.oauth2.users import Asking, User, UserError, fetch
from rowcast.auth.oauth2.web import Session
from rowcast.auth.providers import PROVIDERS, endpoints
from rowcast.schema.collection import OAuth2Provider

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[3] / "cases" / "oauth2_userinfo.json").read_text())
NOW = 1_700_000_000.0


class Recorded(httpx.BaseTransport):
    """Answers with what was recorded, and nothing else; keeps the requests."""

    def __init__(self, answers: list[dict[str, Any]]) -> None:
        self.answers = {(answer.get("method", "GET"), answer["url"]): answer for answer in answers}
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.get((request.method, str(request.url)), {"status": 404, "body": "not recorded"})
        return httpx.Response(answer["status"], content=json.dumps(answer["body"]).encode())


def unsigned(claims: dict[str, object]) -> str:
    """Return an id token whose signature nobody looks at."""
    parts = (b'{"alg":"RS256"}', msgspec.json.encode(claims), b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def ask(case: dict[str, Any], transport: httpx.BaseTransport) -> User:
    raw = dict(case.get("token", {}))
    if "id_token" in raw:
        raw["id_token"] = unsigned(raw["id_token"])
    config = OAuth2Provider(
        name=case["provider"],
        client_id="the-client",
        client_secret="secret",
        user_info_url=case.get("userInfoURL", ""),
        extra=case.get("extra"),
    )
    provider = PROVIDERS[config.name]
    with Session(transport) as session:
        token = Token("the-token", raw=raw)
        return fetch(Asking(config.name, provider, endpoints(config, provider), token, session, lambda: NOW))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_user_of_an_answer(case: dict[str, Any]) -> None:
    transport = Recorded(case["answers"])
    if case.get("error"):
        with pytest.raises((UserError, IdTokenError)):
            ask(case, transport)
        return
    user = ask(case, transport)
    found = {name: getattr(user, name) for name in ("id", "name", "username", "email", "avatar")}
    assert found == case["user"]
    assert len(transport.asked) == len(case["answers"]), "every recorded answer is asked for"
    for request in transport.asked:
        assert request.headers["authorization"] == "Bearer the-token"
    for name, value in case.get("headers", {}).items():
        assert transport.asked[0].headers[name] == value


def test_every_provider_has_a_case() -> None:
    # Apple's answer is a signed token (test_idtokens).
    assert {case["provider"] for case in CASES} == set(PROVIDERS) - {"apple"}


@pytest.mark.parametrize("provider", ["linear", "monday"])
def test_graph_queries_ask_for_what_is_read(provider: str) -> None:
    case = next(case for case in CASES if case["provider"] == provider)
    transport = Recorded(case["answers"])
    ask(case, transport)
    query = json.loads(transport.asked[0].content)["query"]
    (told,) = case["answers"][0]["body"]["data"].values()
    assert all(name in query for name in told)


JSON = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.property
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
@settings(max_examples=8, deadline=None)
@given(data=strategies.data())
def test_any_answer_is_a_user_or_an_error(case: dict[str, Any], data: strategies.DataObject) -> None:
    """Any part of an answer may be any JSON."""
    answers = [answer | {"body": mangled(answer["body"], data)} for answer in case["answers"]]
    try:
        user = ask(case, Recorded(answers))
    except (UserError, IdTokenError):
        return
    assert all(isinstance(getattr(user, name), str) for name in ("id", "name", "username", "email", "avatar"))


def mangled(value: Any, data: strategies.DataObject) -> Any:
    """Return JSON with one of its parts replaced."""
    if isinstance(value, dict) and value and data.draw(strategies.booleans()):
        name = data.draw(strategies.sampled_from(sorted(value)))
        return value | {name: mangled(value[name], data)}
    if isinstance(value, list) and value and data.draw(strategies.booleans()):
        return [mangled(value[0], data), *value[1:]]
    return data.draw(JSON)


@pytest.mark.parametrize("digits", [str(1 << 63), str(-(1 << 63) - 1), "9" * 4400, "1e3", "1.5", "true"])
def test_ids_are_numbers_that_go_has_too(digits: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=b'{"id":%s}' % digits.encode()))
    with pytest.raises(UserError):
        ask({"provider": "github"}, transport)


def test_what_instagram_grants_is_told() -> None:
    case = next(case for case in CASES if case["provider"] == "instagram2")
    raw = ask(case, Recorded(case["answers"])).raw
    assert raw is not None
    assert raw["permissions"] == ["instagram_business_basic"]
