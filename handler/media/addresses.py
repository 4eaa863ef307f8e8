"""Which addresses a user-supplied URL may lead to.

Own tables instead of `ipaddress.is_global`, whose answer changed between Python releases.
Sources: the IANA special-purpose registries (RFC 6890 and updates), multicast RFC 5771 and RFC 4291.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_CLOSED_4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier NAT, also some clouds' metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host agent
        "169.254.0.0/16",  # link-local, the clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.52.193.0/24",  # automatic multicast tunnelling
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)

# Everything outside 2000::/3 is closed already: ::/96, ::ffff:0:0/96, 64:ff9b::/96, fc00::/7, fe80::/10, …
_UNICAST_6 = IPv6Network("2000::/3")
_CLOSED_6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 carries an IPv4 address
        "3ffe::/16",  # returned test network
        "3fff::/20",  # documentation
    )
)

_PRIVATE = tuple(
    ipaddress.ip_network(block)
    for block in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
)


def is_permitted(address: str, *, allow_private: bool = False) -> bool:
    """Whether a download may connect to `address` (text, as a resolver gives it).

    Only global unicast. `allow_private` adds loopback, 10/8, 172.16/12, 192.168/16 and fc00::/7, and nothing
    else: link-local stays closed. Text that is no address, or carries a zone (`%eth0`), is not permitted.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if allow_private and any(parsed in network for network in _PRIVATE):
        return "%" not in address
    return _is_global_4(parsed) if isinstance(parsed, IPv4Address) else _is_global_6(parsed)


def _is_global_4(address: IPv4Address) -> bool:
    return not any(address in network for network in _CLOSED_4)


def _is_global_6(address: IPv6Address) -> bool:
    if address.scope_id is not None or address not in _UNICAST_6 or _is_isatap(address):
        return False
    return not any(address in network for network in _CLOSED_6)


def _is_isatap(address: IPv6Address) -> bool:
    """Interface identifiers that carry an IPv4 address, RFC 5214 section 6.1."""
    return (int(address) >> 32) & 0xFFFFFFFF in (0x00005EFE, 0x02005EFE)
