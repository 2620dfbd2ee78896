from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowcast.config import Settings, SettingsRef, SMTPSettings
from rowcast.mail import MailError, Message, drivers
from rowcast.mail.configured import ConfiguredMailer
from tests.unit.mail.sink import Sink, running_sink

MAIL = Message("Support Ü", "support@example.com", "a@example.com", "Grüße", "<p>Hallo <b>Änne</b></p>\n" + "x" * 2000)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with running_sink() as running:
        yield running


def smtp(sink: Sink, **options: object) -> SMTPSettings:
    return SMTPSettings(enabled=True, host="127.0.0.1", port=sink.port, **options)  # type: ignore[arg-type]


def test_a_mail_arrives_as_html_and_text(sink: Sink) -> None:
    drivers.send(smtp(sink), MAIL)
    (mail,) = sink.parsed()
    assert (mail["Subject"], mail["To"]) == ("Grüße", "a@example.com")
    assert mail["From"] == "Support Ü <support@example.com>"
    assert mail["Date"]
    assert mail["Message-ID"].endswith("@example.com>")
    html, text = mail.get_body(("html",)), mail.get_body(("plain",))
    assert html is not None
    assert text is not None
    assert html.get_content().replace("\r\n", "\n").rstrip("\n") == MAIL.html
    assert text.get_content().startswith("Hallo Änne")
    assert max(map(len, sink.mails[0].split(b"\r\n"))) < 998
    assert [command for command in sink.commands if "@" in command] == [
        "mail FROM:<support@example.com>",
        "rcpt TO:<a@example.com>",
    ]


def test_addresses_of_any_alphabet_are_written(sink: Sink) -> None:
    drivers.send(smtp(sink), Message("", "support@example.com", "änne@exämple.com", "Hi", "x"))
    assert sink.parsed()[0]["To"] == "änne@exämple.com"


@pytest.mark.parametrize("text", ["Hi\r\nBcc: b@example.com", "Hi\nBcc: b@example.com", "Hi\r\n\r\n<p>body</p>"])
def test_a_line_end_adds_no_header(sink: Sink, text: str) -> None:
    drivers.send(smtp(sink), Message(text, "support@example.com", "a@example.com", text, "x"))
    (mail,) = sink.parsed()
    assert mail["Bcc"] is None
    assert mail["Subject"] == " ".join(text.split())


@pytest.mark.parametrize("name", ["", "mail.example.com"])
def test_the_greeting_has_the_name_from_the_settings(sink: Sink, name: str) -> None:
    drivers.send(smtp(sink, local_name=name), MAIL)
    assert sink.commands[0].upper() == f"EHLO {name or 'localhost'}".upper()


@pytest.mark.parametrize(
    ("method", "said"),
    [("", ["AUTH PLAIN AHVzZXIAc2VjcmV0"]), ("LOGIN", ["AUTH LOGIN dXNlcg==", "c2VjcmV0"])],
)
def test_passwords_are_said_in_the_way_of_the_settings(sink: Sink, method: str, said: list[str]) -> None:
    sink.extensions = ["AUTH PLAIN LOGIN"]
    if method == "LOGIN":
        said = said[:1]
    drivers.send(smtp(sink, username="user", password="secret", auth_method=method), MAIL)
    assert [command for command in said if command not in sink.commands] == []


def test_no_password_goes_over_an_open_line(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "_LOCAL_HOSTS", frozenset())
    with pytest.raises(MailError, match="no encryption"):
        drivers.send(smtp(sink, username="user", password="secret"), MAIL)
    assert not any("AUTH" in command for command in sink.commands)
    assert sink.mails == []


@pytest.mark.parametrize("verb", ["MAIL", "RCPT"])
def test_a_refused_mail_is_an_error(sink: Sink, verb: str) -> None:
    sink.refused = {verb}
    with pytest.raises(MailError, match=r"a@example\.com could not be sent"):
        drivers.send(smtp(sink), MAIL)


def test_a_refused_password_is_an_error(sink: Sink) -> None:
    sink.refused = {"AUTH"}
    with pytest.raises(MailError):
        drivers.send(smtp(sink, username="user", password="secret"), MAIL)
    assert sink.mails == []


@pytest.mark.parametrize("address", ["", "nobody", "@example.com", "a@", "a@x\r\nBcc: b@x"])
def test_a_broken_address_is_an_error(sink: Sink, address: str) -> None:
    with pytest.raises(MailError):
        drivers.send(smtp(sink), Message("", "support@example.com", address, "Hi", "x"))
    with pytest.raises(MailError):
        drivers.send(smtp(sink), Message("", address, "a@example.com", "Hi", "x"))
    assert sink.mails == []


def test_a_missing_server_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(MailError):
        drivers.send(SMTPSettings(enabled=True, host="127.0.0.1", port=port), MAIL)
    with pytest.raises(MailError):
        drivers.send(SMTPSettings(enabled=True, host="127.0.0.1", port=port, tls=True), MAIL)


def test_without_a_server_mails_go_to_sendmail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/args\ncat > {tmp_path}/mail\n')
    program.chmod(0o755)
    monkeypatch.setattr(drivers, "_SENDMAIL", (str(program),))
    ConfiguredMailer(SettingsRef(Settings())).send(MAIL)
    assert (tmp_path / "args").read_text() == "-i -t\n"
    assert b"To: a@example.com" in (tmp_path / "mail").read_bytes()
    program.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(MailError):
        drivers.send(SMTPSettings(), MAIL)
    monkeypatch.setattr(drivers, "_SENDMAIL", ("/nowhere/sendmail",))
    with pytest.raises(MailError, match="no sendmail on this machine"):
        drivers.send(SMTPSettings(), MAIL)


def test_the_settings_in_force_say_where_a_mail_goes(sink: Sink) -> None:
    settings = SettingsRef(Settings())
    mailer = ConfiguredMailer(settings)
    settings.current = Settings(smtp=smtp(sink))
    mailer.send(MAIL)
    assert len(sink.mails) == 1
