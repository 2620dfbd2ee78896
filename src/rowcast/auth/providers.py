"""OAuth2 providers: where each one asks its users, for what, and how it answers who they are.

Owns the table and the addresses made of it; sends nothing. Names for people are in
`schema.oauth2_providers`, because collections are checked against them. The values
are those of the reference (tools/auth/*.go).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from rowcast.schema.collection import OAuth2Provider
from rowcast.schema.generate import random_text


@dataclass(frozen=True, slots=True)
class Shape:
    """Where the user-info answer of a provider holds what.

    Paths go down by dots, through lists by numbers; "" is what the answer does not tell.
    An address counts only where all of `verified` are true. `active` is a path and the
    value that it must have. `is_number` says that the id is a whole number.
    """

    id: str = ""
    name: str = ""
    username: str = ""
    email: str = ""
    avatar: str = ""
    verified: tuple[str, ...] = ()
    active: tuple[str, object] | None = None
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """What is known of a provider without being configured.

    `scopes` has blanks between its words. `pkce` says whether the provider
    understands code challenges (RFC 7636). Users are asked for with `headers`, where
    `{client}` stands for the client id, and by POST with `query` where there is one.
    What `shape` can't say is in `oauth2.users`.
    """

    auth_url: str = ""
    token_url: str = ""
    user_info_url: str = ""
    scopes: str = ""
    shape: Shape = field(default_factory=Shape)
    pkce: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""


_OIDC = Provider(
    scopes="openid email profile",
    # Whether the address is verified may be a text here.
    shape=Shape("sub", "name", "preferred_username", "", "picture"),
)
_GIT = Shape("id", "name", "login", "", "avatar_url", is_number=True)

PROVIDERS = {
    "apple": Provider(
        "https://appleid.apple.com/auth/authorize",
        "https://appleid.apple.com/auth/token",
        "",
        "name email",
        Shape("sub", "name"),
    ),
    "google": Provider(
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://oauth2.googleapis.com/token",
        "https://www.googleapis.com/oauth2/v3/userinfo",
        "https://www.googleapis.com/auth/userinfo.profile https://www.googleapis.com/auth/userinfo.email",
        Shape("sub", "name", "", "email", "picture", verified=("email_verified",)),
    ),
    "microsoft": Provider(
        "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        "https://graph.microsoft.com/v1.0/me",
        "User.Read",
        Shape("id", "displayName", "", "mail"),
    ),
    "yandex": Provider(
        "https://oauth.yandex.com/authorize",
        "https://oauth.yandex.com/token",
        "https://login.yandex.ru/info",
        "login:email login:avatar login:info",
        Shape("id", "real_name", "login", "default_email"),
    ),
    "facebook": Provider(
        "https://www.facebook.com/v3.2/dialog/oauth",
        "https://graph.facebook.com/v3.2/oauth/access_token",
        "https://graph.facebook.com/me?fields=name,email,picture.type(large)",
        "email",
        Shape("id", "name", "", "email", "picture.data.url"),
    ),
    "instagram2": Provider(
        "https://www.instagram.com/oauth/authorize",
        "https://api.instagram.com/oauth/access_token",
        "https://graph.instagram.com/me?fields=id,username,account_type,user_id,name,profile_picture_url,followers_count,follows_count,media_count",
        "instagram_business_basic",
        Shape("user_id", "name", "username", "", "profile_picture_url"),
    ),
    "github": Provider(
        "https://github.com/login/oauth/authorize",
        "https://github.com/login/oauth/access_token",
        "https://api.github.com/user",
        "read:user user:email",
        _GIT,
    ),
    "gitlab": Provider(
        "https://gitlab.com/oauth/authorize",
        "https://gitlab.com/oauth/token",
        "https://gitlab.com/api/v4/user",
        "read_user",
        Shape("id", "name", "username", "", "avatar_url", is_number=True),
    ),
    "bitbucket": Provider(
        "https://bitbucket.org/site/oauth2/authorize",
        "https://bitbucket.org/site/oauth2/access_token",
        "https://api.bitbucket.org/2.0/user",
        "account",
        Shape("uuid", "display_name", "username", "", "links.avatar.href", active=("account_status", "active")),
        pkce=False,
    ),
    "gitee": Provider(
        "https://gitee.com/oauth/authorize",
        "https://gitee.com/oauth/token",
        "https://gitee.com/api/v5/user",
        "user_info emails",
        _GIT,
    ),
    "gitea": Provider(
        "https://gitea.com/login/oauth/authorize",
        "https://gitea.com/login/oauth/access_token",
        "https://gitea.com/api/v1/user",
        "read:user user:email",
        Shape("id", "full_name", "login", "", "avatar_url", active=("active", True), is_number=True),
    ),
    "discord": Provider(
        "https://discord.com/api/oauth2/authorize",
        "https://discord.com/api/oauth2/token",
        "https://discord.com/api/users/@me",
        "identify email",
        Shape("id", "global_name", "username", "email", verified=("verified",)),
    ),
    "twitter": Provider(
        "https://x.com/i/oauth2/authorize",
        "https://api.x.com/2/oauth2/token",
        "https://api.x.com/2/users/me?user.fields=id,name,username,profile_image_url,confirmed_email",
        "users.read users.email tweet.read",
        Shape("data.id", "data.name", "data.username", "data.confirmed_email", "data.profile_image_url"),
    ),
    "kakao": Provider(
        "https://kauth.kakao.com/oauth/authorize",
        "https://kauth.kakao.com/oauth/token",
        "https://kapi.kakao.com/v2/user/me",
        "account_email profile_nickname profile_image",
        Shape(
            "id",
            "",
            "properties.nickname",
            "kakao_account.email",
            "properties.profile_image",
            verified=("kakao_account.is_email_valid", "kakao_account.is_email_verified"),
            is_number=True,
        ),
    ),
    "vk": Provider(
        "https://oauth.vk.com/authorize",
        "https://oauth.vk.com/access_token",
        "https://api.vk.com/method/users.get?fields=photo_max,screen_name&v=5.131",
        "email",
        Shape("response.0.id", "", "response.0.screen_name", "", "response.0.photo_max", is_number=True),
        pkce=False,
    ),
    "linear": Provider(
        "https://linear.app/oauth/authorize",
        "https://api.linear.app/oauth/token",
        "https://api.linear.app/graphql",
        "read",
        Shape(
            "data.viewer.id",
            "data.viewer.name",
            "data.viewer.displayName",
            "data.viewer.email",
            "data.viewer.avatarUrl",
            active=("data.viewer.active", True),
        ),
        pkce=False,
        query='{"query": "query Me { viewer { id displayName name email avatarUrl active } }"}',
    ),
    "notion": Provider(
        "https://api.notion.com/v1/oauth/authorize",
        "https://api.notion.com/v1/oauth/token",
        "https://api.notion.com/v1/users/me",
        "",
        Shape(
            "bot.owner.user.id", "bot.owner.user.name", "", "bot.owner.user.person.email", "bot.owner.user.avatar_url"
        ),
        headers={"Notion-Version": "2022-06-28"},
    ),
    "monday": Provider(
        "https://auth.monday.com/oauth2/authorize",
        "https://auth.monday.com/oauth2/token",
        "https://api.monday.com/v2",
        "me:read",
        Shape(
            "data.me.id",
            "data.me.name",
            "",
            "data.me.email",
            "data.me.photo_small",
            verified=("data.me.is_verified",),
            active=("data.me.enabled", True),
        ),
        query='{"query": "query { me { id enabled name email is_verified photo_small }}"}',
    ),
    "lark": Provider(
        "https://accounts.feishu.cn/open-apis/authen/v1/authorize",
        "https://open.feishu.cn/open-apis/authen/v2/oauth/token",
        "https://open.feishu.cn/open-apis/authen/v1/user_info",
        "",
        Shape("data.union_id", "data.name", "", "", "data.avatar_url"),
    ),
    "box": Provider(
        "https://account.box.com/api/oauth2/authorize",
        "https://api.box.com/oauth2/token",
        "https://api.box.com/2.0/users/me",
        "root_readonly",
        Shape("id", "name", "", "login", "avatar_url", active=("status", "active")),
    ),
    "spotify": Provider(
        "https://accounts.spotify.com/authorize",
        "https://accounts.spotify.com/api/token",
        "https://api.spotify.com/v1/me",
        "user-read-private",
        Shape("id", "display_name", "", "", "images.0.url"),
    ),
    "trakt": Provider(
        "https://trakt.tv/oauth/authorize",
        "https://api.trakt.tv/oauth/token",
        "https://api.trakt.tv/users/settings",
        "",
        Shape("user.ids.uuid", "user.name", "user.username", "", "user.images.avatar.full"),
        headers={"Content-Type": "application/json", "trakt-api-key": "{client}", "trakt-api-version": "2"},
    ),
    "twitch": Provider(
        "https://id.twitch.tv/oauth2/authorize",
        "https://id.twitch.tv/oauth2/token",
        "https://api.twitch.tv/helix/users",
        "user:read:email",
        Shape("data.0.id", "data.0.display_name", "data.0.login", "data.0.email", "data.0.profile_image_url"),
        headers={"Client-Id": "{client}"},
    ),
    "patreon": Provider(
        "https://www.patreon.com/oauth2/authorize",
        "https://www.patreon.com/api/oauth2/token",
        "https://www.patreon.com/api/oauth2/v2/identity?fields%5Buser%5D=full_name,email,vanity,image_url,is_email_verified",
        "identity identity[email]",
        Shape(
            "data.id",
            "data.attributes.full_name",
            "data.attributes.vanity",
            "data.attributes.email",
            "data.attributes.image_url",
            verified=("data.attributes.is_email_verified",),
        ),
    ),
    "strava": Provider(
        "https://www.strava.com/oauth/authorize",
        "https://www.strava.com/api/v3/oauth/token",
        "https://www.strava.com/api/v3/athlete",
        "profile:read_all",
        Shape("id", "", "username", "", "profile", is_number=True),
    ),
    "wakatime": Provider(
        "https://wakatime.com/oauth/authorize",
        "https://wakatime.com/oauth/token",
        "https://wakatime.com/api/v1/users/current",
        "email",
        Shape("data.id", "data.display_name", "data.username", "data.email", verified=("data.is_email_confirmed",)),
    ),
    "livechat": Provider(
        "https://accounts.livechat.com/",
        "https://accounts.livechat.com/token",
        "https://accounts.livechat.com/v2/accounts/me",
        "",
        Shape("account_id", "name", "", "email", "avatar_url", verified=("email_verified",)),
    ),
    "mailcow": Provider(
        "",
        "",
        "",
        "profile",
        Shape("id", "full_name", "username", "email", active=("active", 1)),
    ),
    "planningcenter": Provider(
        "https://api.planningcenteronline.com/oauth/authorize",
        "https://api.planningcenteronline.com/oauth/token",
        "https://api.planningcenteronline.com/people/v2/me",
        "people",
        Shape(
            "data.id",
            "data.attributes.name",
            "",
            "",
            "data.attributes.avatar",
            active=("data.attributes.status", "active"),
        ),
    ),
    "oidc": _OIDC,
    "oidc2": _OIDC,
    "oidc3": _OIDC,
}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a configured provider takes codes and tells of users, and what this server is called there."""

    token_url: str
    user_info_url: str
    client_id: str
    client_secret: str
    has_pkce: bool
    extra: Mapping[str, object]


