"""Which addresses a webhook may never reach unless the operator named the host."""

from __future__ import annotations

import ipaddress

# IANA special-purpose ranges, also those that some Python's `ipaddress.is_global` lets pass.
_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network; Linux connects 0.0.0.0 to itself
        "100.64.0.0/10",  # carrier-grade NAT (RFC 6598)
        "169.254.0.0/16",  # link-local, with the metadata services of the clouds
        "192.0.0.0/24",  # IETF protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Addresses that carry an IPv4 address inside (mapped, NAT64) lie outside of 2000::/3, except:
_GLOBAL_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/23",  # IETF protocol assignments, with Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
)


def refusal(address: str) -> str | None:
    """Why `address` (a literal, of either version) is refused; None when it is global unicast.

    Source: the IANA IPv4 and IPv6 Special-Purpose Address Registries. An IPv6 form that carries
    an IPv4 address is refused whatever it carries, since the way there translates it.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "not an address"
    if isinstance(parsed, ipaddress.IPv4Address):
        if parsed.is_loopback:
            return "a loopback address"
        if parsed.is_global and not any(parsed in block for block in _REFUSED_V4):
            return None
    else:
        if parsed.ipv4_mapped is not None:
            return "an IPv4-mapped address"
        if (
            parsed in _GLOBAL_UNICAST_V6
            and parsed.is_global
            and not any(parsed in block for block in _REFUSED_V6)
        ):
            return None
    return "not a global address"
