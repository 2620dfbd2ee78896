"""What a new collection has before anybody changes it: ids, system fields, indexes, options.

Pure; whatever is random comes in as an argument. The texts of the mails and the
durations are part of the data format: the reference compares stored templates
with its defaults. Copies core/collection_model.go (initDefaultFields) and
core/collection_model_auth_options.go (setDefaultAuthOptions).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TypeVar

import msgspec

from rowcast.schema.collection import (
    AuthAlertOptions,
    AuthOptions,
    EmailTemplate,
    MFAOptions,
    OTPOptions,
    PasswordAuthOptions,
    TokenOptions,
)
from rowcast.schema.fields import BoolField, EmailField, Field, PasswordField, TextField

ID_PATTERN = "^[a-z0-9]+$"

_SIGNATURE = """<p>
  Thanks,<br/>
  {APP_NAME} team
</p>"""


def _mail_with_button(subject: str, opening: str, page: str, button: str, closing: str) -> EmailTemplate:
    return EmailTemplate(
        subject=subject,
        body=f"""<p>Hello,</p>
{opening}
<p>
  <a class="btn" href="{{APP_URL}}/_/#/auth/{page}/{{TOKEN}}" target="_blank" rel="noopener">{button}</a>
</p>
<p><i>{closing}</i></p>
{_SIGNATURE}""",
    )


VERIFICATION_TEMPLATE = _mail_with_button(
    "Verify your {APP_NAME} email",
    "<p>Thank you for joining us at {APP_NAME}.</p>\n<p>Click on the button below to verify your email address.</p>",
    "confirm-verification",
    "Verify",
    "If you didn't recently register, please ignore this email.",
)

RESET_PASSWORD_TEMPLATE = _mail_with_button(
    "Reset your {APP_NAME} password",
    "<p>Click on the button below to reset your password.</p>",
    "confirm-password-reset",
    "Reset password",
    "If you didn't ask to reset your password, please ignore this email.",
)

CONFIRM_EMAIL_CHANGE_TEMPLATE = _mail_with_button(
    "Confirm your {APP_NAME} new email address",
    "<p>Click on the button below to confirm your new email address.</p>",
    "confirm-email-change",
    "Confirm new email",
    "If you didn't ask to change your email address, please ignore this email.",
)

OTP_TEMPLATE = EmailTemplate(
    subject="OTP for {APP_NAME}",
    body=f"""<p>Hello,</p>
<p>Your one-time password is: <strong>{{OTP}}</strong></p>
<p><i>If you didn't ask for the one-time password, you can ignore this email.</i></p>
{_SIGNATURE}""",
)

AUTH_ALERT_TEMPLATE = EmailTemplate(
    subject="Login from a new location",
    body=f"""<p>Hello,</p>
<p>We noticed a login to your {{APP_NAME}} account from a new location:</p>
<p><em>{{ALERT_INFO}}</em></p>
<p><strong>If this wasn't you, you should immediately change your {{APP_NAME}} account password to revoke access \
from all other locations.</strong></p>
<p>If this was you, you may disregard this email.</p>
{_SIGNATURE}""",
)


def auth_options(secret: Callable[[], str]) -> AuthOptions:
    """Return the options of a new auth collection; `secret` gives a new random text of 50 letters each time."""

    def token(duration: int) -> TokenOptions:
        return TokenOptions(secret=secret(), duration=duration)

    return AuthOptions(
        auth_rule="",
        auth_alert=AuthAlertOptions(enabled=True, email_template=AUTH_ALERT_TEMPLATE),
        password_auth=PasswordAuthOptions(enabled=True, identity_fields=("email",)),
        mfa=MFAOptions(duration=600),
        otp=OTPOptions(duration=180, length=8, email_template=OTP_TEMPLATE),
        auth_token=token(432000),
        password_reset_token=token(1800),
        email_change_token=token(1800),
        verification_token=token(86400),
        file_token=token(180),
        verification_template=VERIFICATION_TEMPLATE,
        reset_password_template=RESET_PASSWORD_TEMPLATE,
        confirm_email_change_template=CONFIRM_EMAIL_CHANGE_TEMPLATE,
    )


def checksum(text: str) -> str:
    """Return the CRC-32 of `text` as a decimal number, of which default ids are made."""
    return str(zlib.crc32(text.encode()))


def collection_id(kind: str, name: str) -> str:
    """Return the id that a new collection gets where it brings none."""
    return "pbc_" + checksum(kind + name)


def field_id(kind: str, name: str) -> str:
    """Return the id that a new field gets where it brings none."""
    return kind + checksum(name)


AnyFieldT = TypeVar("AnyFieldT", bound=Field)


def with_id(field: AnyFieldT) -> AnyFieldT:
    """Return `field` with its default id."""
    return msgspec.structs.replace(field, id=field_id(field.kind, field.name))


ID_FIELD = with_id(
    TextField(
        name="id",
        system=True,
        primary_key=True,
        required=True,
        min=15,
        max=15,
        pattern=ID_PATTERN,
        autogenerate_pattern="[a-z0-9]{15}",
    )
)
"""The first field of every base and auth collection."""

AUTH_FIELDS: tuple[Field, ...] = (
    with_id(PasswordField(name="password", system=True, hidden=True, required=True, min=8)),
    with_id(
        TextField(
            name="tokenKey",
            system=True,
            hidden=True,
            required=True,
            min=30,
            max=60,
            autogenerate_pattern="[a-zA-Z0-9]{50}",
        )
    ),
    with_id(EmailField(name="email", system=True, required=True)),
    with_id(BoolField(name="emailVisibility", system=True)),
    with_id(BoolField(name="verified", system=True)),
)
"""What an auth collection has besides `id`, in their order."""


def auth_index_name(field: str, collection: str) -> str:
    """Return the name of the default unique index of an auth field; `collection` is the id, else the name."""
    return f"idx_{field}_{collection}"[:64]


def token_key_index(collection: str, table: str) -> str:
    """Return the definition of the unique index on `tokenKey`."""
    return f"CREATE UNIQUE INDEX `{auth_index_name('tokenKey', collection)}` ON `{table}` (`tokenKey`)"


def email_index(collection: str, table: str) -> str:
    """Return the definition of the unique index on `email`."""
    return f"CREATE UNIQUE INDEX `{auth_index_name('email', collection)}` ON `{table}` (`email`) WHERE `email` != ''"
