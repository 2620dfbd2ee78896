"""The OAuth2 providers that an auth collection can name, in the order in which they are shown.

Owns names only, those of the reference (tools/auth/*.go), because collections
are checked against them. How to talk to a provider is no business of the schema.
"""

from __future__ import annotations

PROVIDERS: dict[str, str] = {
    "apple": "Apple",
    "google": "Google",
    "microsoft": "Microsoft",
    "yandex": "Yandex",
    "facebook": "Facebook",
    "instagram2": "Instagram",
    "github": "GitHub",
    "gitlab": "GitLab",
    "bitbucket": "Bitbucket",
    "gitee": "Gitee",
    "gitea": "Gitea/Forgejo",
    "discord": "Discord",
    "twitter": "X/Twitter",
    "kakao": "Kakao",
    "vk": "ВКонтакте",
    "linear": "Linear",
    "notion": "Notion",
    "monday": "monday.com",
    "lark": "Lark",
    "box": "Box",
    "spotify": "Spotify",
    "trakt": "Trakt",
    "twitch": "Twitch",
    "patreon": "Patreon",
    "strava": "Strava",
    "wakatime": "WakaTime",
    "livechat": "LiveChat",
    "mailcow": "mailcow",
    "planningcenter": "Planning Center",
    "oidc": "OIDC",
    "oidc2": "OIDC",
    "oidc3": "OIDC",
}
"""Display names by name."""


def logo(name: str) -> str:
    """Return a drawing for a provider's button: its first letter in a circle, as SVG."""
    letter = PROVIDERS.get(name, name)[:1].upper()
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><circle cx="12" cy="12" r="12" fill="#5c6470"/>'
        '<text x="12" y="17" font-family="sans-serif" font-size="14" font-weight="700" text-anchor="middle"'
        f' fill="#fff">{letter}</text></svg>'
    )
