"""Which link a process has to the others: Redis where one is named, else the sockets of this machine."""

from __future__ import annotations

from pathlib import Path

from rowcast.bus import Link, LinkError
from rowcast.bus import sockets as machine
from rowcast.bus.redis_address import parse


def check(bus: str) -> None:
    """Look whether `link_of` can make the link that `bus` names, without asking a server. Raises LinkError."""
    if bus:
        _redis_link(bus, "")


def link_of(bus: str, data_dir: str | Path, name: str) -> Link:
    """Return the link of a process, to the others on its data directory where `bus` is empty. Raises LinkError."""
    return _redis_link(bus, name) if bus else machine.link_of(data_dir, name)


def _redis_link(bus: str, name: str) -> Link:
    address = parse(bus)
    try:
        from rowcast.bus.redis import RedisLink
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        raise LinkError("a bus needs the Redis client, which is not installed: pip install 'rowcast[redis]'") from None
    return RedisLink(name, address)
