"""`rowcast superuser`: manages the accounts of the people who run a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from rowcast.cli.options import config_of, opened, shared
from rowcast.config import Config
from rowcast.errors import ApiError, FieldError

if TYPE_CHECKING:
    from rowcast.auth.superusers import Superusers


@click.group()
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
            with _superusers(config_of(options)) as superusers:
                act(superusers, *args[:takes])

    return register


@contextmanager
def _superusers(config: Config) -> Iterator[Superusers]:
    """Open the data directory for its superusers."""
    from rowcast.auth.superusers import Superusers
    from rowcast.blobs import LocalBlobs
    from rowcast.schema.catalog import CatalogRef

    with opened(config) as directory:
        catalog = CatalogRef(directory.catalog, directory.data.dialect)
        yield Superusers(directory.data, catalog, LocalBlobs(directory.files, directory.held))


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
    with opened(config_of(options)) as directory, directory.data.write() as tx:
        save_settings(tx, msgspec.structs.replace(directory.settings, superuser_ips=addresses), directory.key)
    if addresses:
        _say("Successfully updated SuperuserIPs setting:")
        _say("\n".join(f"{'└─' if i == len(addresses) else '├─'} {ip}" for i, ip in enumerate(addresses, 1)))
    else:
        _say("Successfully cleared SuperuserIPs setting!")


def _say(text: str, *, color: str = "green") -> None:
    click.secho(text, fg=color)
