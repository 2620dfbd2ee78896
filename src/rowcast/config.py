"""What can be set: how the process runs (`Config`) and what the data directory stores (`Settings`).

`Config` comes from the command line or from the caller of `App`, and does not
change while the process runs. `Settings` are the reference's own, with its JSON
names and defaults (core/settings_model.go); they are changed over the API, whole,
through `SettingsRef`. This module reads no file and no database.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec

from rowcast.ciphers import NO_KEY, SettingsKey
from rowcast.diagnostics import LogFormat, LogLevel


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """How one process runs. Times are in seconds, sizes in bytes.

    data_dir: the directory with data.db, auxiliary.db and storage/.
    database: the URL of a PostgreSQL database that takes the place of data.db and auxiliary.db.
    http: the address to listen at.
    origins: the origins that CORS allows; "*" is any.
    public_dir: the directory of static files that `/` serves, where it exists.
    index_fallback: whether a missing static file is answered with the root index.html.
    dev: whether errors and requests are printed.
    log_format: how the server's own logs look, on standard error.
    log_level: the least level that is written there.
    encryption_env: the environment variable with the key of the stored settings.
    query_timeout_s: how long the reads of one request may take.
    loop_budget_s: the CPU time that one request may take on the event loop, before it is run again in a thread.
    heartbeat_s: how often an idle stream gets a comment.
    stream_max_age_s: after how long a stream is ended, so that its client connects again; 0 is never.
    stream_max_bytes: what may wait for one slow reader, before its stream is closed.
    stream_max_frames: the same as a number of events.
    stream_max_total: how many streams there may be.
    stream_max_per_address: how many of them from one address (a proxy counts as one unless it is trusted).
    log_max_changes: how many changes a stream with a cursor can resume over.
    log_max_age_s: for how long a position stays valid.
    activity_max_rows: how many requests the log of requests holds; one takes some 500 bytes, 8,000 at the very most.
    metrics: where the numbers for Prometheus are: "" nowhere, "api" at /api/metrics for superusers, else `host:port`.
    metrics_labels: labels of every number ("node=a").
    bus: the URL of the Redis server or the PostgreSQL database that connects the nodes; "" takes that of the database,
        with SQLite the sockets of this machine.
    otel: whether traces are sent to where the OTEL_* variables of the environment say.
    workers: how many processes serve the directory on this machine, so that limits are counted together; 1 is alone.
    drain_s: over how many seconds a stop ends the streams and says that it is not ready; more where they are many.
    avatar_hosts: hosts ("host" or "host:port") that pictures of OAuth2 users may come from although they are internal.
    allow_unknown_migrations: whether a directory opens that lists migrations which this version does not know.
    """

    data_dir: str = "pb_data"
    database: str = ""
    http: str = "127.0.0.1:8090"
    origins: tuple[str, ...] = ("*",)
    public_dir: str = "pb_public"
    index_fallback: bool = True
    dev: bool = False
    log_format: LogFormat = "text"
    log_level: LogLevel = "info"
    encryption_env: str = ""
    query_timeout_s: float = 30
    loop_budget_s: float = 0.002
    heartbeat_s: float = 25
    stream_max_age_s: float = 0
    stream_max_bytes: int = 1 << 20
    stream_max_frames: int = 5_000
    stream_max_total: int = 100_000
    stream_max_per_address: int = 20_000
    log_max_changes: int = 100_000
    log_max_age_s: float = 86_400
    activity_max_rows: int = 500_000
    metrics: str = ""
    metrics_labels: tuple[str, ...] = ()
    bus: str = ""
    otel: bool = False
    workers: int = 1
    drain_s: float = 0
    avatar_hosts: tuple[str, ...] = ()
    allow_unknown_migrations: bool = False


class Group(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of the groups of settings: snake_case here, camelCase in JSON."""


class SMTPSettings(Group, frozen=True, kw_only=True):
    """The mail server. Without it mails leave through the local `sendmail`."""

    enabled: bool = False
    port: int = 587
    host: str = "smtp.example.com"
    username: str = ""
    password: str = ""
    auth_method: str = ""
    tls: bool = False
    local_name: str = ""


class S3Settings(Group, frozen=True, kw_only=True):
    """A bucket for files."""

    enabled: bool = False
    bucket: str = ""
    region: str = ""
    endpoint: str = ""
    access_key: str = ""
    secret: str = ""
    force_path_style: bool = False


class BackupsSettings(Group, frozen=True, kw_only=True):
    """When backups are made and where they go."""

    cron: str = ""
    cron_max_keep: int = 3
    s3: S3Settings = S3Settings()


