"""Whether the options of an auth collection are in order.

Owns the order, codes and texts of core/collection_model_auth_options.go. What the
options of one group say about each other is checked only when each is fine alone.
"""

from __future__ import annotations

from rowcast.admin.collections_checks import Candidate, check_rule, check_unique_fields
from rowcast.errors import ErrorData, FieldError
from rowcast.schema import addresses, checks
from rowcast.schema.collection import AuthOptions, EmailTemplate, OAuth2Options, OAuth2Provider, TokenOptions
from rowcast.schema.oauth2_providers import PROVIDERS

_MAX_TOKEN_S = 94_670_856
_MAX_CODE_S = 86_400

_NIL_OR_NOT_EMPTY = FieldError("validation_nil_or_not_empty_required", "Cannot be blank.")
_TOO_FEW_METHODS = FieldError("validation_mfa_not_enough_auths", "MFA requires at least 2 auth methods to be enabled.")
_INVALID_URL = FieldError("validation_is_url", "Must be a valid URL.")


def check_auth_options(candidate: Candidate, options: AuthOptions) -> ErrorData:
    """Return what is wrong with the options of an auth collection, by their JSON names."""
    before = candidate.old.auth if candidate.old is not None and candidate.old.auth is not None else AuthOptions()
    is_blank = options.manage_rule == ""
    errors = checks.collect(
        authRule=check_rule(candidate, options.auth_rule, before.auth_rule),
        manageRule=_NIL_OR_NOT_EMPTY if is_blank else check_rule(candidate, options.manage_rule, before.manage_rule),
        authAlert=checks.collect(emailTemplate=_check_template(options.auth_alert.email_template)),
        passwordAuth=_check_identity_fields_given(options),
        oauth2=_check_oauth2(options.oauth2),
        otp=_check_otp(options),
        mfa=checks.collect(duration=_check_seconds(options.mfa.duration, _MAX_CODE_S) if options.mfa.enabled else None),
        authToken=_check_token(options.auth_token),
        passwordResetToken=_check_token(options.password_reset_token),
        emailChangeToken=_check_token(options.email_change_token),
        verificationToken=_check_token(options.verification_token),
        fileToken=_check_token(options.file_token),
        verificationTemplate=_check_template(options.verification_template),
        resetPasswordTemplate=_check_template(options.reset_password_template),
        confirmEmailChangeTemplate=_check_template(options.confirm_email_change_template),
    )
    return errors or _check_mfa(candidate, options) or _check_identity_fields(candidate, options)


def _check_template(template: EmailTemplate) -> ErrorData:
    return checks.collect(subject=checks.required(template.subject), body=checks.required(template.body))


def _check_seconds(seconds: int, most: int) -> FieldError | None:
    return checks.first(checks.required(seconds), checks.within(seconds, 10, most))


def _check_token(token: TokenOptions) -> ErrorData:
    return checks.collect(
        secret=checks.first(checks.required(token.secret), checks.length(token.secret, 30, 255)),
        duration=_check_seconds(token.duration, _MAX_TOKEN_S),
    )


def _check_otp(options: AuthOptions) -> ErrorData:
    otp = options.otp
    return checks.collect(
        duration=_check_seconds(otp.duration, _MAX_CODE_S) if otp.enabled else None,
        length=checks.first(checks.required(otp.length), checks.at_least(otp.length, 4)) if otp.enabled else None,
        emailTemplate=_check_template(otp.email_template),
    )


def _check_identity_fields_given(options: AuthOptions) -> ErrorData:
    password = options.password_auth
    is_missing = password.enabled and not any(password.identity_fields)
    return checks.collect(identityFields=checks.REQUIRED if is_missing else None)


def _check_oauth2(options: OAuth2Options) -> ErrorData:
    if not options.enabled:
        return ErrorData()
    return checks.collect(providers=_check_duplicates(options.providers) or _check_providers(options.providers))


def _check_duplicates(providers: tuple[OAuth2Provider, ...]) -> ErrorData:
    names: set[str] = set()
    for at, provider in enumerate(providers):
        if provider.name in names:
            text = f"The provider {provider.name} is already registered."
            error = FieldError("validation_duplicated_provider", text, {"name": provider.name})
            return ErrorData({str(at): ErrorData(name=error)})
        if provider.name:
            names.add(provider.name)
    return ErrorData()


def _check_providers(providers: tuple[OAuth2Provider, ...]) -> ErrorData:
    return ErrorData(
        {str(at): errors for at, provider in enumerate(providers) if (errors := _check_provider(provider))}
    )


def _check_provider(provider: OAuth2Provider) -> ErrorData:
    return checks.collect(
        name=checks.first(checks.required(provider.name), _check_provider_name(provider.name)),
        clientId=checks.required(provider.client_id),
        clientSecret=checks.required(provider.client_secret),
        authURL=_check_url(provider.auth_url),
        tokenURL=_check_url(provider.token_url),
        userInfoURL=_check_url(provider.user_info_url),
    )


def _check_provider_name(name: str) -> FieldError | None:
    if name in PROVIDERS:
        return None
    return FieldError("validation_missing_provider", f"Invalid or missing provider with name {name}.", {"name": name})


def _check_url(text: str) -> FieldError | None:
    return None if not text or addresses.is_url(text) else _INVALID_URL


def _check_mfa(candidate: Candidate, options: AuthOptions) -> ErrorData:
    """Check that MFA has two methods to combine, and its rule."""
    mfa = options.mfa
    if not mfa.enabled:
        return ErrorData()
    if options.password_auth.enabled + options.oauth2.enabled + options.otp.enabled < 2:
        return ErrorData(mfa=ErrorData(enabled=_TOO_FEW_METHODS))
    before = candidate.old.auth.mfa.rule if candidate.old is not None and candidate.old.auth is not None else ""
    error = check_rule(candidate, mfa.rule, before) if mfa.rule else None
    return ErrorData(mfa=ErrorData(rule=error)) if error else ErrorData()


def _check_identity_fields(candidate: Candidate, options: AuthOptions) -> ErrorData:
    password = options.password_auth
    error = check_unique_fields(candidate, password.identity_fields) if password.enabled else None
    return ErrorData(passwordAuth=ErrorData(identityFields=error)) if error else ErrorData()
