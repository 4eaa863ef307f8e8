"""`CONNECT` for the services this gateway stands in for: the tunnel ends at our own HTTPS, wherever it was to lead.

With `HTTPS_PROXY` set to this gateway a program's calls of fal arrive here, without a change to the program.
"""

from __future__ import annotations

import asyncio
import re

from gateway.hosts import is_canonical, name_of

_HEAD = re.compile(rb"CONNECT ([A-Za-z0-9.-]{1,253}):443 HTTP/1\.[01]\r\n(?:[^\r\n]+\r\n)*\r\n")
_OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
_REFUSED = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_UNREACHED = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def is_connect(data: bytes) -> bool:
    """Whether a connection that begins so asks for a tunnel."""
    return data.startswith(b"CONNECT ")


async def tunnel(transport: asyncio.Transport, head: bytes, host: str, port: int) -> None:
    """Lead the connection, whose first bytes were `head`, to our HTTPS at `host` and `port`; 403 for other services."""
    asked = _HEAD.fullmatch(head)
    if asked is None or not is_canonical(name_of(asked[1].decode("ascii"))):
        transport.write(_REFUSED)
        transport.close()
        return
    transport.pause_reading()
    try:
        there, _ = await asyncio.get_running_loop().create_connection(lambda: _Pipe(transport), host, port)
    except OSError:
        transport.write(_UNREACHED)
        transport.close()
        return
    transport.set_protocol(_Pipe(there))
    transport.write(_OPEN)
    transport.resume_reading()


class _Pipe(asyncio.Protocol):
    """Passes what it receives to the other end, no faster than that takes it; both ends close together."""

    def __init__(self, other: asyncio.Transport) -> None:
        self._other = other

    def data_received(self, data: bytes) -> None:
        self._other.write(data)

    def pause_writing(self) -> None:
        self._other.pause_reading()

    def resume_writing(self) -> None:
        self._other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._other.close()
