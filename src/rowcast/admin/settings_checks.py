"""Which settings are valid: codes and texts by group.

Copies core/settings_model.go, PostValidate and the `Validate` of each group. Says
nothing of where settings come from or go to.
"""

from __future__ import annotations

import ipaddress
import re

from rowcast.admin.schedule import ScheduleError, parse_schedule
from rowcast.config import (
    BackupsSettings,
    BatchSettings,
    MetaSettings,
    RateLimitRule,
    RateLimitsSettings,
    S3Settings,
    Settings,
    SMTPSettings,
)
from rowcast.errors import ErrorData, FieldError
from rowcast.schema import checks
from rowcast.schema.addresses import is_email, is_url

_INVALID_URL = FieldError("validation_is_url", "Must be a valid URL.")
_INVALID_EMAIL = FieldError("validation_is_email", "Must be a valid email address.")
_INVALID_HOST = FieldError("validation_is_host", "Must be a valid IP address or DNS name.")
_INVALID_COLOR = FieldError("validation_is_hex_color", "Must be a valid hexadecimal color code.")
# The misspelled code is the reference's.
_INVALID_NETWORK = FieldError("validation_invlaid_ip_or_subnet", "Invalid IP or CIDR subnet.")

_COLOR = re.compile(r"#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_DNS_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_-]{0,62}(?:\.[a-zA-Z0-9_][a-zA-Z0-9_-]{0,62})*[._]?")
_LONGEST_DNS_NAME = 255
_BITS = re.compile(r"0|[1-9][0-9]{0,2}")
_LABEL = re.compile(r"\w+ /[\w/-]*|/[\w/-]*|\w+:\w+|\*:\w+|\w+", re.ASCII)
_AUDIENCES = ("", "@guest", "@auth")
_AUTH_METHODS = ("", "LOGIN", "PLAIN")
_LONGEST_NAME = 255


def settings_errors(settings: Settings) -> ErrorData:
    """Return what is wrong with settings, by group and by name in it."""
    return checks.collect(
        superuserIPs=checks.each(settings.superuser_ips, _check_network),
        meta=_check_meta(settings.meta),
        logs=checks.collect(maxDays=checks.at_least(settings.logs.max_days, 0)),
        smtp=_check_smtp(settings.smtp),
        s3=_check_s3(settings.s3),
        backups=_check_backups(settings.backups),
        batch=_check_batch(settings.batch),
        rateLimits=_check_rate_limits(settings.rate_limits),
    )


def _check_meta(meta: MetaSettings) -> ErrorData:
    color = checks.length(meta.accent_color, 7, 7)
    return checks.collect(
        accentColor=color or checks.matches(meta.accent_color, _COLOR, _INVALID_COLOR),
        appName=checks.required(meta.app_name) or checks.length(meta.app_name, 1, _LONGEST_NAME),
        appURL=checks.required(meta.app_url) or _check_url(meta.app_url),
        senderName=checks.required(meta.sender_name) or checks.length(meta.sender_name, 1, _LONGEST_NAME),
        senderAddress=checks.required(meta.sender_address)
        or (None if is_email(meta.sender_address) else _INVALID_EMAIL),
    )


def _check_smtp(smtp: SMTPSettings) -> ErrorData:
    is_known = smtp.auth_method in _AUTH_METHODS
    return checks.collect(
        host=(checks.required(smtp.host) if smtp.enabled else None) or _check_host(smtp.host),
        port=(checks.required(smtp.port) if smtp.enabled else None) or checks.at_least(smtp.port, 0),
        authMethod=None if is_known else checks.INVALID_CHOICE,
        localName=_check_host(smtp.local_name),
    )


def _check_s3(s3: S3Settings) -> ErrorData:
    url = _check_url(s3.endpoint)
    if not s3.enabled:
        return checks.collect(endpoint=url)
    return checks.collect(
        endpoint=url or checks.required(s3.endpoint),
        bucket=checks.required(s3.bucket),
        region=checks.required(s3.region),
        accessKey=checks.required(s3.access_key),
        secret=checks.required(s3.secret),
    )


def _check_backups(backups: BackupsSettings) -> ErrorData:
    keep = checks.required(backups.cron_max_keep) if backups.cron else None
    return checks.collect(
        s3=_check_s3(backups.s3),
        cron=_check_cron(backups.cron),
        cronMaxKeep=keep or checks.at_least(backups.cron_max_keep, 1),
    )


def _check_batch(batch: BatchSettings) -> ErrorData:
    return checks.collect(
        maxRequests=(checks.required(batch.max_requests) if batch.enabled else None)
        or checks.at_least(batch.max_requests, 0),
        timeout=(checks.required(batch.timeout) if batch.enabled else None) or checks.at_least(batch.timeout, 0),
        maxBodySize=checks.at_least(batch.max_body_size, 0),
    )


def _check_rate_limits(limits: RateLimitsSettings) -> ErrorData:
    rules: FieldError | ErrorData | None = checks.required(limits.rules) if limits.enabled else None
    each = {str(at): errors for at, rule in enumerate(limits.rules) if (errors := _check_rule(rule))}
    return checks.collect(
        rules=rules or _check_conflicts(limits.rules) or ErrorData(each),
        excludedIPs=checks.each(limits.excluded_ips, _check_network),
    )


def _check_rule(rule: RateLimitRule) -> ErrorData:
    return checks.collect(
        label=checks.required(rule.label) or checks.matches(rule.label, _LABEL),
        maxRequests=checks.required(rule.max_requests) or checks.at_least(rule.max_requests, 1),
        duration=checks.required(rule.duration) or checks.at_least(rule.duration, 1),
        audience=None if rule.audience in _AUDIENCES else checks.INVALID_CHOICE,
    )


def _check_conflicts(rules: tuple[RateLimitRule, ...]) -> ErrorData:
    """Refuse the first rule whose label and audience begin those of an earlier one, or the other way round."""
    earlier: list[str] = []
    for at, rule in enumerate(rules):
        key = f"{rule.label}@@{rule.audience}"
        if any(key.startswith(other) or other.startswith(key) for other in earlier):
            text = f"Rate limit rule configuration with label {rule.label} already exists"
            text += " or conflicts with another rule."
            error = FieldError("validation_conflicting_rate_limit_rule", text, {"label": rule.label})
            return ErrorData({str(at): ErrorData(label=error)})
        earlier.append(key)
    return ErrorData()


def _check_url(text: str) -> FieldError | None:
    return None if not text or is_url(text) else _INVALID_URL


def _check_host(text: str) -> FieldError | None:
    if not text or _is_address(text):
        return None
    is_name = len(text.replace(".", "").encode()) <= _LONGEST_DNS_NAME and _DNS_NAME.fullmatch(text)
    return None if is_name else _INVALID_HOST


def _check_network(text: str) -> FieldError | None:
    if not text:
        return checks.REQUIRED
    address, slash, bits = text.partition("/")
    if not slash:
        return None if _is_address(text) else _INVALID_NETWORK
    # Python takes "1.2.3.4/255.0.0.0" too, which Go does not.
    if not _is_address(address) or "%" in address or not _BITS.fullmatch(bits):
        return _INVALID_NETWORK
    return None if int(bits) <= ipaddress.ip_address(address).max_prefixlen else _INVALID_NETWORK


def _check_cron(text: str) -> FieldError | None:
    try:
        if text:
            parse_schedule(text)
    except ScheduleError as error:
        return FieldError("validation_invalid_cron", str(error))
    return None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
