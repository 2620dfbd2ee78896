"""Settings: names, defaults and secrets."""

from __future__ import annotations

import json

import msgspec
import pytest

from rowcast import encoding
from rowcast.config import (
    BackupsSettings,
    Config,
    MetaSettings,
    RateLimitRule,
    S3Settings,
    Settings,
    SettingsRef,
    SMTPSettings,
    parse_settings,
)

DEFAULTS = (
    '{"superuserIPs":[],"smtp":{"enabled":false,"port":587,"host":"smtp.example.com","username":"","password":"",'
    '"authMethod":"","tls":false,"localName":""},"backups":{"cron":"","cronMaxKeep":3,"s3":{"enabled":false,'
    '"bucket":"","region":"","endpoint":"","accessKey":"","forcePathStyle":false}},"s3":{"enabled":false,"bucket":"",'
    '"region":"","endpoint":"","accessKey":"","forcePathStyle":false},"meta":{"accentColor":"#1055c9","appName":"Acme",'
    '"appURL":"http://localhost:8090","senderName":"Support","senderAddress":"support@example.com",'
    '"hideControls":false},"rateLimits":{"rules":[{"label":"*:auth","audience":"","duration":3,"maxRequests":2},'
    '{"label":"*:create","audience":"","duration":5,"maxRequests":20},{"label":"/api/batch","audience":"",'
    '"duration":1,"maxRequests":3},{"label":"/api/","audience":"","duration":10,"maxRequests":300}],"excludedIPs":[],'
    '"enabled":false},"trustedProxy":{"headers":[],"useLeftmostIP":false},"batch":{"enabled":false,"maxRequests":50,'
    '"timeout":3,"maxBodySize":0},"logs":{"maxDays":5,"minLevel":0,"logIP":true,"logAuthId":false}}'
)
"""What the reference stores in a new data directory."""


def test_defaults_are_stored_as_the_reference_stores_them() -> None:
    assert encoding.encode(Settings().stored()).decode() == DEFAULTS
    assert parse_settings(DEFAULTS) == Settings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", Settings()),
        ('{"meta":{"appName":"x"}}', Settings(meta=MetaSettings(app_name="x"))),
        ('{"meta":{"appName":null},"smtp":null,"unknown":1}', Settings()),
        ('{"smtp":{"port":25}}', Settings(smtp=SMTPSettings(port=25))),
    ],
)
def test_what_is_missing_has_its_default(text: str, expected: Settings) -> None:
    assert parse_settings(text) == expected


def test_a_list_of_rules_replaces_the_default_one() -> None:
    found = parse_settings('{"rateLimits":{"rules":[{"label":"/api/","maxRequests":5}]}}')
    assert found.rate_limits.rules == (RateLimitRule(label="/api/", max_requests=5),)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"meta":5}', '{"batch":{"maxRequests":"x"}}'])
def test_what_can_not_be_read_is_refused(text: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        parse_settings(text)


def test_secrets_are_stored_but_not_shown() -> None:
    s3 = S3Settings(secret="s3-secret")
    settings = Settings(smtp=SMTPSettings(password="smtp-secret"), s3=s3, backups=BackupsSettings(s3=s3))
    assert parse_settings(json.dumps(settings.stored())) == settings
    assert "secret" not in json.dumps(settings.public())
    assert list(settings.public()) == list(settings.stored())


def test_the_settings_in_force_are_swapped_whole() -> None:
    ref = SettingsRef(Settings())
    ref.current = Settings(meta=MetaSettings(app_name="new"))
    assert ref.current.meta.app_name == "new"


def test_the_options_of_a_process_can_not_change() -> None:
    with pytest.raises(AttributeError):
        Config().http = "0.0.0.0:80"  # type: ignore[misc]
