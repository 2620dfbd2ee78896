"""The ways by which mails leave: an SMTP server, or the local `sendmail`.

Importing this takes 30 ms, so only a mail that is sent does it.
"""

from __future__ import annotations

import contextlib
import shutil
import smtplib
import socket
import ssl
import subprocess
import threading
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate

from rowcast.config import SMTPSettings
from rowcast.mail import MailError, Message
from rowcast.mail.plain import plain_text
from rowcast.schema.generate import random_text

_TIMEOUT_S = 30
_WHOLE_TIMEOUT_S = 60
"""How long one mail may take in all."""

_READY = 220
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


class _Client(smtplib.SMTP):
    """A client whose connection ends when its time is up, whatever the server does.

    The time-out of a socket bounds one wait; a server that sends a byte now and then
    would never meet it.
    """

    def __init__(self, host: str, local_name: str, tls: ssl.SSLContext | None) -> None:
        super().__init__(local_hostname=local_name, timeout=_TIMEOUT_S)
        # What the certificate must name after STARTTLS; set by smtplib only where it connects at once.
        self._host = host
        self._tls = tls
        self._live: socket.socket | None = None
        self._timer = threading.Timer(_WHOLE_TIMEOUT_S, self._end)
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """Close the connection and forget its time."""
        self._timer.cancel()
        super().close()
        if self._live is not None:
            # smtplib does not know it while the handshake has not ended.
            self._live.close()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        # smtplib's own SMTP_SSL gives the socket out only after the handshake, which a server may never end.
        self._live = socket.create_connection((host, port), timeout)
        if self._tls is None:
            return self._live
        secured = self._tls.wrap_socket(self._live, server_hostname=host, do_handshake_on_connect=False)
        self._live = secured
        secured.do_handshake()
        return secured

    def _end(self) -> None:
        for connection in (self._live, self.sock):
            if connection is not None:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _send_by_smtp(settings: SMTPSettings, mail: EmailMessage) -> None:
    """Send over a server; encrypted from the start with `tls`, else as soon as the server offers it."""
    # The reference's library greets as "localhost" unless told otherwise.
    name, tls = settings.local_name or "localhost", ssl.create_default_context() if settings.tls else None
    client = _Client(settings.host, name, tls)
    try:
        _talk(client, settings, mail)
    finally:
        client.close()


def _talk(client: _Client, settings: SMTPSettings, mail: EmailMessage) -> None:
    code, greeting = client.connect(settings.host, settings.port)
    if code != _READY:
        raise smtplib.SMTPConnectError(code, greeting)
    client.ehlo_or_helo_if_needed()
    is_encrypted = settings.tls
    if not is_encrypted and client.has_extn("starttls"):
        client.starttls(context=ssl.create_default_context())
        client.ehlo_or_helo_if_needed()
        is_encrypted = True
    if settings.username or settings.password:
        if not is_encrypted and settings.host not in _LOCAL_HOSTS:
            raise MailError("the mail server offers no encryption, so the password is not sent")
        _log_in(client, settings)
    client.send_message(mail)
    # The mail is taken; how the server says goodbye changes nothing.
    with contextlib.suppress(OSError):
        client.quit()


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
