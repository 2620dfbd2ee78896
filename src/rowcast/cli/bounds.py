"""The options of `serve` that bound streams, logs and what may be fetched; each is a field of `Config`."""

from __future__ import annotations

from collections.abc import Callable

import click

from rowcast.config import Config

_DEFAULTS = Config()

# The name of the option, the field, its values, what it is.
_NUMBERS: tuple[tuple[str, str, click.IntRange | click.FloatRange, str], ...] = (
    ("--heartbeat", "heartbeat_s", click.FloatRange(0.1), "After how many seconds an idle stream gets a comment."),
    ("--stream-max-age", "stream_max_age_s", click.FloatRange(0), "After how many seconds a stream ends; 0 is never."),
    ("--stream-max-bytes", "stream_max_bytes", click.IntRange(1), "What may wait for a slow stream."),
    ("--stream-max-events", "stream_max_frames", click.IntRange(1), "The same as a number of events."),
    ("--streams", "stream_max_total", click.IntRange(1), "How many streams a process may hold."),
    ("--streams-per-address", "stream_max_per_address", click.IntRange(1), "How many of them from one address."),
    ("--changes", "log_max_changes", click.IntRange(1), "Over how many changes a stream with a cursor can resume."),
    ("--changes-max-age", "log_max_age_s", click.FloatRange(1), "For how many seconds a cursor stays valid."),
    ("--request-log", "activity_max_rows", click.IntRange(1), "How many entries the log of requests keeps."),
)


def bounded(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options."""
    avatars = click.option(
        "--avatar-host",
        "avatar_hosts",
        multiple=True,
        metavar="HOST[:PORT]",
        help="An internal host that pictures of OAuth2 users may come from.",
    )
    command = avatars(command)
    for name, field, values, text in reversed(_NUMBERS):
        option = click.option(name, field, type=values, default=getattr(_DEFAULTS, field), show_default=True, help=text)
        command = option(command)
    return command
