"""The entry of the command: the order of its arguments, and the group that holds every subcommand."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from rowcast import __version__
from rowcast.cli.adopt import adopt, capture
from rowcast.cli.backups import backup, restore
from rowcast.cli.copy import copy
from rowcast.cli.doctor import doctor
from rowcast.cli.options import SHARED, SWITCHES
from rowcast.cli.serve import serve
from rowcast.cli.superuser import superuser


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command and end the process."""
    command(ordered(sys.argv[1:] if args is None else args), prog_name="rowcast")
    raise SystemExit(0)


def ordered(args: Sequence[str]) -> list[str]:
    """Return the arguments with the shared options behind the command, and every switch with its value.

    The reference takes `--dir pb_data serve` and `serve --dir pb_data` alike, and
    a switch with and without a value (`--dev`, `--dev=false`).
    """
    kept: list[str] = []
    moved: list[str] = []
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        name, equals, _ = arg.partition("=")
        if arg == "--":
            return [*kept, *moved, "--", *rest]
        if name not in SHARED:
            kept.append(arg)
        elif equals:
            moved.append(arg)
        elif name in SWITCHES:
            moved.append(f"{name}=true")
        else:
            moved.extend([arg, *rest[:1]])
            del rest[:1]
    return [*kept, *moved]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-v", "--version", prog_name="rowcast", message="%(prog)s version %(version)s")
def command() -> None:
    """Serve a PocketBase-compatible backend, manage its superusers and its backups."""


command.add_command(serve)
command.add_command(doctor)
command.add_command(backup)
command.add_command(restore)
command.add_command(superuser)
command.add_command(copy)
command.add_command(adopt)
command.add_command(capture)