def endpoints(config: OAuth2Provider, provider: Provider) -> Endpoints:
    """Return what is configured, or known where nothing is. Copies InitProvider of the reference's core."""
    return Endpoints(
        config.token_url or provider.token_url,
        config.user_info_url or provider.user_info_url,
        config.client_id,
        config.client_secret,
        provider.pkce if config.pkce is None else config.pkce,
        config.extra or {},
    )


@dataclass(frozen=True, slots=True)
class Request:
    """One beginning of a sign-in: the random values, and where to send the user with them.

    `url` ends with an empty `redirect_uri`, to which the client appends its own.
    """

    state: str
    url: str
    verifier: str = ""
    challenge: str = ""
    challenge_method: str = ""


def begin(config: OAuth2Provider) -> Request | None:
    """Return a new beginning of a sign-in, None for an unknown provider.

    Copies apis/record_auth_methods.go and the address that Go's oauth2 package makes.
    """
    provider = PROVIDERS.get(config.name)
    if provider is None:
        return None
    state = random_text(30)
    query = {"client_id": config.client_id, "response_type": "code", "state": state}
    if scopes := _scopes(config, provider):
        query["scope"] = scopes
    if config.name == "apple":
        # Apple sends name and address only in the body of a form.
        query["response_mode"] = "form_post"
    verifier = challenge = method = ""
    if provider.pkce if config.pkce is None else config.pkce:
        verifier, method = random_text(43), "S256"
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        query |= {"code_challenge": challenge, "code_challenge_method": method}
    address = config.auth_url or provider.auth_url
    url = f"{address}{'&' if '?' in address else '?'}{urlencode(sorted(query.items()))}&redirect_uri="
    return Request(state, url, verifier, challenge, method)


def _scopes(config: OAuth2Provider, provider: Provider) -> str:
    if config.name == "microsoft" and (config.extra or {}).get("idTokenEmailClaim"):
        # Without it there is no id token to take the address from.
        return f"{provider.scopes} openid"
    return provider.scopes
