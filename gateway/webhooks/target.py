"""Which URL a webhook may have: one that no two readers can understand differently."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

MAX_URL = 4096
"""Longest webhook URL (characters)."""

_PORTS = {"http": 80, "https": 443}
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?",
    re.IGNORECASE | re.ASCII,
)
_VISIBLE = re.compile(r"[!-~]+")
_BACKSLASH = "\\"
_NAME = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z][a-z0-9-]{0,61}[a-z0-9]|[a-z]")
_QUAD = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")


class Refused(Exception):
    """This URL is not called, now or later. The text says why, in words the job's owner may read."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one POST goes. host: lower case; IPv6 without brackets. request: path with query."""

    scheme: str
    host: str
    port: int
    request: str

    @property
    def authority(self) -> str:
        """`host[:port]` as the Host header wants it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The URL for a log: without the query, which may hold a secret."""
        return f"{self.scheme}://{self.authority}{self.request.partition('?')[0]}"


def parse(url: str) -> Target:
    """Read a webhook URL. Raises Refused.

    http or https, printable ASCII, no user name, no backslash, no fragment, no percent sign in the host, a plain
    dotted quad or a host name that ends in no number. Nothing is repaired.
    """
    match = _URL.fullmatch(url) if len(url) <= MAX_URL and _VISIBLE.fullmatch(url) and _BACKSLASH not in url else None
    if match is None:
        raise Refused("The webhook URL is not a plain http or https URL")
    scheme = match["scheme"].lower()
    port = int(match["port"] or _PORTS[scheme])
    if port > 65535:
        raise Refused("The webhook URL has no valid port")
    return Target(scheme, _host(match["host"].lower()), port, (match["path"] or "/") + (match["query"] or ""))


def _host(text: str) -> str:
    try:
        if text.startswith("["):
            return str(ipaddress.IPv6Address(text[1:-1]))
        if _QUAD.fullmatch(text):
            return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise Refused("The webhook URL has no valid address") from None
    if not _NAME.fullmatch(text):
        raise Refused("The webhook URL has no valid host name")
    return text
