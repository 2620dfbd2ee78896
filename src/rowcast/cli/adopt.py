"""`rowcast adopt` and `rowcast capture`: collections over existing tables, and events for what SQL changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from rowcast.cli.options import config_of, opened, shared
from rowcast.errors import RowcastError

if TYPE_CHECKING:
    from rowcast.admin.adopting import Adopted, Adopting
    from rowcast.storage.directory import DataDir

_RULES = ("list", "view", "create", "update", "delete")


def _rules(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each rule."""
    for rule in reversed(_RULES):
        option = click.option(f"--{rule}-rule", f"{rule}_rule", help=f"The {rule} rule; without it, superusers only.")
        command = option(command)
    return command


@click.command()
@click.argument("table")
@click.option("--collection", default="", metavar="NAME", help="The name of the collection, which is not the table's.")
@click.option("--key", default="", metavar="COLUMN", help="The column of the id, where that is not the primary key.")
@click.option("--capture", "is_captured", is_flag=True, help="Tell what SQL changes in the table, as events.")
@click.option("--dry-run", is_flag=True, help="Say what would be made, and change nothing.")
@_rules
@shared
def adopt(table: str, collection: str, key: str, *, is_captured: bool, dry_run: bool, **options: object) -> None:
    """Make a collection over an existing TABLE (on PostgreSQL also SCHEMA.TABLE), which stays as it is.

    The API reads and writes the table through it. Nobody but superusers may, until rules are given.
    """
    rules = {f"{rule}_rule": text for rule in _RULES if isinstance(text := options.pop(f"{rule}_rule"), str)}
    with _adopting(options) as (directory, adopting):
        if dry_run:
            _show(adopting.plan(table, name=collection, key=key, rules=rules))
            click.echo("Nothing was changed.")
            return
        if is_captured:
            _begin_log(directory)
        adopted = adopting.adopt(table, name=collection, key=key, rules=rules, is_captured=is_captured)
        _show(adopted)
    click.secho(f'Successfully adopted {adopted.table} as the collection "{adopted.collection.name}"!', fg="green")


@click.command()
@click.argument("collection", default="", metavar="[COLLECTION]")
@click.option("--off", is_flag=True, help="Stop it and remove the triggers.")
@shared
def capture(collection: str, *, off: bool, **options: object) -> None:
    """Tell what SQL of other programs changes in the table of a COLLECTION, as events; without one, list them."""
    with _adopting(options) as (directory, adopting):
        if not collection:
            for name, table, is_captured in adopting.captured():
                click.echo(f"{name}: {'captured' if is_captured else 'not captured'}{table and f', adopted {table}'}")
            return
        if not off:
            _begin_log(directory)
        found = adopting.capture(collection, is_on=not off)
    if off:
        click.secho(f'What SQL changes in "{found.name}" is not told any more.', fg="green")
    else:
        click.secho(f'Successfully captured "{found.name}": what SQL changes in its table is told.', fg="green")


@contextmanager
def _adopting(options: dict[str, object]) -> Iterator[tuple[DataDir, Adopting]]:
    """Open the data directory, and say why something can't be done."""
    from rowcast.admin.adopting import Adopting

    with opened(config_of(options)) as directory:
        try:
            yield directory, Adopting(directory.data, directory.settings, directory.key)
        except RowcastError as error:
            raise click.ClickException(str(error)) from error


def _begin_log(directory: DataDir) -> None:
    """Have the log of changes in the database, where triggers write to."""
    from rowcast.realtime.changelog import ChangeLog, Retention
    from rowcast.realtime.numbers import numbers_of
    from rowcast.schema.catalog import CatalogRef

    catalog = CatalogRef(directory.catalog, directory.data.dialect)
    ChangeLog(directory.data, catalog, Retention(), numbers_of(directory.data)).store()


def _show(adopted: Adopted) -> None:
    """Say what became of each column."""
    mapping = adopted.mapping
    click.echo(f'Collection "{adopted.collection.name}" over the table {adopted.table}:')
    for field in mapping.fields:
        column = mapping.columns[field.id]
        source = "" if column.name == field.name else f", from the column {column.name!r}"
        click.echo(f"  {field.name}: {field.kind}{source}")
    for name, reason in mapping.skipped.items():
        click.secho(f"  the column {name!r} is left alone: {reason}", fg="yellow")
    for warning in mapping.warnings:
        click.secho(f"  {warning}", fg="yellow")
