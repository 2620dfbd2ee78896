"""A collection: its kind, fields, rules, indexes and options.

Copies core/collection_model.go and its options files; the JSON names are
PocketBase's, because `_collections.options` holds them.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rowcast.schema.fields import Field

Kind = Literal["base", "auth", "view"]


class Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """Base of the option groups: snake_case here, camelCase in JSON."""


class EmailTemplate(Struct, frozen=True, kw_only=True):
    """Subject and HTML body of a mail, with placeholders like {APP_NAME}."""

    subject: str = ""
    body: str = ""


class TokenOptions(Struct, frozen=True, kw_only=True):
    """The secret that signs a kind of token, and its lifetime in seconds."""

    secret: str = ""
    duration: int = 0


class AuthAlertOptions(Struct, frozen=True, kw_only=True):
    """Whether a sign-in from a new place is told by mail."""

    enabled: bool = False
    email_template: EmailTemplate = EmailTemplate()


class MappedFields(Struct, frozen=True, kw_only=True):
    """Which fields take what a provider tells about a new account."""

    id: str = ""
    name: str = ""
    username: str = ""
    avatar_url: str = msgspec.field(default="", name="avatarURL")


class OAuth2Provider(Struct, frozen=True, kw_only=True):
    """One provider of OAuth2 sign-in. `pkce` of None is the provider's default."""

    pkce: bool | None = None
    name: str = ""
    client_id: str = ""
    client_secret: str = ""
    auth_url: str = msgspec.field(default="", name="authURL")
    token_url: str = msgspec.field(default="", name="tokenURL")
    user_info_url: str = msgspec.field(default="", name="userInfoURL")
    display_name: str = ""
    extra: dict[str, object] | None = None


class OAuth2Options(Struct, frozen=True, kw_only=True):
    """Sign-in with other services."""

    providers: tuple[OAuth2Provider, ...] = ()
    mapped_fields: MappedFields = MappedFields()
    enabled: bool = False


class PasswordAuthOptions(Struct, frozen=True, kw_only=True):
    """Sign-in with a password and one of the identity fields."""

    enabled: bool = False
    identity_fields: tuple[str, ...] = ()


class MFAOptions(Struct, frozen=True, kw_only=True):
    """Sign-in with two methods; `rule` says for which accounts."""

    enabled: bool = False
    duration: int = 0
    rule: str = ""


class OTPOptions(Struct, frozen=True, kw_only=True):
    """Sign-in with a password that is mailed and works once."""

    enabled: bool = False
    duration: int = 0
    length: int = 0
    email_template: EmailTemplate = EmailTemplate()


class AuthOptions(Struct, frozen=True, kw_only=True):
    """The options of an auth collection (core/collection_model_auth_options.go)."""

    auth_rule: str | None = None
    manage_rule: str | None = None
    auth_alert: AuthAlertOptions = AuthAlertOptions()
    oauth2: OAuth2Options = msgspec.field(default=OAuth2Options(), name="oauth2")
    password_auth: PasswordAuthOptions = PasswordAuthOptions()
    mfa: MFAOptions = MFAOptions()
    otp: OTPOptions = OTPOptions()
    auth_token: TokenOptions = TokenOptions()
    password_reset_token: TokenOptions = TokenOptions()
    email_change_token: TokenOptions = TokenOptions()
    verification_token: TokenOptions = TokenOptions()
    file_token: TokenOptions = TokenOptions()
    verification_template: EmailTemplate = EmailTemplate()
    reset_password_template: EmailTemplate = EmailTemplate()
    confirm_email_change_template: EmailTemplate = EmailTemplate()


class ViewOptions(Struct, frozen=True, kw_only=True):
    """The SELECT of a view collection."""

    view_query: str = ""


class Collection(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One collection. Immutable; compare by identity, or by id and catalog version.

    A rule of None is for superusers only, "" is for everybody. `auth` is set for
    auth collections and `view` for view collections, else None. `caches` holds
    what others computed from this value (see `codec`); never copy it to another one.
    """

    id: str = ""
    name: str = ""
    type: Kind = "base"
    system: bool = False
    fields: tuple[Field, ...] = ()
    indexes: tuple[str, ...] = ()
    list_rule: str | None = None
    view_rule: str | None = None
    create_rule: str | None = None
    update_rule: str | None = None
    delete_rule: str | None = None
    created: str = ""
    updated: str = ""
    auth: AuthOptions | None = None
    view: ViewOptions | None = None
    by_name: dict[str, Field] = msgspec.field(default_factory=dict)
    caches: dict[str, Any] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_name.update((f.name, f) for f in self.fields)

    def field(self, name: str) -> Field | None:
        """Return the field of this name, or None."""
        return self.by_name.get(name)

    def replaced(self, **changes: object) -> Collection:
        """Return a copy with other values; what was computed from this one stays behind."""
        return msgspec.structs.replace(self, by_name={}, caches={}, **changes)

    @property
    def is_auth(self) -> bool:
        """Whether its records are accounts."""
        return self.type == "auth"

    @property
    def is_view(self) -> bool:
        """Whether its records are rows of a SELECT and can't be written."""
        return self.type == "view"
