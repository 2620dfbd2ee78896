"""`rowcast serve`: opens the socket, starts the server, greets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from rowcast.cli.bounds import bounded
from rowcast.cli.options import config_of, shared
from rowcast.config import Config
from rowcast.errors import RowcastError

if TYPE_CHECKING:
    import socket

_COLLECTED_AFTER = 7_000
"""How many objects may be made, beyond those that went, before the collector looks; Python's own is 700."""


@click.command()
@click.argument("domains", nargs=-1)
@click.option("--http", default="127.0.0.1:8090", show_default=True, help="The address to listen at.")
@click.option("--https", default="", hidden=True)
@click.option("--origins", default="*", show_default=True, help="The origins that CORS allows, with commas between.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="How many processes share the port."
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How the server's own logs look, on standard error.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The least level that is written there; --dev is debug.",
)
@click.option(
    "--metrics",
    default="",
    metavar="ADDRESS|api",
    help="Serve numbers for Prometheus: at /metrics of an address of their own, or at /api/metrics for superusers.",
)
@click.option("--metrics-label", "metrics_labels", multiple=True, metavar="NAME=VALUE", help="A label of every number.")
@click.option(
    "--bus",
    default="",
    envvar="ROWCAST_BUS",
    show_envvar=True,
    metavar="URL",
    help="What connects the nodes: redis://HOST:PORT/0?prefix=NAME, or a direct address of their PostgreSQL database.",
)
@click.option("--otel", is_flag=True, help="Send traces with OTLP, as the OTEL_* variables of the environment say.")
@click.option(
    "--drain",
    "drain_s",
    type=click.FloatRange(min=0, max=600),
    default=0,
    help="Over how many seconds a stop ends the streams, while /api/ready answers 503.",
)
@bounded
@shared
def serve(domains: tuple[str, ...], http: str, https: str, origins: str, workers: int, **options: object) -> None:
    """Start the web server."""
    if domains or https:
        raise click.ClickException(
            "rowcast does not speak HTTPS; put a proxy with the certificate in front of it and use --http"
        )
    allowed = tuple(origin.strip() for origin in origins.split(",") if origin.strip())
    config = config_of(options, http=http, origins=allowed or ("*",), workers=workers)
    _check_bus(config.bus)
    sockets = [_listen(config.http)] if workers == 1 else _listen_each(config.http, workers)
    try:
        if workers == 1:
            _run_server(config, sockets[0])
            return
        status = _run_workers(config, sockets)
    except RowcastError as error:
        raise click.ClickException(str(error)) from error
    finally:
        for each in sockets:
            each.close()
    sys.exit(status)


def _check_bus(bus: str) -> None:
    """Tell what is wrong with the bus once, before there are workers."""
    from rowcast.bus.choice import check

    try:
        check(bus)
    except RowcastError as error:
        raise click.ClickException(str(error)) from error


def _listen(address: str) -> socket.socket:
    """Open the socket of `host:port`; an empty host is every address of this machine."""
    import socket

    host, port = _parts(address)
    with _listening(address):
        if not host and socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=2048)
        family, where = _resolved(host, port)
        return socket.create_server(where, family=family, backlog=2048)


def _listen_each(address: str, count: int) -> list[socket.socket]:
    """Open a socket of `host:port` for each worker; an empty host is every IPv4 address of this machine."""
    from rowcast.cli.workers import listen

    with _listening(address):
        family, where = _resolved(*_parts(address))
        return listen(where, family, count)


def _parts(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise click.ClickException(f"{address!r} is not an address; write HOST:PORT, for example 127.0.0.1:8090")
    return host.strip("[]"), int(port)


def _resolved(host: str, port: int) -> tuple[int, tuple[str, int]]:
    import socket

    family, _, _, _, where = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)[0]  # noqa: S104 - asked for by an empty host
    return family, (str(where[0]), int(where[1]))


@contextmanager
def _listening(address: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"can't listen at {address}: {error.strerror or error}") from error


def _run_workers(config: Config, sockets: list[socket.socket]) -> int:
    """Serve with several processes until a signal asks to stop; return the exit status."""
    # Imported here, so that the workers share what is loaded.
    import rowcast.app  # noqa: F401
    from rowcast.cli.options import opened
    from rowcast.cli.workers import Workers

    with opened(config):
        # What must be made or mended is, once; and what can't be opened is told once.
        pass

    def work(listening: socket.socket, number: int) -> None:
        _run_server(config, listening, greets=number == 0)

    return Workers(sockets, work).run()


def _run_server(config: Config, listening: socket.socket, *, greets: bool = True) -> None:
    """Serve until a signal asks to stop."""
    import gc

    from rowcast.api import server
    from rowcast.app import App
    from rowcast.diagnostics import configure

    configure(config.log_format, "debug" if config.dev else config.log_level)
    app = App(config=config)

    def started() -> None:
        # Modules, collections and routes live as long as the process: no need to look at them again.
        gc.freeze()
        # Nearly all that a request or a change makes goes by itself: look for cycles a tenth as often.
        gc.set_threshold(_COLLECTED_AFTER)
        if greets:
            # Standard output may be a file on a full disk: that is no reason not to serve.
            with suppress(OSError):
                _greet(config, listening, has_superuser=app.has_superuser())

    server.run(app, listening, started=started)


def _greet(config: Config, listening: socket.socket, *, has_superuser: bool) -> None:
    """Say where the server is and, on its first start, how to get in."""
    import time

    host, port = listening.getsockname()[:2]
    host = config.http.rpartition(":")[0] or "127.0.0.1"
    url = click.style(f"http://{host}:{port}", fg="cyan")
    click.secho(f"{time.strftime('%Y/%m/%d %H:%M:%S')} Server started at ", fg="green", bold=True, nl=False)
    click.echo(url)
    click.echo(f"└─ REST API:  {url}{click.style('/api/', fg='cyan')}")
    if not has_superuser:
        where = "" if config.data_dir == "pb_data" else f" --dir {config.data_dir}"
        click.echo("\n(!) There is no superuser yet. Create the first one by running:")
        click.secho(f"    rowcast superuser upsert EMAIL PASS{where}\n", bold=True)
    sys.stdout.flush()
