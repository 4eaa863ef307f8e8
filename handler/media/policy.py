"""The limits of one download."""

from __future__ import annotations

from dataclasses import dataclass

from handler.media.resolver import Resolver, system_resolver


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What a download may do.

    allow_private: also loopback and private networks, on any port (tests, a gateway on the same machine).
    allow_http: whether plain http is accepted. ports: the ports a URL may name.
    max_bytes: size of the body as read. connect_s, first_byte_s, total_s: seconds; total_s spans redirects.
    min_bytes_per_s: floor of the mean rate. max_redirects: hops after the first. resolver: name to addresses.
    """

    allow_private: bool = False
    allow_http: bool = True
    ports: tuple[int, ...] = (80, 443)
    max_bytes: int = 20 * 2**20
    connect_s: float = 5
    first_byte_s: float = 10
    total_s: float = 30
    min_bytes_per_s: float = 10_000
    max_redirects: int = 3
    resolver: Resolver = system_resolver
