"""`rowcast copy`: a data directory into a PostgreSQL database, or back."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rowcast.errors import RowcastError

if TYPE_CHECKING:
    from rowcast.storage import Storage


@click.command()
@click.option("--from", "source", required=True, help="A data directory, or the URL of a PostgreSQL database.")
@click.option("--to", "target", required=True, help="The same, still empty.")
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
def copy(source: str, target: str, quiet: bool) -> None:
    """Copy all records, collections and settings from one database to another.

    Files stay where they are: serve the copy with the same --dir, or copy its folder storage/ by hand.
    """
    from rowcast.admin.copying import copy_database

    def progress(table: str, count: int) -> None:
        if not quiet:
            click.echo(f"{table}: {count}")

    try:
        with ExitStack() as closing:
            data, log = _open(source, closing, must_exist=True)
            copied, copied_log = _open(target, closing, must_exist=False)
            report = copy_database(data, copied, source_log=log, target_log=copied_log, progress=progress)
    except RowcastError as error:
        raise click.ClickException(str(error)) from error
    for view, reason in report.views.items():
        click.secho(f"the view {view} must be written anew for this engine: {reason}", fg="yellow", err=True)
    if not quiet:
        rows = sum(table.count for table in report.tables.values())
        click.secho(f"Successfully copied {len(report.tables)} tables with {rows} rows; their sums agree.", fg="green")


def _open(place: str, closing: ExitStack, *, must_exist: bool) -> tuple[Storage, Storage]:
    """Open a database and the one of its log, without filling it."""
    if place.startswith(("postgresql://", "postgres://")):
        from rowcast.storage.postgres import PostgresStorage

        # Reading the whole of it takes as long as it takes.
        storage = PostgresStorage(place, query_timeout_s=86_400)
        closing.callback(storage.close)
        return storage, storage
    from rowcast.storage.sqlite import SQLiteStorage

    folder = Path(place)
    if must_exist and not (folder / "data.db").is_file():
        raise click.ClickException(f"there is no data directory {place}")
    folder.mkdir(parents=True, exist_ok=True)
    opened = []
    for name in ("data.db", "auxiliary.db"):
        one = SQLiteStorage(folder / name, query_timeout_s=86_400, create=True)
        closing.callback(one.close)
        opened.append(one)
    return opened[0], opened[1]
