"""Host names: which are this machine's, and which a gateway without keys answers to."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

CANONICAL = ("fal.run", "fal.ai", "fal.media", "fal.dev", "runpod.ai")
"""Domains whose clients may be led here by name (their TLS ends before us); nobody else can point them here."""


FETCHED_PORTS = ("", "80", "443")
"""As a URL names them: the only ports at which workers read links."""


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def name_of(host_header: str) -> str:
    """The name or address of a Host header, lower-case, without port and brackets."""
    host = host_header.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def is_fetched(authority: str) -> bool:
    """Whether workers read links at the port of `host[:port]`."""
    return authority.rpartition("]")[2].partition(":")[2] in FETCHED_PORTS


def is_canonical(name: str) -> bool:
    """Whether `name` is one of the services this gateway stands in for."""
    return any(name == domain or name.endswith("." + domain) for domain in CANONICAL)
