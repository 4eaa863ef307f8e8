"""A proxy in front of a real server that breaks connections by a script; after the script it only passes on.

One fault is used up by each connection, in order, so the number of connections is the number of tries.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Fault = Callable[["Visit"], None]


@dataclass
class Visit:
    """One connection. head: the request up to the empty line; early: what of the body came with it."""

    client: socket.socket
    upstream: tuple[str, int]
    head: bytes
    early: bytes

    def body(self) -> bytes:
        """Read the rest of the request."""
        lines = self.head.lower().split(b"\r\n")
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
        body = self.early
        while len(body) < length and (piece := self.client.recv(1 << 16)):
            body += piece
        return body

    def ask(self, body: bytes) -> bytes:
        """Pass the request on with `body` and return the whole answer."""
        with socket.create_connection(self.upstream, timeout=60) as server:
            server.sendall(self.head + body)
            return b"".join(iter(lambda: server.recv(1 << 16), b""))

    def reset(self) -> None:
        """Close so that the peer gets a reset, not an end of data."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()


def pass_on(visit: Visit) -> None:
    visit.client.sendall(visit.ask(visit.body()))


def status(code: int, body: bytes = b"") -> Fault:
    """Answer by itself, after reading the request."""

    def fault(visit: Visit) -> None:
        visit.body()
        visit.client.sendall(_answer(code, body))

    return fault


def refuse_early(code: int, body: bytes = b"") -> Fault:
    """Answer before the body is read, and close."""

    def fault(visit: Visit) -> None:
        visit.client.sendall(_answer(code, body))
        time.sleep(0.1)

    return fault


def reset_midway(visit: Visit) -> None:
    """Let half of the body through to the server, then break both connections."""
    body = visit.body()
    with socket.create_connection(visit.upstream, timeout=60) as server:
        server.sendall(visit.head + body[: len(body) // 2])
        time.sleep(0.1)
        visit.reset()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def lose_answer(visit: Visit) -> None:
    """Let the request succeed and break the connection instead of saying so."""
    visit.ask(visit.body())
    visit.reset()


def cut_answer(visit: Visit) -> None:
    visit.body()
    visit.client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all")


def garbage(visit: Visit) -> None:
    visit.body()
    visit.client.sendall(b"\x00\x01 this is not HTTP\r\n\r\n")


def hang(visit: Visit) -> None:
    """Take the request and say nothing until the peer gives up."""
    visit.body()
    visit.client.recv(1)


def drip(visit: Visit) -> None:
    """Send a header that never ends, a byte now and then."""
    visit.body()
    visit.client.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
    while True:
        visit.client.sendall(b"x")
        time.sleep(0.02)


def _answer(code: int, body: bytes) -> bytes:
    return f"HTTP/1.1 {code} Fault\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


@dataclass
class FaultProxy:
    """endpoint: where it listens. script: faults still to come. visits: heads of all requests so far."""

    endpoint: str
    script: list[Fault]
    visits: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def fault_proxy(upstream: str, *script: Fault) -> Iterator[FaultProxy]:
    parts = urlsplit(upstream)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    proxy = FaultProxy(f"http://127.0.0.1:{listener.getsockname()[1]}", list(script))
    server = (parts.hostname or "", parts.port or 80)
    threading.Thread(target=_accept, args=(listener, server, proxy), daemon=True).start()
    try:
        yield proxy
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener: socket.socket, upstream: tuple[str, int], proxy: FaultProxy) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            fault = proxy.script.pop(0) if proxy.script else pass_on
            threading.Thread(target=_visit, args=(client, upstream, proxy, fault), daemon=True).start()


def _visit(client: socket.socket, upstream: tuple[str, int], proxy: FaultProxy, fault: Fault) -> None:
    with client, contextlib.suppress(OSError):
        client.settimeout(120)
        head = b""
        while b"\r\n\r\n" not in head and (piece := client.recv(1 << 16)):
            head += piece
        head, end, early = head.partition(b"\r\n\r\n")
        proxy.visits.append(head)
        fault(Visit(client, upstream, head + end, early))
