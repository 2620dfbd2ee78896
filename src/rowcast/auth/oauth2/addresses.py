"""Which addresses belong to the public network. Pure.

What is not public is what a server behind a firewall must not be led to by others:
itself, its neighbours, the metadata services of clouds (169.254.169.254).
"""

from __future__ import annotations

import ipaddress

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Whether an IP address is one of the public network; False for what is no address.

    IPv6 addresses that only wrap one of IPv4 (mapped, 6to4, NAT64) count as that one.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    inner = _wrapped(address)
    return _is_public(address if inner is None else inner)


def _wrapped(address: _Address) -> _Address | None:
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64 or int(address) >> 32 == 0:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (address.is_site_local or address.teredo is not None):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)
