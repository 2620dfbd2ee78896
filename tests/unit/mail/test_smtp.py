"""Mails over a real SMTP server: encryption, sign-in, and servers that do not do their part."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowcast.config import SMTPSettings
from rowcast.mail import MailError, Message, drivers
from tests.unit.mail.sink import Sink, running_sink, self_signed

MAIL = Message("Support", "support@example.com", "a@example.com", "Hi", "<p>Hello</p>")

SECRETS = {"username": "user", "password": "secret"}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def trusted(certificate: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The certificate is one of those that the machine trusts."""
    context, path = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return context


@pytest.fixture
def sink() -> Iterator[Sink]:
    with running_sink() as running:
        yield running


def smtp(sink: Sink, **options: object) -> SMTPSettings:
    return SMTPSettings(enabled=True, host="127.0.0.1", port=sink.port, **options)  # type: ignore[arg-type]


def is_said_in_the_open(sink: Sink, command: str) -> bool:
    """Whether a command came before STARTTLS."""
    verbs = [line.partition(" ")[0].upper() for line in sink.commands]
    return command in verbs[: verbs.index("STARTTLS")]


@pytest.mark.parametrize("method", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_mails_and_passwords_go_encrypted(trusted: ssl.SSLContext, tls: str, method: str) -> None:
    with running_sink(trusted, tls) as sink:
        sink.extensions = ["AUTH PLAIN LOGIN"]
        drivers.send(smtp(sink, tls=tls == "implicit", auth_method=method, **SECRETS), MAIL)
        assert [str(mail["To"]) for mail in sink.parsed()] == ["a@example.com"]
        said = " ".join(sink.commands)
        # "\0user\0secret", or "user" and "secret".
        secrets = ["AHVzZXIAc2VjcmV0"] if method == "PLAIN" else ["dXNlcg==", "c2VjcmV0"]
        assert [secret for secret in secrets if secret not in said] == []
        assert any(line.upper().startswith(f"AUTH {method}") for line in sink.commands)
        if tls == "starttls":
            assert not is_said_in_the_open(sink, "AUTH")
            assert not is_said_in_the_open(sink, "MAIL")


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: tuple[ssl.SSLContext, Path], tls: str) -> None:
    with running_sink(certificate[0], tls) as sink:
        with pytest.raises(MailError, match="certificate"):
            drivers.send(smtp(sink, tls=tls == "implicit", **SECRETS), MAIL)
        assert not any("AUTH" in line or "MAIL" in line.upper() for line in sink.commands)


def test_encryption_from_the_start_falls_back_to_nothing(sink: Sink) -> None:
    with pytest.raises(MailError):
        drivers.send(smtp(sink, tls=True), MAIL)
    assert sink.mails == []


VERBS = ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_falls_silent_is_given_up(sink: Sink, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "_TIMEOUT_S", 0.1)
    sink.silent = {verb}
    with pytest.raises(MailError):
        drivers.send(smtp(sink), MAIL)
    assert sink.mails == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_answers_without_an_end_is_given_up(
    sink: Sink, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "_WHOLE_TIMEOUT_S", 0.2)
    sink.dripping = {verb}
    with pytest.raises(MailError):
        drivers.send(smtp(sink), MAIL)
    assert sink.mails == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_hangs_up_is_an_error(sink: Sink, verb: str) -> None:
    sink.cut = {verb}
    with pytest.raises(MailError):
        drivers.send(smtp(sink), MAIL)
    assert sink.mails == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_refuses_is_an_error(sink: Sink, verb: str) -> None:
    sink.refused = {verb, "HELO"}
    with pytest.raises(MailError):
        drivers.send(smtp(sink), MAIL)
    assert sink.mails == []


def test_a_mail_that_was_taken_has_left_whatever_comes_after(sink: Sink) -> None:
    sink.cut = {"QUIT"}
    drivers.send(smtp(sink), MAIL)
    assert len(sink.mails) == 1
