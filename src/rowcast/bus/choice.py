"""Which link a process has to the others: the one that is named, else that of its database, or of this machine."""

from __future__ import annotations

from pathlib import Path

from rowcast.bus import Link, LinkError
from rowcast.bus import sockets as machine
from rowcast.bus.redis_address import parse

_POSTGRES = ("postgresql://", "postgres://")


def check(bus: str) -> None:
    """Look whether `link_of` can make the link that `bus` names, without asking a server. Raises LinkError."""
    if bus:
        _named(bus, "", "")


def link_of(bus: str, database: str | Path, name: str) -> Link:
    """Return the link of a process to the others on a data directory, or on the database of a URL. Raises LinkError.

    `bus` names another way than that which the database brings.
    """
    if bus:
        return _named(bus, database, name)
    near = machine.link_of(database, name)
    url = str(database)
    if not url.startswith(_POSTGRES):
        return near
    from rowcast.bus.postgres import PostgresLink, listens

    return PostgresLink(name, url, near) if listens(url) else near


def _named(bus: str, database: str | Path, name: str) -> Link:
    if not bus.startswith(_POSTGRES):
        return _redis_link(bus, name)
    if not str(database).startswith(_POSTGRES) and database:
        raise LinkError("a bus on PostgreSQL is for nodes whose database is there")
    try:
        from rowcast.bus.postgres import PostgresLink
    except ModuleNotFoundError:
        raise LinkError("PostgreSQL's client is not installed: pip install 'rowcast[postgres]'") from None
    return PostgresLink(name, bus, machine.link_of(database, name))


def _redis_link(bus: str, name: str) -> Link:
    address = parse(bus)
    try:
        from rowcast.bus.redis import RedisLink
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        raise LinkError("a bus needs the Redis client, which is not installed: pip install 'rowcast[redis]'") from None
    return RedisLink(name, address)
