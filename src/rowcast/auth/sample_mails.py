"""Mails on trial: a template of a collection, filled in for an account that does not exist.

Copies forms/test_email_send.go.
"""

from __future__ import annotations

from rowcast.auth.forms import email_error
from rowcast.auth.tokens import Tokens
from rowcast.config import SettingsRef
from rowcast.errors import BadRequestError, FieldError
from rowcast.mail import Mailer, MailError
from rowcast.mail.render import escape, render
from rowcast.schema import checks, dates
from rowcast.schema.catalog import CatalogRef
from rowcast.schema.collection import AuthOptions, Collection, EmailTemplate
from rowcast.schema.record import Record

_FAILED = "Failed to send the test email."
_SUPERUSERS = "_superusers"
_TEMPLATES = ("verification", "password-reset", "email-change", "otp", "login-alert")
_LONGEST_NAME = 255
_NO_ACCOUNTS = FieldError("validation_invalid_auth_collection", "Must be a valid auth collection id or name.")


class SampleMails:
    """Sends mails on trial. Synchronous; a mail may take long, so call it in a thread."""

    def __init__(self, catalog: CatalogRef, settings: SettingsRef, tokens: Tokens, mailer: Mailer) -> None:
        self._catalog = catalog
        self._settings = settings
        self._tokens = tokens
        self._mailer = mailer

    def send(self, email: str, template: str, collection_name: str = "") -> None:
        """Send the mail of a template to an address; without a name the collection is that of superusers.

        Raises BadRequestError with `data` by field, or with the reason why the mail could not leave.
        """
        collection = self._catalog.current.find(collection_name or _SUPERUSERS)
        wrong_collection = checks.length(collection_name, 1, _LONGEST_NAME)
        if collection is None or collection.auth is None:
            wrong_collection = wrong_collection or _NO_ACCOUNTS
        wrong_template = checks.required(template) or (None if template in _TEMPLATES else checks.INVALID_CHOICE)
        errors = checks.collect(collection=wrong_collection, email=email_error(email), template=wrong_template)
        if errors or collection is None or collection.auth is None:
            raise BadRequestError(_FAILED, errors)
        account = _sample(collection, email)
        filled, values = self._filled(account, collection.auth, template, email)
        try:
            self._mailer.send(render(self._settings.current.meta, account, filled, values, to=email))
        except MailError as error:
            raise BadRequestError(f"{_FAILED} Raw error: \n{error}") from error

    def _filled(
        self, account: Record, options: AuthOptions, template: str, email: str
    ) -> tuple[EmailTemplate, dict[str, str]]:
        if template == "otp":
            return options.otp.email_template, {"OTP": "123456", "OTP_ID": "_PB_TEST_OTP_ID_"}
        if template == "login-alert":
            info = escape(f"{dates.now()} - TEST_IP TEST_USER_AGENT")
            return options.auth_alert.email_template, {"ALERT_INFO": info}
        claims = {"email": email}
        if template == "verification":
            token = self._tokens.mint(account, "verification", claims=claims)
            return options.verification_template, {"TOKEN": token}
        if template == "password-reset":
            token = self._tokens.mint(account, "passwordReset", claims=claims)
            return options.reset_password_template, {"TOKEN": token}
        token = self._tokens.mint(account, "emailChange", claims={**claims, "newEmail": email})
        return options.confirm_email_change_template, {"TOKEN": token}


def _sample(collection: Collection, email: str) -> Record:
    """Return an account whose fields show their names."""
    account = Record(collection, {field.name: field.prepare(None) for field in collection.fields})
    for field in collection.fields:
        if not field.hidden:
            account.set(field.name, f"__pb_test_{field.name}__")
    account.refresh_token_key()
    account.set("email", email)
    return account
