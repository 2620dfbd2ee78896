"""The options that all commands have, and what a command makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from rowcast.config import Config
from rowcast.errors import RowcastError

if TYPE_CHECKING:
    from rowcast.storage.directory import DataDir

SWITCHES = ("--dev", "--automigrate", "--hooksWatch", "--indexFallback", "--allowUnknownMigrations")
SHARED = (
    *SWITCHES,
    "--dir",
    "--db",
    "--encryptionEnv",
    "--queryTimeout",
    "--hooksDir",
    "--hooksPool",
    "--migrationsDir",
    "--publicDir",
)
"""What the reference takes before and behind the name of a command."""

_WITHOUT_EFFECT = {
    "automigrate": ("--automigrate", "migrations are not written"),
    "hooks_dir": ("--hooksDir", "JavaScript hooks are not run"),
    "hooks_watch": ("--hooksWatch", "JavaScript hooks are not run"),
    "hooks_pool": ("--hooksPool", "JavaScript hooks are not run"),
    "migrations_dir": ("--migrationsDir", "JavaScript migrations are not run"),
}


def shared(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all commands have."""
    for option in reversed(
        (
            click.option("--dir", "data_dir", default="pb_data", show_default=True, help="The data directory."),
            click.option(
                "--db",
                "database",
                default="",
                envvar="ROWCAST_DB",
                help="The URL of a PostgreSQL database that takes the place of data.db and auxiliary.db.",
            ),
            click.option("--dev", type=bool, default=False, help="Print requests and errors to the console."),
            click.option(
                "--encryptionEnv",
                "encryption_env",
                default="",
                help="The environment variable with the key of the stored settings.",
            ),
            click.option(
                "--queryTimeout",
                "query_timeout_s",
                type=click.FloatRange(min=1),
                default=30,
                help="The longest query, in seconds.",
            ),
            click.option(
                "--publicDir",
                "public_dir",
                default="pb_public",
                show_default=True,
                help="The directory of static files.",
            ),
            click.option(
                "--indexFallback",
                "index_fallback",
                type=bool,
                default=True,
                help="Answer a missing static path with the root index.html.",
            ),
            click.option(
                "--allowUnknownMigrations",
                "allow_unknown_migrations",
                type=bool,
                default=False,
                help="Open a directory that a program built on PocketBase has changed.",
            ),
            click.option("--automigrate", type=bool, default=None, hidden=True),
            click.option("--hooksDir", "hooks_dir", default=None, hidden=True),
            click.option("--hooksWatch", "hooks_watch", type=bool, default=None, hidden=True),
            click.option("--hooksPool", "hooks_pool", type=int, default=None, hidden=True),
            click.option("--migrationsDir", "migrations_dir", default=None, hidden=True),
        )
    ):
        command = option(command)
    return command


def config_of(options: dict[str, object], **more: object) -> Config:
    """Return the options of the process from those of a command; say which ones have no effect."""
    import msgspec

    for name, (flag, reason) in _WITHOUT_EFFECT.items():
        if options.pop(name) is not None:
            click.secho(f"{flag} has no effect: {reason}", fg="yellow", err=True)
    return msgspec.convert(options | more, Config)


@contextmanager
def opened(config: Config) -> Iterator[DataDir]:
    """Open the data directory."""
    from rowcast.storage.directory import open_directory

    try:
        opened = open_directory(
            config.data_dir,
            database=config.database,
            allow_unknown_migrations=config.allow_unknown_migrations,
            encryption_env=config.encryption_env,
        )
        try:
            yield opened
        finally:
            opened.close()
    except RowcastError as error:
        raise click.ClickException(str(error)) from error
