from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rowcast.storage.directory import open_directory
from rowcast.storage.settings_rows import load_settings
from tests.s3 import BUCKET, running_s3
from tests.unit.api.client import Client, serving
from tests.unit.api.conftest import Template
from tests.unit.mail.sink import running_sink

URL = "/api/settings"


def run(data_dir: Path, call: Callable[[Client], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serving(data_dir) as client:
            await call(client)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("PATCH", ""), ("POST", "/test/s3"), ("POST", "/test/email")]
)
def test_settings_are_for_superusers(data_dir: Path, template: Template, method: str, path: str) -> None:
    async def call(client: Client) -> None:
        assert (await client(method, URL + path)).status == 401
        assert (await client(method, URL + path, token=template.user_token)).status == 403

    run(data_dir, call)


def test_secrets_are_stored_and_never_shown(data_dir: Path, template: Template) -> None:
    secrets = {"smtp": {"password": "pw"}, "s3": {"secret": "s1"}, "backups": {"s3": {"secret": "s2"}}}

    async def call(client: Client) -> None:
        changed = await client("PATCH", URL, secrets, token=template.root_token)
        assert changed.status == 200
        shown = changed.json()
        assert "password" not in shown["smtp"]
        assert "secret" not in shown["s3"]
        assert "secret" not in shown["backups"]["s3"]
        # What was shown comes back whole, with one change.
        shown["meta"]["appName"] = "Back"
        assert (await client("PATCH", URL, shown, token=template.root_token)).json() == shown
        assert (await client("GET", URL, token=template.root_token)).json() == shown

    run(data_dir, call)
    directory = open_directory(data_dir)
    with directory.data.read() as reader:
        stored = load_settings(reader)
    directory.close()
    assert stored is not None
    assert (stored.smtp.password, stored.s3.secret, stored.backups.s3.secret) == ("pw", "s1", "s2")
    assert stored.meta.app_name == "Back"


def test_a_change_leaves_the_rest_of_its_group(data_dir: Path, template: Template) -> None:
    async def call(client: Client) -> None:
        before = (await client("GET", URL, token=template.root_token)).json()
        change = {"META": {"appname": "New", "senderName": None, "unknown": 1}, "nothing": 2}
        after = (await client("PATCH", URL, change, token=template.root_token)).json()
        assert after == {**before, "meta": {**before["meta"], "appName": "New"}}
        picked = await client("GET", URL + "?fields=meta.appName", token=template.root_token)
        assert picked.json() == {"meta": {"appName": "New"}}

    run(data_dir, call)


