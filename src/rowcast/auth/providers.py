"""OAuth2 providers: where each one asks its users, and for what.

Owns the table and the addresses made of it. Names for people are in
`schema.oauth2_providers`, because collections are checked against them. The values
are those of the reference (tools/auth/*.go).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from urllib.parse import urlencode

from rowcast.schema.collection import OAuth2Provider
from rowcast.schema.generate import random_text


@dataclass(frozen=True, slots=True)
class Provider:
    """What is known of a provider without being configured.

    `scopes` has blanks between its words. `pkce` says whether the provider
    understands code challenges (RFC 7636).
    """

    auth_url: str = ""
    scopes: str = ""
    pkce: bool = True


PROVIDERS = {
    "apple": Provider("https://appleid.apple.com/auth/authorize", "name email"),
    "google": Provider(
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://www.googleapis.com/auth/userinfo.profile https://www.googleapis.com/auth/userinfo.email",
    ),
    "microsoft": Provider("https://login.microsoftonline.com/common/oauth2/v2.0/authorize", "User.Read"),
    "yandex": Provider("https://oauth.yandex.com/authorize", "login:email login:avatar login:info"),
    "facebook": Provider("https://www.facebook.com/v3.2/dialog/oauth", "email"),
    "instagram2": Provider("https://www.instagram.com/oauth/authorize", "instagram_business_basic"),
    "github": Provider("https://github.com/login/oauth/authorize", "read:user user:email"),
    "gitlab": Provider("https://gitlab.com/oauth/authorize", "read_user"),
    "bitbucket": Provider("https://bitbucket.org/site/oauth2/authorize", "account", pkce=False),
    "gitee": Provider("https://gitee.com/oauth/authorize", "user_info emails"),
    "gitea": Provider("https://gitea.com/login/oauth/authorize", "read:user user:email"),
    "discord": Provider("https://discord.com/api/oauth2/authorize", "identify email"),
    "twitter": Provider("https://x.com/i/oauth2/authorize", "users.read users.email tweet.read"),
    "kakao": Provider("https://kauth.kakao.com/oauth/authorize", "account_email profile_nickname profile_image"),
    "vk": Provider("https://oauth.vk.com/authorize", "email", pkce=False),
    "linear": Provider("https://linear.app/oauth/authorize", "read", pkce=False),
    "notion": Provider("https://api.notion.com/v1/oauth/authorize"),
    "monday": Provider("https://auth.monday.com/oauth2/authorize", "me:read"),
    "lark": Provider("https://accounts.feishu.cn/open-apis/authen/v1/authorize"),
    "box": Provider("https://account.box.com/api/oauth2/authorize", "root_readonly"),
    "spotify": Provider("https://accounts.spotify.com/authorize", "user-read-private"),
    "trakt": Provider("https://trakt.tv/oauth/authorize"),
    "twitch": Provider("https://id.twitch.tv/oauth2/authorize", "user:read:email"),
    "patreon": Provider("https://www.patreon.com/oauth2/authorize", "identity identity[email]"),
    "strava": Provider("https://www.strava.com/oauth/authorize", "profile:read_all"),
    "wakatime": Provider("https://wakatime.com/oauth/authorize", "email"),
    "livechat": Provider("https://accounts.livechat.com/"),
    "mailcow": Provider("", "profile"),
    "planningcenter": Provider("https://api.planningcenteronline.com/oauth/authorize", "people"),
    "oidc": Provider("", "openid email profile"),
    "oidc2": Provider("", "openid email profile"),
    "oidc3": Provider("", "openid email profile"),
}


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
