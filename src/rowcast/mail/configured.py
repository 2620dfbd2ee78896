"""The mailer of a running server: it sends by the way that the settings in force name."""

from __future__ import annotations

from rowcast.config import SettingsRef
from rowcast.mail import Message


class ConfiguredMailer:
    """Sends by SMTP where that is enabled, else by the local `sendmail`."""

    def __init__(self, settings: SettingsRef) -> None:
        self._settings = settings

    def send(self, message: Message) -> None:
        """Send a mail. Raises MailError."""
        from rowcast.mail import drivers  # noqa: PLC0415 -- most processes never send a mail

        drivers.send(self._settings.current.smtp, message)
