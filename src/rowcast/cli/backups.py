"""`rowcast backup` and `rowcast restore`: archives of a data directory, and back from them."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from rowcast.cli.options import config_of, opened, shared
from rowcast.errors import RowcastError

_EVERY_S = 0.2


@click.command()
@click.argument("name", default="", metavar="[NAME]")
@click.option("--to", "target", type=click.Path(path_type=Path), help="Write the archive to this file instead.")
@shared
def backup(name: str, target: Path | None, **options: object) -> None:
    """Make a backup of the data directory, also while a server uses it.

    It gets NAME (a-z, 0-9, _ and -, with .zip at the end), or one made of the time,
    and goes to where the settings keep backups.
    """
    from rowcast.backups import Backups
    from rowcast.backups.desk import describe
    from rowcast.config import SettingsRef

    config = config_of(options)
    if not Path(config.data_dir, "data.db").is_file():
        raise click.ClickException(f"there is no data directory {config.data_dir}")
    if name and target is not None:
        raise click.ClickException("give a NAME or --to FILE, not both")
    if target is not None and target.exists():
        raise click.ClickException(f"{target} is there already")
    with opened(config) as directory:
        backups = Backups(directory, SettingsRef(directory.settings))
        try:
            with _Shown() as shown:
                if target is not None:
                    backups.write(target, shown.show)
                else:
                    backups.check_name(name)
                    name = backups.create(name, shown.show)
        except RowcastError as error:
            raise click.ClickException(describe(error)) from error
    click.secho(f'Successfully created backup "{target or name}"!', fg="green")


@click.command()
@click.argument("archive", type=click.Path(path_type=Path))
@shared
def restore(archive: Path, **options: object) -> None:
    """Replace the content of the data directory by that of a backup.

    ARCHIVE is a file, or the name of a backup in the directory. No server may use
    the directory meanwhile. Its backups stay.
    """
    from rowcast.backups.desk import describe
    from rowcast.backups.restoring import restore as replace
    from rowcast.storage.directory import Opening

    config = config_of(options)
    root, opening = (
        Path(config.data_dir),
        Opening(allow_unknown_migrations=config.allow_unknown_migrations, encryption_env=config.encryption_env),
    )
    if not archive.is_file() and len(archive.parts) == 1 and (root / "backups" / archive).is_file():
        archive = root / "backups" / archive
    if not archive.is_file():
        raise click.ClickException(f"there is no file {archive}")
    try:
        with _Shown() as shown:
            replace(root, archive, shown.show, opening)
    except RowcastError as error:
        raise click.ClickException(describe(error)) from error
    click.secho(f'Successfully restored "{archive}"!', fg="green")


class _Shown:
    """Progress on stderr: a line that changes on a terminal, else one line for each kind of work."""

    def __init__(self) -> None:
        self._is_live = sys.stderr.isatty()
        self._what = ""
        self._next = 0.0

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_live and self._what:
            click.echo("\r\033[K", nl=False, err=True)

    def show(self, what: str, done: int, total: int) -> None:
        """Say how far it is."""
        if not self._is_live:
            if what != self._what:
                click.echo(f"{what} ...", err=True)
            self._what = what
            return
        self._what = what
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY_S
            share = f" of {total / 1e6:,.1f}" if total else ""
            click.echo(f"\r\033[K{what}: {done / 1e6:,.1f}{share} MB", nl=False, err=True)
