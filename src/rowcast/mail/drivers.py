"""The ways by which mails leave: an SMTP server, or the local `sendmail`.

Importing this takes 30 ms, so only a mail that is sent does it.
"""

from __future__ import annotations

import shutil
import smtplib
import ssl
import subprocess
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate

from rowcast.config import SMTPSettings
from rowcast.mail import MailError, Message
from rowcast.mail.plain import plain_text
from rowcast.schema.generate import random_text

_TIMEOUT_S = 30
_SENDMAIL = ("/usr/sbin/sendmail", "/usr/bin/sendmail", "sendmail")
_LOCAL_HOSTS = frozenset(("localhost", "127.0.0.1", "::1"))


def send(settings: SMTPSettings, message: Message) -> None:
    """Send a mail by the way that the settings name. Raises MailError (core/base.go, NewMailClient)."""
    try:
        mail = compose(message)
        if settings.enabled:
            _send_by_smtp(settings, mail)
        else:
            _send_by_sendmail(mail)
    except (OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
        # smtplib's errors are OSErrors; the email package raises ValueErrors and LookupErrors.
        raise MailError(f"a mail to {message.to} could not be sent: {error}") from error


def compose(message: Message) -> EmailMessage:
    """Return a mail with its headers, as HTML and as plain text. Raises ValueError for broken addresses."""
    is_ascii = (message.sender + message.to).isascii()
    mail = EmailMessage((policy.SMTP if is_ascii else policy.SMTPUTF8).clone(cte_type="7bit"))
    mail["Date"] = formatdate()
    mail["From"] = _address(message.sender, _one_line(message.sender_name))
    mail["To"] = _address(message.to)
    mail["Subject"] = _one_line(message.subject)
    domain = message.sender.rpartition("@")[2]
    mail["Message-ID"] = f"<{random_text(15)}@{domain}>"
    mail.set_content(plain_text(message.html))
    mail.add_alternative(message.html, subtype="html")
    return mail


def _address(text: str, name: str = "") -> Address:
    user, at, domain = text.rpartition("@")
    if not user or not at or not domain:
        raise ValueError(f"{text!r} is not an address")
    # In two parts, because as one text it may hold ASCII alone.
    return Address(name, user, domain)


def _one_line(text: str) -> str:
    """Return a text without line ends, by which a header could be added to a mail."""
    return " ".join(text.split())


def _send_by_smtp(settings: SMTPSettings, mail: EmailMessage) -> None:
    """Send over a server; encrypted from the start with `tls`, else as soon as the server offers it."""
    # The reference's library greets as "localhost" unless told otherwise.
    name = settings.local_name or "localhost"
    client: smtplib.SMTP
    if settings.tls:
        client = smtplib.SMTP_SSL(
            settings.host, settings.port, name, timeout=_TIMEOUT_S, context=ssl.create_default_context()
        )
    else:
        client = smtplib.SMTP(settings.host, settings.port, name, timeout=_TIMEOUT_S)
    with client:
        client.ehlo()
        is_encrypted = settings.tls
        if not is_encrypted and client.has_extn("starttls"):
            client.starttls(context=ssl.create_default_context())
            client.ehlo()
            is_encrypted = True
        if settings.username or settings.password:
            if not is_encrypted and settings.host not in _LOCAL_HOSTS:
                raise MailError("the mail server offers no encryption, so the password is not sent")
            _log_in(client, settings)
        client.send_message(mail)


def _log_in(client: smtplib.SMTP, settings: SMTPSettings) -> None:
    client.user, client.password = settings.username, settings.password
    if settings.auth_method == "LOGIN":
        client.auth("LOGIN", client.auth_login)
    else:
        client.auth("PLAIN", client.auth_plain)


def _send_by_sendmail(mail: EmailMessage) -> None:
    """Send by the program that Unix systems have for it (tools/mailer/sendmail.go)."""
    program = next(filter(None, map(shutil.which, _SENDMAIL)), None)
    if program is None:
        raise MailError("there is no mail server in the settings and no sendmail on this machine")
    # -i: a line with a dot alone does not end the mail; -t: the addresses stand in its headers.
    subprocess.run([program, "-i", "-t"], input=mail.as_bytes(), check=True, timeout=_TIMEOUT_S)  # noqa: S603
