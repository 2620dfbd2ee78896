"""The command `rowcast`: serve, superuser.

Reads arguments, calls the server and says how it went. Names, arguments and texts
are those of the reference's commands (cmd/*.go), except that a failure ends with a
status that is not 0. Modules are imported by the command that needs them, so that
`rowcast --version` and `rowcast superuser` do not wait for a web server's imports.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from rowcast import __version__
from rowcast.config import Config
from rowcast.errors import ApiError, FieldError, RowcastError

if TYPE_CHECKING:
    import socket

    from rowcast.auth.superusers import Superusers
    from rowcast.storage.directory import DataDir

_SWITCHES = ("--dev", "--automigrate", "--hooksWatch", "--indexFallback", "--allowUnknownMigrations")
_SHARED = (
    *_SWITCHES,
    "--dir",
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
        if name not in _SHARED:
            kept.append(arg)
        elif equals:
            moved.append(arg)
        elif name in _SWITCHES:
            moved.append(f"{name}=true")
        else:
            moved.extend([arg, *rest[:1]])
            del rest[:1]
    return [*kept, *moved]


def shared(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all commands have."""
    for option in reversed(
        (
            click.option("--dir", "data_dir", default="pb_data", show_default=True, help="The data directory."),
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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-v", "--version", prog_name="rowcast", message="%(prog)s version %(version)s")
def command() -> None:
    """Serve a PocketBase-compatible backend and manage its superusers."""


@command.command()
@click.argument("domains", nargs=-1)
@click.option("--http", default="127.0.0.1:8090", show_default=True, help="The address to listen at.")
@click.option("--https", default="", hidden=True)
@click.option("--origins", default="*", show_default=True, help="The origins that CORS allows, with commas between.")
@shared
def serve(domains: tuple[str, ...], http: str, https: str, origins: str, **options: object) -> None:
    """Start the web server."""
    if domains or https:
        raise click.ClickException(
            "rowcast does not speak HTTPS; put a proxy with the certificate in front of it and use --http"
        )
    allowed = tuple(origin.strip() for origin in origins.split(",") if origin.strip())
    config = _config(options, http=http, origins=allowed or ("*",))
    listening = _listen(config.http)
    try:
        _run_server(config, listening)
    except RowcastError as error:
        raise click.ClickException(str(error)) from error
    finally:
        listening.close()


@command.group()
def superuser() -> None:
    """Manage superusers."""


def _account_command(summary: str, *, takes: int = 2) -> Callable[[Callable[..., None]], None]:
    """Make a command with the arguments EMAIL [PASS] of a function of the superusers and these arguments."""

    def register(act: Callable[..., None]) -> None:
        @superuser.command(act.__name__.strip("_"), help=summary)
        @click.argument("args", nargs=-1, metavar="EMAIL PASS" if takes == 2 else "EMAIL")
        @shared
        def run(args: tuple[str, ...], **options: object) -> None:
            from rowcast.schema.addresses import is_email

            if takes == 2 and len(args) != 2:
                raise click.ClickException("missing email and password arguments")
            if not args or not is_email(args[0]):
                order = "missing or invalid" if takes == 2 else "invalid or missing"
                raise click.ClickException(f"{order} email address")
            with _superusers(_config(options)) as superusers:
                act(superusers, *args[:takes])

    return register


@contextmanager
def _superusers(config: Config) -> Iterator[Superusers]:
    """Open the data directory for its superusers."""
    from rowcast.auth.superusers import Superusers
    from rowcast.blobs import LocalBlobs
    from rowcast.schema.catalog import CatalogRef

    with _directory(config) as directory:
        yield Superusers(directory.data, CatalogRef(directory.catalog), LocalBlobs(directory.files))


@contextmanager
def _directory(config: Config) -> Iterator[DataDir]:
    """Open the data directory."""
    from rowcast.storage.directory import open_directory

    try:
        opened = open_directory(config.data_dir, allow_unknown_migrations=config.allow_unknown_migrations)
        try:
            yield opened
        finally:
            opened.close()
    except RowcastError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _doing(what: str) -> Iterator[None]:
    """Say what failed, with the fields that validation refused."""
    try:
        yield
    except ApiError as error:
        refused = "; ".join(
            f"{name}: {field.message.rstrip('.')}" if isinstance(field, FieldError) else name
            for name, field in sorted(error.data.items())
        )
        raise click.ClickException(f"failed to {what}: {refused + '.' if refused else error.message}") from error


@_account_command("Create, or update if the e-mail exists, a single superuser.")
def _upsert(superusers: Superusers, email: str, password: str) -> None:
    with _doing("upsert superuser account"):
        superusers.upsert(email, password)
    _say(f'Successfully saved superuser "{email}"!')


@_account_command("Create a new superuser.")
def _create(superusers: Superusers, email: str, password: str) -> None:
    with _doing("create new superuser account"):
        superusers.create(email, password)
    _say(f'Successfully created new superuser "{email}"!')


@_account_command("Change the password of a single superuser.")
def _update(superusers: Superusers, email: str, password: str) -> None:
    with _doing(f'change superuser "{email}" password'):
        superusers.update(email, password)
    _say(f'Successfully changed superuser "{email}" password!')


@_account_command("Delete an existing superuser.", takes=1)
def _delete(superusers: Superusers, email: str) -> None:
    with _doing(f'delete superuser "{email}"'):
        if superusers.delete(email):
            _say(f'Successfully deleted superuser "{email}"!')
        else:
            _say(f'superuser "{email}" is missing or already deleted', color="yellow")


@_account_command("Create a new OTP for the specified superuser.", takes=1)
def _otp(superusers: Superusers, email: str) -> None:
    with _doing("create OTP"):
        created = superusers.create_otp(email)
    _say(f'Successfully created OTP for superuser "{email}":')
    _say(f"├─ Id:    {created.id}\n├─ Pass:  {created.password}\n└─ Valid: {created.seconds}s")


@superuser.command("ips", help="Set the IPs and subnets that superusers may come from; none lifts the restriction.")
@click.argument("addresses", nargs=-1, metavar="[IP]...")
@shared
def _ips(addresses: tuple[str, ...], **options: object) -> None:
    import ipaddress

    import msgspec

    from rowcast.storage.settings_rows import save_settings

    for address in addresses:
        try:
            ipaddress.ip_network(address, strict=False)
        except ValueError as error:
            raise click.ClickException(f"{address!r} is not an IP or a subnet in CIDR notation") from error
    with _directory(_config(options)) as directory, directory.data.write() as tx:
        save_settings(tx, msgspec.structs.replace(directory.settings, superuser_ips=addresses))
    if addresses:
        _say("Successfully updated SuperuserIPs setting:")
        _say("\n".join(f"{'└─' if i == len(addresses) else '├─'} {ip}" for i, ip in enumerate(addresses, 1)))
    else:
        _say("Successfully cleared SuperuserIPs setting!")


def _say(text: str, *, color: str = "green") -> None:
    click.secho(text, fg=color)


def _config(options: dict[str, object], **more: object) -> Config:
    """Return the options of the process from those of a command; say which ones have no effect."""
    import msgspec

    for name, (flag, reason) in _WITHOUT_EFFECT.items():
        if options.pop(name) is not None:
            click.secho(f"{flag} has no effect: {reason}", fg="yellow", err=True)
    env = str(options["encryption_env"])
    if env and os.environ.get(env):
        click.secho(f"the settings are stored as plain text; ${env} is not used", fg="yellow", err=True)
    return msgspec.convert(options | more, Config)


def _listen(address: str) -> socket.socket:
    """Open the socket of `host:port`; an empty host is every address of this machine."""
    import socket

    host, colon, port = address.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise click.ClickException(f"{address!r} is not an address; write HOST:PORT, for example 127.0.0.1:8090")
    try:
        if not host and socket.has_dualstack_ipv6():
            return socket.create_server(("", int(port)), family=socket.AF_INET6, dualstack_ipv6=True, backlog=2048)
        family, _, _, _, where = socket.getaddrinfo(host or "0.0.0.0", int(port), type=socket.SOCK_STREAM)[0]  # noqa: S104 - asked for by an empty host
        return socket.create_server(where[:2], family=family, backlog=2048)
    except OSError as error:
        raise click.ClickException(f"can't listen at {address}: {error.strerror or error}") from error


def _run_server(config: Config, listening: socket.socket) -> None:
    """Serve until a signal asks to stop."""
    import gc
    import logging

    from rowcast.api import server
    from rowcast.app import App

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("rowcast").setLevel(logging.DEBUG if config.dev else logging.INFO)
    app = App(config=config)

    def started() -> None:
        # Modules, collections and routes live as long as the process: no need to look at them again.
        gc.freeze()
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