RULE = {"label": "/api/", "audience": "", "duration": 1, "maxRequests": 1}
REQUIRED, LOW = "validation_required", "validation_min_greater_equal_than_required"
NETWORK = "validation_invlaid_ip_or_subnet"


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        ({"meta": {"appName": "", "appURL": "%", "senderAddress": "x", "accentColor": "#12"}},
         {"meta": {"appName": REQUIRED, "appURL": "validation_is_url", "senderAddress": "validation_is_email",
                   "accentColor": "validation_length_invalid"}}),
        ({"meta": {"accentColor": "#12345g"}}, {"meta": {"accentColor": "validation_is_hex_color"}}),
        ({"logs": {"maxDays": -1}}, {"logs": {"maxDays": LOW}}),
        ({"smtp": {"enabled": True, "host": "", "port": 0, "authMethod": "x", "localName": "a b"}},
         {"smtp": {"host": REQUIRED, "port": REQUIRED, "authMethod": "validation_in_invalid",
                   "localName": "validation_is_host"}}),
        ({"s3": {"enabled": True}}, {"s3": dict.fromkeys(("endpoint", "bucket", "region", "accessKey", "secret"),
                                                         REQUIRED)}),
        ({"backups": {"cron": "* *", "cronMaxKeep": 0, "s3": {"endpoint": "%"}}},
         {"backups": {"cron": "validation_invalid_cron", "cronMaxKeep": REQUIRED,
                      "s3": {"endpoint": "validation_is_url"}}}),
        ({"batch": {"enabled": True, "maxRequests": 0, "timeout": -1, "maxBodySize": -1}},
         {"batch": {"maxRequests": REQUIRED, "timeout": LOW, "maxBodySize": LOW}}),
        ({"superuserIPs": ["", "1.2.3.4", "x", "1.2.3.4/33", "1.2.3.0/255.255.255.0", "::1/128"]},
         {"superuserIPs": {"0": REQUIRED, "2": NETWORK, "3": NETWORK, "4": NETWORK}}),
        ({"rateLimits": {"enabled": True, "rules": []}}, {"rateLimits": {"rules": REQUIRED}}),
        ({"rateLimits": {"rules": [RULE, {**RULE, "label": "a b", "audience": "x", "duration": 0}]}},
         {"rateLimits": {"rules": {"1": {"label": "validation_match_invalid", "audience": "validation_in_invalid",
                                         "duration": REQUIRED}}}}),
        ({"rateLimits": {"rules": [RULE, {**RULE, "audience": "@guest"}], "excludedIPs": ["x"]}},
         {"rateLimits": {"rules": {"1": {"label": "validation_conflicting_rate_limit_rule"}},
                         "excludedIPs": {"0": NETWORK}}}),
    ],
)  # fmt: skip
def test_invalid_settings_are_named_and_change_nothing(
    data_dir: Path, template: Template, given: object, codes: object
) -> None:
    def coded(data: dict[str, Any]) -> object:
        return data["code"] if isinstance(data.get("code"), str) else {name: coded(data[name]) for name in data}

    async def call(client: Client) -> None:
        before = (await client("GET", URL, token=template.root_token)).json()
        refused = await client("PATCH", URL, given, token=template.root_token)
        assert refused.status == 400
        assert refused.message == "An error occurred while saving the new settings."
        assert coded(refused.json()["data"]) == codes
        assert (await client("GET", URL, token=template.root_token)).json() == before

    run(data_dir, call)


@pytest.mark.parametrize("body", [{"meta": 1}, {"meta": {"appName": 1}}, [1], {"superuserIPs": "x"}, b"{"])
def test_values_of_a_wrong_type_are_refused(data_dir: Path, template: Template, body: object) -> None:
    async def call(client: Client) -> None:
        headers = [("Content-Type", "application/json")]
        refused = await client("PATCH", URL, body, headers=headers, token=template.root_token)
        assert (refused.status, refused.message) == (400, "An error occurred while loading the submitted data.")

    run(data_dir, call)


def test_any_number_of_days_is_kept(data_dir: Path, template: Template) -> None:
    async def call(client: Client) -> None:
        for days in (10**12, 10**15 - 1, 5):
            kept = await client("PATCH", URL, {"logs": {"maxDays": days}}, token=template.root_token)
            assert (kept.status, kept.json()["logs"]["maxDays"]) == (200, days)

    run(data_dir, call)


def test_each_save_starts_the_counters_of_rate_limits_anew(data_dir: Path, template: Template) -> None:
    limits = {"rateLimits": {"enabled": True, "rules": [{**RULE, "duration": 1000}]}}

    async def call(client: Client) -> None:
        assert (await client("PATCH", URL, limits, token=template.root_token)).status == 200
        for _ in range(2):
            assert (await client("GET", "/api/health")).status == 200
            assert (await client("GET", "/api/health")).status == 429
            assert (await client("PATCH", URL, {}, token=template.root_token)).status == 200

    run(data_dir, call)


