from __future__ import annotations

import logging
import threading

import pytest

from rowcast.mail import MailError, Message
from rowcast.mail.outbox import Outbox

MAIL = Message("", "a@example.com", "b@example.com", "Hi", "x")


class Mailer:
    """Keeps mails; waits for `may_send` and fails for subjects that begin with "bad"."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.may_send = threading.Event()
        self.may_send.set()

    def send(self, message: Message) -> None:
        self.may_send.wait(10)
        if message.subject == "bad":
            raise MailError("no server")
        if message.subject == "worse":
            raise RuntimeError("a bug")
        self.sent.append(message.subject)


def mail(subject: str) -> Message:
    return Message("", "a@example.com", "b@example.com", subject, "x")


def test_sending_does_not_wait_and_closing_does() -> None:
    mailer, followed = Mailer(), list[int]()
    mailer.may_send.clear()
    outbox = Outbox(mailer)
    for number in range(20):
        outbox.send(mail(str(number)), then=lambda number=number: followed.append(number))  # type: ignore[misc]
    assert (mailer.sent, followed) == ([], [])
    mailer.may_send.set()
    outbox.close()
    assert sorted(mailer.sent, key=int) == [str(number) for number in range(20)]
    assert sorted(followed) == list(range(20))


def test_a_failed_mail_is_logged_and_nothing_follows_it(caplog: pytest.LogCaptureFixture) -> None:
    mailer, followed = Mailer(), list[str]()
    outbox = Outbox(mailer)
    with caplog.at_level(logging.WARNING):
        for subject in ("bad", "worse", "good", "bad", "good"):
            outbox.send(mail(subject), then=lambda: followed.append("then"))
        outbox.close()
    assert mailer.sent == ["good", "good"]
    assert followed == ["then", "then"]
    assert caplog.text.count("no server") == 2
    assert "a bug" in caplog.text


def test_what_follows_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    mailer = Mailer()
    outbox = Outbox(mailer)

    def fail() -> None:
        raise MailError("afterwards")

    with caplog.at_level(logging.WARNING):
        outbox.send(mail("1"), then=fail)
        outbox.send(mail("2"))
        outbox.close()
    assert sorted(mailer.sent) == ["1", "2"]
    assert "afterwards" in caplog.text


def test_a_dead_server_does_not_hold_up_the_stop(caplog: pytest.LogCaptureFixture) -> None:
    mailer = Mailer()
    mailer.may_send.clear()
    outbox = Outbox(mailer)
    for number in range(5):
        outbox.send(mail(str(number)))
    with caplog.at_level(logging.WARNING):
        outbox.close(timeout_s=0.01)
        outbox.close()
    assert "mails are lost" in caplog.text
    mailer.may_send.set()


def test_the_waiting_mails_are_bounded(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowcast.mail.outbox._MOST_WAITING", 3)
    mailer = Mailer()
    mailer.may_send.clear()
    outbox = Outbox(mailer)
    with caplog.at_level(logging.WARNING):
        for number in range(9):
            outbox.send(mail(str(number)))
    assert "too many mails" in caplog.text
    mailer.may_send.set()
    outbox.close()
    assert 3 <= len(mailer.sent) <= 5


def test_a_closed_outbox_takes_nothing() -> None:
    mailer = Mailer()
    outbox = Outbox(mailer)
    outbox.close()
    outbox.send(mail("late"))
    outbox.close()
    assert mailer.sent == []


def test_who_can_not_be_sent_to_is_told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rowcast.mail.outbox._MOST_WAITING", 3)
    mailer, told = Mailer(), list[str]()
    mailer.may_send.clear()
    outbox = Outbox(mailer)

    def tell(what: str) -> None:
        told.append(what)
        raise RuntimeError("what follows may fail too")

    with caplog.at_level(logging.ERROR):
        for number in range(9):
            outbox.send(
                mail("bad" if number == 0 else "good"),
                then=lambda: tell("sent"),
                otherwise=lambda number=number: tell(f"not {number}"),  # type: ignore[misc]
            )
        dropped = len(told)
        mailer.may_send.set()
        outbox.close()
        outbox.send(mail("late"), otherwise=lambda: tell("not late"))
    assert 4 <= dropped <= 6
    assert told.count("not 0") == told.count("not late") == 1
    assert told.count("sent") == len(mailer.sent) == 9 - 1 - dropped
