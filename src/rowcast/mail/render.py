"""Mails from the templates of a collection.

Placeholders are replaced in one pass, so that a value that looks like a
placeholder stays what it is. Copies mails/record.go, resolveEmailTemplate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rowcast.config import MetaSettings
from rowcast.mail import Message
from rowcast.mail.layout import FOOT, HEAD
from rowcast.schema.casts import to_text
from rowcast.schema.collection import EmailTemplate
from rowcast.schema.fields import PasswordField
from rowcast.schema.geo import GeoPoint
from rowcast.schema.record import Record

_PLACEHOLDER = re.compile(r"\{(?:RECORD:([^{}]*)|[A-Z_]+)\}", re.ASCII)
_ESCAPES = str.maketrans({"&": "&amp;", "'": "&#39;", "<": "&lt;", ">": "&gt;", '"': "&#34;"})
_PLAIN_KINDS = frozenset(("autodate", "date", "bool", "number"))


def escape(text: str) -> str:
    """Return a text that can stand in HTML, escaped as Go's html.EscapeString does it."""
    return text.translate(_ESCAPES)


def render(
    meta: MetaSettings, account: Record, template: EmailTemplate, values: Mapping[str, str], *, to: str = ""
) -> Message:
    """Return the mail of a template to an account, or to another address.

    `values` are those of the placeholders of this mail ({"TOKEN": ...}), ready for
    HTML. {APP_NAME}, {APP_URL} and {RECORD:field} are always there; hidden fields
    and unknown placeholders stay as they are written.
    """
    known = {"APP_NAME": meta.app_name, "APP_URL": meta.app_url, **values}

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            return known.get(match[0][1:-1], match[0])
        shown = _field_text(account, match[1])
        return match[0] if shown is None else shown

    return Message(
        sender_name=meta.sender_name,
        sender=meta.sender_address,
        to=to or account.text("email"),
        subject=_PLACEHOLDER.sub(replace, template.subject),
        html=HEAD + _PLACEHOLDER.sub(replace, template.body) + FOOT,
    )


def _field_text(account: Record, name: str) -> str | None:
    """Return what a mail may show of a field, None where it shows nothing of it."""
    field = account.collection.field(name)
    if field is None or field.hidden or isinstance(field, PasswordField) or name == "tokenKey":
        return None
    value = account.values.get(name)
    text = value.to_json() if isinstance(value, GeoPoint) else to_text(value)
    return text if field.kind in _PLAIN_KINDS else escape(text)
