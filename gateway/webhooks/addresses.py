"""Which addresses a webhook may be sent to.

Sources: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and updates).
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

_PUBLIC_6 = ipaddress.ip_network("2000::/3")

_CLOSED = tuple(
    ipaddress.ip_network(block)
    for block in (
        # What `is_global` has answered differently from release to release, or calls global.
        "100.64.0.0/10",  # carrier NAT, also some clouds' metadata
        "168.63.129.16/32",  # Azure's host agent
        "192.0.0.0/24",  # protocol assignments
        "192.52.193.0/24",  # automatic multicast tunnelling
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",  # benchmarking
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "2001::/23",  # Teredo, ORCHID and other assignments
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

_ISATAP = (0x00005EFE, 0x02005EFE)
"""Middle of interface identifiers that carry an IPv4 address, RFC 5214 section 6.1."""


def is_permitted(address: str, *, allow_private: bool) -> bool:
    """Whether a webhook may connect to `address`, as a resolver gives it.

    Public unicast; with `allow_private` loopback and private networks too, but never link-local (clouds' metadata).
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if allow_private and "%" not in address and any(parsed in block for block in _PRIVATE):
        return True
    return parsed.is_global and not any(parsed in block for block in _CLOSED) and _is_public(parsed)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return True
    hidden = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    return address.scope_id is None and address in _PUBLIC_6 and not hidden
