"""Which account a user of a provider gets, and what happens to accounts that were there before."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from msgspec.structs import replace as replace_field

from rowcast.auth.oauth2.web import Web
from rowcast.auth.second_factor import SecondFactorError
from rowcast.credentials import is_password
from rowcast.errors import ApiError
from rowcast.schema.collection import MappedFields, MFAOptions, OAuth2Options
from rowcast.schema.request import RequestInfo
from tests.oidc_provider import PNG
from tests.unit.auth.oauth2.conftest import Entrance
from tests.unit.auth.world import HOME, PASSWORD, Refusal, World, refused

FAILED_TOKEN: Refusal = (400, "Failed to fetch OAuth2 token.", {})


def test_a_new_user_signs_up_and_comes_back(entrance: Entrance) -> None:
    first = entrance.enter("ada")
    assert first["meta"]["isNew"] is True
    assert first["record"]["email"] == "ada@example.com"
    assert first["record"]["verified"] is True
    assert entrance.world.authenticated(first["token"]) == first["record"]["id"]
    again = entrance.enter("ada")
    assert again["meta"]["isNew"] is False
    assert again["record"]["id"] == first["record"]["id"]
    assert entrance.links() == [(first["record"]["id"], "ada")]


def test_the_answer_tells_what_the_provider_said(entrance: Entrance) -> None:
    meta = entrance.enter("ada")["meta"]
    assert list(meta) == sorted(meta)
    assert meta.pop("accessToken") in entrance.provider.tokens
    assert meta.pop("expiry").endswith("Z")
    picture = f"{entrance.provider.url}/honest/avatar.png"
    assert meta == {
        "avatarURL": picture,
        "avatarUrl": picture,
        "email": "ada@example.com",
        "id": "ada",
        "isNew": True,
        "name": "Ada",
        "rawUser": entrance.provider.claims("ada"),
        "refreshToken": "again",
        "username": "ada",
    }


def without_addresses(world: World) -> None:
    """Let there be accounts without an address."""
    users = world.of("users")
    fields = [replace_field(field, required=False) if field.name == "email" else field for field in users.fields]
    world.alter("users", fields=tuple(fields))


def test_an_address_that_is_not_verified_is_nobodys(entrance: Entrance) -> None:
    without_addresses(entrance.world)
    owner = entrance.world.user("unverified-bob@example.com", verified=True)
    answer = entrance.enter("unverified-bob")
    assert answer["record"]["id"] != owner.id
    assert answer["record"]["email"] == ""
    assert entrance.links() == [(answer["record"]["id"], "unverified-bob")]


def test_a_verified_account_of_the_address_is_linked_and_keeps_its_password(entrance: Entrance) -> None:
    owner = entrance.world.user("ada@example.com", verified=True)
    token_key = owner.text("tokenKey")
    answer = entrance.enter("ada")
    assert answer["record"]["id"] == owner.id
    assert entrance.world.changed(owner)["tokenKey"] == token_key
    assert is_password(PASSWORD, entrance.world.changed(owner)["password"])
    assert entrance.links() == [(owner.id, "ada")]


def test_who_took_the_address_before_is_thrown_out(entrance: Entrance) -> None:
    squatter = entrance.world.user("ada@example.com")
    link = {"provider": "google", "providerId": "mallory", "collectionRef": squatter.collection.id}
    entrance.world.add("_externalAuths", recordRef=squatter.id, **link)
    old = entrance.world.sign_in("ada@example.com")["token"]
    answer = entrance.enter("ada")
    assert answer["record"]["id"] == squatter.id
    assert answer["record"]["verified"] is True
    assert not is_password(PASSWORD, entrance.world.changed(squatter)["password"])
    assert entrance.world.authenticated(old) == ""
    assert entrance.links() == [(squatter.id, "ada")]


def test_who_is_signed_in_is_linked_whatever_the_address(entrance: Entrance) -> None:
    account = entrance.world.user("other@example.com", verified=True)
    answer = entrance.enter("ada", auth=account)
    assert (answer["record"]["id"], answer["record"]["email"]) == (account.id, "other@example.com")
    assert entrance.links() == [(account.id, "ada")]


def test_who_is_signed_in_and_not_verified_keeps_the_password(entrance: Entrance) -> None:
    account = entrance.world.user("other@example.com")
    answer = entrance.enter("ada", auth=account)
    assert answer["record"]["verified"] is False, "another address proves nothing"
    assert is_password(PASSWORD, entrance.world.changed(account)["password"])


def test_an_account_without_an_address_gets_it(entrance: Entrance) -> None:
    without_addresses(entrance.world)
    account = entrance.world.user("", verified=True)
    answer = entrance.enter("ada", auth=account)
    assert (answer["record"]["id"], answer["record"]["email"]) == (account.id, "ada@example.com")


def test_without_any_address_nothing_is_left_to_prove(entrance: Entrance) -> None:
    without_addresses(entrance.world)
    record = entrance.enter("nomail-eve")["record"]
    assert (record["email"], record["verified"]) == ("", True)


def test_one_account_has_one_user_of_a_provider(entrance: Entrance) -> None:
    account = entrance.world.user("ada@example.com", verified=True)
    entrance.enter("ada")
    assert refused(lambda: entrance.enter("bob", auth=account)) == (400, "Failed to authenticate.", {})
    assert entrance.links() == [(account.id, "ada")]


def test_what_is_submitted_goes_before_what_is_mapped(entrance: Entrance) -> None:
    entrance.configure(mapped=MappedFields(name="name"))
    assert entrance.enter("ada")["record"]["name"] == "Ada"
    assert entrance.enter("bob", data={"name": "Robert"})["record"]["name"] == "Robert"


def test_a_submitted_address_is_not_verified_by_another_one(entrance: Entrance) -> None:
    record = entrance.enter("ada", data={"email": "mine@example.com"})["record"]
    assert (record["email"], record["verified"]) == ("mine@example.com", False)


@pytest.mark.parametrize(
    ("data", "errors"),
    [
        ({"verified": True}, {"verified"}),
        ({"email": "no address"}, {"email"}),
        ({"password": "12345678"}, {"passwordConfirm"}),
        ({"password": "1", "passwordConfirm": "1"}, {"password"}),
    ],
)
def test_a_new_account_that_is_refused_leaves_nothing(
    entrance: Entrance, data: dict[str, object], errors: set[str]
) -> None:
    status, message, found = refused(lambda: entrance.enter("ada", data=data))
    assert (status, message, set(found)) == (400, "Failed to create record.", errors)
    assert entrance.world.rows("users") == []
    assert entrance.links() == []


def test_a_password_of_ones_own(entrance: Entrance) -> None:
    entrance.enter("ada", data={"password": PASSWORD, "passwordConfirm": PASSWORD})
    assert entrance.world.sign_in("ada@example.com")["token"]


def test_the_create_rule_decides_who_signs_up(entrance: Entrance) -> None:
    users = entrance.world.of("users")
    for rule, status in ((None, 403), ("@request.context = 'default'", 400)):
        entrance.world.catalog.current = entrance.world.catalog.current.replaced(
            entrance.world.of("users").replaced(create_rule=rule)
        )
        assert refused(lambda: entrance.enter("ada"))[0] == status
    assert entrance.world.rows("users") == []
    rule = "@request.context = 'oauth2' && @request.body.email = 'ada@example.com'"
    entrance.world.catalog.current = entrance.world.catalog.current.replaced(
        entrance.world.of("users").replaced(create_rule=rule)
    )
    assert entrance.enter("ada")["record"]["collectionId"] == users.id


def test_the_auth_rule_comes_last(entrance: Entrance) -> None:
    entrance.world.alter("users", auth_rule="verified = false")
    assert refused(lambda: entrance.enter("ada"))[0] == 403


def test_two_methods(entrance: Entrance) -> None:
    entrance.world.alter("users", mfa=MFAOptions(enabled=True, duration=60))
    owner = entrance.world.user("ada@example.com", verified=True)
    with pytest.raises(SecondFactorError) as begun:
        entrance.enter("ada")
    refusal = refused(lambda: entrance.enter("ada", mfa_id=begun.value.mfa_id))
    assert refusal == (400, "A different authentication method is required.", {})
    assert entrance.world.sign_in("ada@example.com", mfa_id=begun.value.mfa_id)["record"]["id"] == owner.id


def test_superusers_never_sign_up(entrance: Entrance) -> None:
    users = entrance.world.of("users")
    assert users.auth is not None
    entrance.world.alter("_superusers", oauth2=users.auth.oauth2)
    flow, superusers = entrance.world.accounts.oauth2, entrance.world.of("_superusers")
    form = flow.form(_values(entrance.provider.give_code("ada")))
    request = RequestInfo(None, "POST", "oauth2")
    proof = flow.ask(superusers, form, request)
    refusal = refused(lambda: flow.sign_in(superusers, form, proof, request, HOME))
    assert refusal == (400, "Failed to authenticate.", {})


def _values(code: str) -> dict[str, object]:
    names = ("codeVerifier", "redirectURL", "redirectUrl")
    return {"provider": "oidc", "code": code, "createData": {}, **dict.fromkeys(names, "")}


def test_two_at_once_make_one_account(entrance: Entrance) -> None:
    found: list[str] = []

    def enter() -> None:
        found.append(entrance.enter("ada")["record"]["id"])

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == len(entrance.world.rows("users")) == len(entrance.links()) == 1


# -- the exchange ----------------------------------------------------------------


@pytest.mark.parametrize("how", ["honest", "form", "body_only"])
def test_ways_in_which_providers_take_codes(entrance: Entrance, how: str) -> None:
    entrance.configure(how)
    assert entrance.enter("ada")["record"]["email"] == "ada@example.com"


def test_a_code_is_good_for_one_sign_in(entrance: Entrance) -> None:
    code = entrance.provider.give_code("ada")
    entrance.enter(code=code)
    assert refused(lambda: entrance.enter(code=code)) == FAILED_TOKEN


def test_a_wrong_verifier_or_address_gets_nothing(entrance: Entrance) -> None:
    for wrong in ({"challenge": "of another verifier"}, {"redirect_uri": "https://other.example"}):
        code = entrance.provider.give_code("ada", **wrong)
        assert refused(lambda code=code: entrance.enter(code=code)) == FAILED_TOKEN  # type: ignore[misc]
    assert entrance.world.rows("users") == []


def test_a_wrong_secret_gets_nothing(entrance: Entrance) -> None:
    entrance.configure(client_secret="wrong")
    assert refused(lambda: entrance.enter("ada")) == FAILED_TOKEN


def test_a_provider_that_is_not_there(entrance: Entrance) -> None:
    entrance.configure(token_url="http://127.0.0.1:1/token")
    assert refused(lambda: entrance.enter("ada")) == FAILED_TOKEN


def test_addresses_that_are_none(entrance: Entrance) -> None:
    for url in ("ftp://127.0.0.1/token", "http://", "http://[", "", "file:///etc/passwd", "http://" + "a" * 300):
        entrance.configure(token_url=url)
        assert refused(lambda: entrance.enter("ada")) == FAILED_TOKEN


def test_a_form_that_lacks_everything(world: World, entrance: Entrance) -> None:
    form = replace(world.accounts.oauth2.form(_values("")), provider="")
    status, _, data = refused(lambda: world.accounts.oauth2.ask(world.of("users"), form, RequestInfo()))
    assert (status, set(data)) == (400, {"provider", "code"})
    world.alter("users", oauth2=OAuth2Options(enabled=True))
    known = replace(form, provider="oidc", code="1")
    _, _, data = refused(lambda: world.accounts.oauth2.ask(world.of("users"), known, RequestInfo()))
    assert set(data) == {"provider"}


# -- pictures --------------------------------------------------------------------


def test_no_picture_from_an_internal_address(entrance: Entrance) -> None:
    entrance.configure(mapped=MappedFields(avatar_url="avatar"))
    answer = entrance.enter("ada")
    assert answer["record"]["avatar"] == ""
    assert "honest/avatar.png" not in entrance.provider.asked


def test_a_picture_from_a_host_that_the_operator_named(entrance: Entrance) -> None:
    world = entrance.world
    host = entrance.provider.url.removeprefix("http://")
    world.accounts.oauth2._trusted = frozenset({host})
    entrance.configure(mapped=MappedFields(avatar_url="avatar"))
    record = entrance.enter("ada")["record"]
    assert record["avatar"].startswith("avatar_")
    stored = world.directory.files / record["collectionId"] / record["id"] / record["avatar"]
    assert stored.read_bytes() == PNG
    entrance.enter("ada")
    assert entrance.provider.asked.count("honest/avatar.png") == 1, "only a new account needs one"


def test_stop_ends_what_waits(entrance: Entrance) -> None:
    entrance.configure("hang")
    found: list[ApiError] = []

    def enter() -> None:
        try:
            entrance.enter("ada")
        except ApiError as error:
            found.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    while "hang/token" not in entrance.provider.asked:
        thread.join(0.01)
    entrance.world.accounts.stop()
    thread.join(10)
    assert [error.message for error in found] == ["Failed to fetch OAuth2 token."]
    assert isinstance(entrance.world.accounts.oauth2._web, Web)