def test_logs_that_the_new_settings_would_not_keep_are_dropped(data_dir: Path, template: Template) -> None:
    rows = [
        ("a", 0, "2020-01-01 00:00:00.000Z"),
        ("b", 0, "2999-01-01 00:00:00.000Z"),
        ("c", 8, "2999-01-01 00:00:00.000Z"),
    ]

    async def call(client: Client) -> None:
        change = {"logs": {"maxDays": 3, "minLevel": 8}}
        assert (await client("PATCH", URL, change, token=template.root_token)).status == 200

    directory = open_directory(data_dir)
    with directory.auxiliary.write() as tx:
        tx.run("DELETE FROM _logs")
        tx.run_many("INSERT INTO _logs (id, level, created) VALUES (?, ?, ?)", rows)
    directory.close()
    run(data_dir, call)
    directory = open_directory(data_dir)
    with directory.auxiliary.read() as reader:
        assert reader.rows("SELECT id FROM _logs") == [("c",)]
    directory.close()


@pytest.mark.parametrize(
    ("body", "message", "fields"),
    [
        ({}, "Failed to test the S3 filesystem.", ["filesystem"]),
        ({"filesystem": "x"}, "Failed to test the S3 filesystem.", ["filesystem"]),
        (
            {"filesystem": "backups"},
            "Failed to test the S3 filesystem. Raw error: \nS3 storage filesystem is not enabled.",
            [],
        ),
    ],
)
def test_buckets_are_refused(data_dir: Path, template: Template, body: object, message: str, fields: list[str]) -> None:
    async def call(client: Client) -> None:
        refused = await client("POST", URL + "/test/s3", body, token=template.root_token)
        assert (refused.status, refused.message, list(refused.json()["data"])) == (400, message, fields)

    run(data_dir, call)


def test_buckets_are_tried_with_a_file(data_dir: Path, template: Template, tmp_path: Path) -> None:
    with running_s3(tmp_path / "log") as s3:

        async def call(client: Client) -> None:
            for place, name in (("storage", BUCKET), ("backups", "missing")):
                values = msgspec.to_builtins(s3.settings(bucket=name))
                change = {"s3": values} if place == "storage" else {"backups": {"s3": values}}
                assert (await client("PATCH", URL, change, token=template.root_token)).status == 200
            done = await client("POST", URL + "/test/s3", {"filesystem": "storage"}, token=template.root_token)
            assert (done.status, s3.keys()) == (204, [])
            failed = await client("POST", URL + "/test/s3", {"filesystem": "backups"}, token=template.root_token)
            start = "Failed to test the S3 filesystem. Raw error: \nfailed to upload a test file: "
            assert failed.status == 400
            assert failed.message.startswith(start)
            assert failed.message.endswith("404 NoSuchBucket: The specified bucket does not exist.")

        run(data_dir, call)


def test_mails_on_trial_leave_by_the_server_of_the_settings(data_dir: Path, template: Template) -> None:
    with running_sink() as sink:

        async def call(client: Client) -> None:
            smtp = {"smtp": {"enabled": True, "host": "127.0.0.1", "port": sink.port}}
            assert (await client("PATCH", URL, smtp, token=template.root_token)).status == 200
            body = {"email": "to@example.com", "collection": "users"}
            for name in ("verification", "password-reset", "email-change", "otp", "login-alert"):
                body["template"] = name
                assert (await client("POST", URL + "/test/email", body, token=template.root_token)).status == 204
            sink.refused.add("MAIL")
            refused = await client("POST", URL + "/test/email", body, token=template.root_token)
            assert refused.status == 400
            assert refused.message.startswith("Failed to send the test email. Raw error: \n")

        run(data_dir, call)
    assert [mail["To"] for mail in sink.parsed()] == ["to@example.com"] * 5
    assert b"123456" in sink.mails[3]
    assert b"TEST_IP" in sink.mails[4]


def test_forms_of_mails_on_trial_are_checked(data_dir: Path, template: Template) -> None:
    async def call(client: Client) -> None:
        body = {"email": "x", "template": "x", "collection": "posts"}
        refused = await client("POST", URL + "/test/email", body, token=template.root_token)
        assert {name: error["code"] for name, error in refused.json()["data"].items()} == {
            "collection": "validation_invalid_auth_collection",
            "email": "validation_is_email",
            "template": "validation_in_invalid",
        }

    run(data_dir, call)