class MetaSettings(Group, frozen=True, kw_only=True):
    """How the application presents itself."""

    accent_color: str = "#1055c9"
    app_name: str = "Acme"
    app_url: str = msgspec.field(default="http://localhost:8090", name="appURL")
    sender_name: str = "Support"
    sender_address: str = "support@example.com"
    hide_controls: bool = False


class RateLimitRule(Group, frozen=True, kw_only=True):
    """At most `max_requests` in `duration` seconds for what `label` names."""

    label: str = ""
    audience: str = ""
    duration: int = 0
    max_requests: int = 0


class RateLimitsSettings(Group, frozen=True, kw_only=True):
    """The rate limits."""

    rules: tuple[RateLimitRule, ...] = (
        RateLimitRule(label="*:auth", max_requests=2, duration=3),
        RateLimitRule(label="*:create", max_requests=20, duration=5),
        RateLimitRule(label="/api/batch", max_requests=3, duration=1),
        RateLimitRule(label="/api/", max_requests=300, duration=10),
    )
    excluded_ips: tuple[str, ...] = msgspec.field(default=(), name="excludedIPs")
    enabled: bool = False


class TrustedProxySettings(Group, frozen=True, kw_only=True):
    """Which headers name the client's address."""

    headers: tuple[str, ...] = ()
    use_leftmost_ip: bool = msgspec.field(default=False, name="useLeftmostIP")


class BatchSettings(Group, frozen=True, kw_only=True):
    """The batch API. `timeout` in seconds; `max_body_size` in bytes, 0 is some 128 MB."""

    enabled: bool = False
    max_requests: int = 50
    timeout: int = 3
    max_body_size: int = 0


class LogsSettings(Group, frozen=True, kw_only=True):
    """The request log."""

    max_days: int = 5
    min_level: int = 0
    log_ip: bool = msgspec.field(default=True, name="logIP")
    log_auth_id: bool = False


class Settings(Group, frozen=True, kw_only=True):
    """The settings of one data directory."""

    superuser_ips: tuple[str, ...] = msgspec.field(default=(), name="superuserIPs")
    smtp: SMTPSettings = SMTPSettings()
    backups: BackupsSettings = BackupsSettings()
    s3: S3Settings = S3Settings()
    meta: MetaSettings = MetaSettings()
    rate_limits: RateLimitsSettings = RateLimitsSettings()
    trusted_proxy: TrustedProxySettings = TrustedProxySettings()
    batch: BatchSettings = BatchSettings()
    logs: LogsSettings = LogsSettings()

    def stored(self) -> dict[str, Any]:
        """Return the JSON form with its secrets, as it is stored."""
        out: dict[str, Any] = msgspec.to_builtins(self)
        for s3 in (out["s3"], out["backups"]["s3"]):
            if not s3["secret"]:
                del s3["secret"]
        return out

    def public(self) -> dict[str, Any]:
        """Return the JSON form without its secrets, as the API shows it."""
        out: dict[str, Any] = msgspec.to_builtins(self)
        del out["smtp"]["password"]
        del out["s3"]["secret"], out["backups"]["s3"]["secret"]
        return out


class SettingsRef:
    """The settings in force, and the key under which they are stored.

    Swapped whole after the commit that changed them. Whoever swaps them or the catalog holds `swapping` until it
    has told of that.
    """

    __slots__ = ("_save_watchers", "_watchers", "current", "key", "swapping")

    def __init__(self, settings: Settings, key: SettingsKey = NO_KEY) -> None:
        self.current = settings
        self.key = key
        self.swapping = threading.Lock()
        self._watchers: list[Callable[[Settings], None]] = []
        self._save_watchers: list[Callable[[Settings, Settings], None]] = []

    def watch(self, call: Callable[[Settings], None]) -> None:
        """Have `call` told the settings now, and after each change."""
        self._watchers.append(call)
        call(self.current)

    def watch_saves(self, call: Callable[[Settings, Settings], None]) -> None:
        """Have `call` told the settings before and after each change that this process makes."""
        self._save_watchers.append(call)

    def swap(self, settings: Settings) -> None:
        """Have other settings in force that this process has saved."""
        before = self.current
        self.follow(settings)
        for call in self._save_watchers:
            call(before, settings)

    def follow(self, settings: Settings) -> None:
        """Have other settings in force that another process has saved."""
        self.current = settings
        for call in self._watchers:
            call(settings)


def without_nulls(value: object) -> object:
    """Return a JSON value without the members that are null.

    Go leaves a field alone where JSON has null for it; so the defaults apply.
    """
    if isinstance(value, dict):
        return {key: without_nulls(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def parse_settings(text: bytes | str) -> Settings:
    """Read settings as they are stored; what is missing has its default. Raises msgspec errors."""
    return msgspec.convert(without_nulls(msgspec.json.decode(text)), Settings)
