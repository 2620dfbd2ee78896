from __future__ import annotations

import hashlib
import logging

import pytest

from rowcast.auth import Device
from rowcast.schema.collection import AuthAlertOptions, EmailTemplate
from tests.unit.auth.world import HOME, World

AWAY = Device("192.0.2.1", "<other> & browser")


def test_a_device_is_its_address_and_browser() -> None:
    assert Device("192.0.2.1").fingerprint == "d0f88d6c87767262ba8e93d6acccd784"
    assert Device("1.2.3.4", "ä").fingerprint == hashlib.md5("1.2.3.4ä".encode()).hexdigest()  # noqa: S324


def test_long_browser_names_are_cut_by_bytes() -> None:
    device = Device("1.2.3.4", "ä" * 101)
    assert device.fingerprint == hashlib.md5(("1.2.3.4" + "ä" * 100 + "...").encode()).hexdigest()  # noqa: S324
    assert device.described == "1.2.3.4 " + "ä" * 100 + "..."
    assert Device("1.2.3.4", "ä" * 100).fingerprint != device.fingerprint
    assert Device("", "xä" * 200).described.endswith("...")


def test_the_first_place_is_no_news(world: World) -> None:
    user = world.user()
    world.sign_in()
    assert world.mails.sent == []
    (row,) = world.rows("_authOrigins")
    assert (row["fingerprint"], row["recordRef"]) == (HOME.fingerprint, user.id)
    assert row["collectionRef"] == user.collection.id


def test_a_known_place_is_dated_anew(world: World) -> None:
    world.user()
    world.sign_in()
    (before,) = world.rows("_authOrigins")
    world.changes.clear()
    world.sign_in()
    (after,) = world.rows("_authOrigins")
    assert (after["id"], after["created"]) == (before["id"], before["created"])
    assert after["updated"] >= before["updated"]
    assert [change.action for change in world.changes] in ([], ["update"])
    assert world.mails.sent == []


def test_a_new_place_is_told_and_remembered(world: World) -> None:
    world.user()
    world.sign_in()
    world.sign_in(device=AWAY)
    (mail,) = world.mails.sent
    assert (mail.to, mail.subject) == ("a@example.com", "Login from a new location")
    assert "192.0.2.1 &lt;other&gt; &amp; browser" in mail.html
    assert {row["fingerprint"] for row in world.rows("_authOrigins")} == {HOME.fingerprint, AWAY.fingerprint}
    world.sign_in(device=AWAY)
    assert len(world.mails.sent) == 1


def test_a_place_is_remembered_only_once_its_mail_has_left(world: World) -> None:
    world.user()
    world.sign_in()
    world.mails.is_broken = True
    assert world.sign_in(device=AWAY)["token"]
    assert len(world.rows("_authOrigins")) == 1
    world.mails.is_broken = False
    world.sign_in(device=AWAY)
    assert len(world.mails.sent) == 1
    assert len(world.rows("_authOrigins")) == 2


def test_places_belong_to_accounts(world: World) -> None:
    world.user()
    world.user("b@example.com")
    world.sign_in()
    world.sign_in("b@example.com", device=AWAY)
    assert world.mails.sent == []


def test_an_account_without_an_address_gets_no_mail(world: World) -> None:
    user = world.user()
    world.sign_in()
    with world.storage.write() as tx:
        tx.run("UPDATE users SET email = '' WHERE id = ?", [user.id])
    user.values["email"] = ""
    world.accounts.signin._origins.note(user, AWAY)
    assert world.mails.sent == []
    assert len(world.rows("_authOrigins")) == 2


def test_five_places_are_kept(world: World) -> None:
    user = world.user()
    for number in range(7):
        world.add(
            "_authOrigins",
            collectionRef=user.collection.id,
            recordRef=user.id,
            fingerprint=f"old{number}",
        )
        with world.storage.write() as tx:
            created = f"2022-01-0{number + 1} 00:00:00.000Z"
            tx.run("UPDATE _authOrigins SET created = ? WHERE fingerprint = ?", [created, f"old{number}"])
    world.sign_in()
    kept = sorted(row["fingerprint"] for row in world.rows("_authOrigins"))
    assert kept == sorted(["old3", "old4", "old5", "old6", HOME.fingerprint])


def test_nothing_is_noted_where_alerts_are_off(world: World) -> None:
    world.user()
    world.alter("users", auth_alert=AuthAlertOptions(enabled=False))
    world.sign_in()
    assert world.rows("_authOrigins") == []


def test_what_fails_is_logged_and_does_not_fail_the_sign_in(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.user()
    with world.storage.write() as tx:
        tx.run("DROP TABLE _authOrigins")
    with caplog.at_level(logging.WARNING):
        assert world.sign_in()["token"]
    assert "a sign-in could not be noted" in caplog.text


def test_a_sign_in_without_the_system_collection_goes_on(world: World) -> None:
    world.user()
    world.catalog.current = world.catalog.current.without(world.of("_authOrigins").id)
    assert world.sign_in()["token"]


def test_the_template_is_that_of_the_collection(world: World) -> None:
    template = EmailTemplate(subject="{APP_NAME}: {RECORD:name} {RECORD:password}", body="<p>{ALERT_INFO}</p>")
    world.alter("users", auth_alert=AuthAlertOptions(enabled=True, email_template=template))
    world.user(name="{ALERT_INFO}")
    world.sign_in()
    world.sign_in(device=AWAY)
    (mail,) = world.mails.sent
    assert mail.subject == "Acme: {ALERT_INFO} {RECORD:password}"
