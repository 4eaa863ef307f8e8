"""A strict reading of http(s) URLs: what two parsers could read differently is refused, never repaired."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin

MAX_URL = 8192
"""Longest URL (characters); a presigned storage URL has 1,000 to 2,000."""

DEFAULT_PORTS = {"http": 80, "https": 443}

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE | re.ASCII)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([1-9][0-9]{0,4}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_QUAD = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_PATH_SAFE = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True)
class Target:
    """Where one GET goes.

    scheme: `http` or `https`. host: lower-case name or plain address, IPv6 without brackets. port: 1..65535.
    path: request target, starts with `/`, query included, fragment dropped.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """`host[:port]` as the Host header wants it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_address(self) -> bool:
        """Whether the host is an address, so that no name has to be resolved."""
        return ":" in self.host or _QUAD.fullmatch(self.host) is not None

    def follow(self, location: str) -> Target:
        """The target of a redirect. location: the header as latin-1 text. ValueError if not acceptable."""
        ascii_only = "".join(c if c.isascii() else f"%{ord(c):02X}" for c in location)
        # urljoin drops tabs and line ends silently, so they are looked for before it runs.
        if _FORBIDDEN.search(ascii_only):
            raise ValueError("redirect with a forbidden character")
        if _SCHEME.match(ascii_only):
            return parse(ascii_only)
        if ascii_only.startswith("//"):
            return parse(f"{self.scheme}:{ascii_only}")
        return parse(urljoin(f"{self.scheme}://{self.authority}{self.path}", ascii_only))


def parse(url: str) -> Target:
    """Read an absolute http(s) URL. ValueError for everything that is not plainly one.

    Refused: other schemes, spaces, controls, backslashes, user names, percent signs or non-ASCII characters
    in the host, empty labels (a final dot too), numbers that are not a plain dotted quad, empty or padded
    ports. After the host, characters a request line cannot carry are percent-encoded: that cannot change
    where the request goes. Host rules follow https://url.spec.whatwg.org/#host-parsing, with failure where
    it would normalise.
    """
    if len(url) > MAX_URL or _FORBIDDEN.search(url):
        raise ValueError("URL too long or with a forbidden character")
    match = _URL.fullmatch(url)
    authority = match and _AUTHORITY.fullmatch(match[2])
    if not match or not authority:
        raise ValueError("not a plain http or https URL")
    scheme = match[1].lower()
    port = int(authority[2]) if authority[2] else DEFAULT_PORTS[scheme]
    if port > 65535:
        raise ValueError("no such port")
    rest = quote(match[3], safe=_PATH_SAFE)
    return Target(scheme, _host(authority[1].lower()), port, rest if rest.startswith("/") else f"/{rest}")


def _host(text: str) -> str:
    if text.startswith("["):
        return str(ipaddress.IPv6Address(text[1:-1]))
    if _QUAD.fullmatch(text):
        return str(ipaddress.IPv4Address(text))
    labels = text.split(".")
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("not a host name")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        raise ValueError("a number is not a host name")
    return text
