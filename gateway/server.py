"""How bytes become requests: uvicorn's HTTP/1.1, with a bound on headers in size and in time."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.tunnel import is_connect, tunnel

_HEADERS_S = 20.0
_MAX_UNREAD = 64 * 2**20
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: 40\r\n\r\n" + b'{"detail": "The headers are too large."}'
)


def http_protocol(max_header_bytes: int, https: tuple[str, int] | None = None) -> type[HttpToolsProtocol]:
    """A protocol class that answers 431 to a longer head and hangs up on one that takes too long.

    https: where tunnels end; None: no tunnels.
    """

    class Http(BoundedHttp):
        max_head = max_header_bytes
        tunnels_to = https

    return Http


class BoundedHttp(HttpToolsProtocol):
    """Counts what comes before a request's headers are complete."""

    max_head: int
    tunnels_to: tuple[str, int] | None
    _head = 0
    _unread = 0
    _in_head = True
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._timer = self.loop.call_later(_HEADERS_S, self._hang_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.tunnels_to and self._in_head and not self._head and is_connect(data):
            self._hand_over(data, *self.tunnels_to)
            return
        if self._in_head:
            self._head += len(data)
            if self._timer is None:
                self._timer = self.loop.call_later(_HEADERS_S, self._hang_up)
        super().data_received(data)
        if self._in_head and self._head > self.max_head and not self.transport.is_closing():
            self._refuse()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > self.max_head:
            self._refuse()
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.transport.is_closing():
            return
        super().on_body(body)
        # Whoever was refused gets to read why, if it stops sending soon enough.
        self._unread += len(body) if self.cycle.response_complete else 0
        if self._unread > _MAX_UNREAD:
            self.transport.close()

    def on_message_complete(self) -> None:
        self._in_head, self._head, self._unread = True, 0, 0
        if not self.transport.is_closing():
            super().on_message_complete()

    def _hand_over(self, data: bytes, host: str, port: int) -> None:
        self._stop_timer()
        self.connections.discard(self)
        task = self.loop.create_task(tunnel(self.transport, data, host, port))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _refuse(self) -> None:
        self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _hang_up(self) -> None:
        self._timer = None
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
