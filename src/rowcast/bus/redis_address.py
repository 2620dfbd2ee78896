"""Where the Redis server of a link is, read from one URL.

    redis://[user:password@]host[:port][/db][?prefix=myapp]
    rediss://...                            the same over TLS; `ca=FILE` names the authority
    redis://host:26379,host:26379/0?sentinel=NAME[&sentinel-password=...]
    redis://host:7000,host:7001?cluster=yes

Names no library, so that a wrong URL is told before one is loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from rowcast.bus import LinkError

_PORT = 6379
_SENTINEL_PORT = 26379
_MAX_DB = 1 << 16

_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_.-]+))(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_OPTIONS = frozenset({"prefix", "ca", "sentinel", "sentinel-password", "cluster"})


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """One server, the sentinels that know it (`sentinel` is its name), or some nodes of a cluster."""

    hosts: tuple[tuple[str, int], ...]
    db: int = 0
    username: str = ""
    password: str = ""
    is_encrypted: bool = False
    ca: str = ""
    sentinel: str = ""
    sentinel_password: str = ""
    is_cluster: bool = False
    prefix: str = "rowcast"

    def __str__(self) -> str:
        """Return what may be logged: no user, no password."""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"redis{'s' if self.is_encrypted else ''}://{hosts}/{self.db}"


def parse(url: str) -> RedisAddress:
    """Read a URL. Raises LinkError, whose text does not repeat the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise LinkError("the bus is no URL") from None
    if parts.scheme not in {"redis", "rediss"}:
        raise LinkError("the bus must be a URL like redis://host:6379/0 or rediss://host:6379/0")
    if options.keys() - _OPTIONS:
        # It may be the rest of a password with a "?" in it.
        raise LinkError(f"the URL of the bus has an unknown option; known are {', '.join(sorted(_OPTIONS))}")
    login, _, netloc = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    address = RedisAddress(
        hosts=tuple(_host(text, _SENTINEL_PORT if "sentinel" in options else _PORT) for text in netloc.split(",")),
        db=_db(parts.path),
        username=unquote(username),
        password=unquote(password),
        is_encrypted=parts.scheme == "rediss",
        ca=options.get("ca", ""),
        sentinel=options.get("sentinel", ""),
        sentinel_password=options.get("sentinel-password", ""),
        is_cluster=_switch(options.get("cluster", "no")),
        prefix=options.get("prefix", "rowcast"),
    )
    _check(address, options)
    return address


def _check(address: RedisAddress, options: dict[str, str]) -> None:
    if not _PREFIX.fullmatch(address.prefix):
        raise LinkError("the prefix of the bus must be 1 to 64 letters, digits, '_', '.' or '-'")
    if "sentinel" in options and not address.sentinel:
        raise LinkError("the bus needs the name of the server that its sentinels know: ?sentinel=NAME")
    if address.is_cluster and (address.sentinel or address.db):
        raise LinkError("a cluster as the bus has neither sentinels nor a database number")
    if len(address.hosts) > 1 and not address.sentinel and not address.is_cluster:
        raise LinkError("the bus names several hosts; add ?sentinel=NAME or ?cluster=yes")
    if address.ca and not address.is_encrypted:
        raise LinkError("the bus has a `ca`, which needs rediss://")
    if address.ca and not Path(address.ca).is_file():
        raise LinkError(f"the `ca` of the bus is no file: {address.ca}")


def _host(text: str, port: int) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None or not 0 < (number := int(found["port"] or port)) < 1 << 16:
        raise LinkError("the URL of the bus needs a host, with a port where it is not the usual one")
    return found["six"] or found["name"], number


def _db(path: str) -> int:
    text = path.removeprefix("/")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) < _MAX_DB):
        raise LinkError("the path of the URL of the bus must be the number of a database, for example /0")
    return int(text or 0)


def _switch(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise LinkError("the option `cluster` of the bus is yes or no")
    return text == "yes"
