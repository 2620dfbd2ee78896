"""IP addresses and networks."""

from __future__ import annotations

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4096)
def is_listed(addresses_or_networks: tuple[str, ...], address: str) -> bool:
    """Whether an address is one of these, or in one of these networks; malformed entries match nothing.

    Copies apis/middlewares_rate_limit.go, isIPInList.
    """
    try:
        searched = ipaddress.ip_address(address)
    except ValueError:
        return False
    for item in addresses_or_networks:
        try:
            if searched in ipaddress.ip_network(item, strict=False):
                return True
        except ValueError:
            continue
    return False
