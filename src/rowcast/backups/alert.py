"""The mail to superusers about something that failed (core/system_alert.go)."""

from __future__ import annotations

from rowcast.config import MetaSettings
from rowcast.mail import Message
from rowcast.mail.layout import FOOT, HEAD
from rowcast.mail.render import escape

_ALERT = "padding: 15px; background: #e4e8ec; border-radius: 5px; white-space: pre-wrap;"


def system_alert(meta: MetaSettings, to: str, subject: str, details: str) -> Message:
    """Return the mail with what failed."""
    body = (
        f"<p>{escape(meta.app_name)} system alert occurred:</p>\n"
        f'    <p class="alert" style="{_ALERT}"><strong>{escape(details)}</strong></p>\n'
        "    <p>For more information you could explore the logs in the dashboard of your application.</p>"
    )
    return Message(
        sender_name=meta.sender_name,
        sender=meta.sender_address,
        to=to,
        subject=f"[{meta.app_name} system alert] {escape(subject)}",
        html=HEAD + body + FOOT,
    )
