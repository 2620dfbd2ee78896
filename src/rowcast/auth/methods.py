"""How one can sign in to a collection: what a login page asks before it shows anything.

Copies apis/record_auth_methods.go, with the fields that older clients read.
"""

from __future__ import annotations

from rowcast.auth import providers
from rowcast.schema.collection import AuthOptions, OAuth2Provider
from rowcast.schema.oauth2_providers import PROVIDERS, logo


def describe(options: AuthOptions) -> dict[str, object]:
    """Return the answer of `auth-methods`. Each call begins a new sign-in with each provider."""
    password = options.password_auth
    fields = list(password.identity_fields) if password.enabled else []
    configured = options.oauth2.providers if options.oauth2.enabled else ()
    found = [info for config in configured if (info := _provider(config)) is not None]
    return {
        "password": {"identityFields": fields, "enabled": password.enabled},
        "oauth2": {"providers": found, "enabled": options.oauth2.enabled},
        "mfa": {"enabled": options.mfa.enabled, "duration": options.mfa.duration if options.mfa.enabled else 0},
        "otp": {"enabled": options.otp.enabled, "duration": options.otp.duration if options.otp.enabled else 0},
        "authProviders": [{**info, "logo": ""} for info in found] if options.oauth2.enabled else None,
        "usernamePassword": "username" in fields,
        "emailPassword": "email" in fields,
    }


def _provider(config: OAuth2Provider) -> dict[str, object] | None:
    request = providers.begin(config)
    if request is None:
        return None
    return {
        "name": config.name,
        "displayName": config.display_name or PROVIDERS.get(config.name) or config.name,
        "logo": logo(config.name),
        "state": request.state,
        "authURL": request.url,
        "authUrl": request.url,
        "codeVerifier": request.verifier,
        "codeChallenge": request.challenge,
        "codeChallengeMethod": request.challenge_method,
    }
