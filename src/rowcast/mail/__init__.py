"""Mails: what one is, how it is written from a template, and how it leaves.

`Mailer` is what a way of sending must offer; `drivers` has those there are.
`Outbox` sends in the background, so that no answer waits for a mail server.
Knows records as values; knows neither who signs in nor why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rowcast.errors import RowcastError


class MailError(RowcastError):
    """A mail could not be sent; the text is for the log."""


@dataclass(frozen=True, slots=True)
class Message:
    """One mail to one address. A plain text of the HTML goes with it."""

    sender_name: str
    sender: str
    to: str
    subject: str
    html: str


class Mailer(Protocol):
    """A way of sending mails. Blocks until the mail is taken or refused."""

    def send(self, message: Message) -> None:
        """Send a mail. Raises MailError."""
        ...
