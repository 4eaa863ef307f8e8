"""Small real servers on loopback: one that only counts, one that answers by a script, one that resolves names."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Script = Callable[[socket.socket, bytes], None]
"""Gets a connection and the request's head, answers as it likes; the connection is closed afterwards."""


@dataclass
class Server:
    """A listening port and the heads of the requests it has seen; one entry per connection."""

    port: int
    seen: list[bytes] = field(default_factory=list)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@contextmanager
def serve(script: Script, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run `script` for every connection to 127.0.0.1 and ::1, each in a thread, with TLS if a context is given."""
    with _listeners() as (port, sockets):
        server = Server(port)
        for listener in sockets:
            threading.Thread(target=_accept, args=(listener, script, server, context), daemon=True).start()
        yield server


@contextmanager
def canary() -> Iterator[Server]:
    """A server nobody should reach: it would answer with a fine picture's headers."""
    with serve(answer(200, b"reached")) as server:
        yield server


def answer(status: int, body: bytes = b"", *headers: tuple[str, str], length: bool = True) -> Script:
    """A whole response. length: add a correct Content-Length."""
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers)]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    message = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
    return lambda connection, _: connection.sendall(message)


def raw(*parts: bytes | float) -> Script:
    """Send the bytes, sleep for the numbers (seconds), in order. Nobody sleeps on for a client that has left."""

    def script(connection: socket.socket, _: bytes) -> None:
        for part in parts:
            if isinstance(part, float):
                select.select([connection], [], [], part)
            else:
                connection.sendall(part)

    return script


def drip(start: bytes, piece: bytes, pause_s: float) -> Script:
    """Send `start`, then `piece` again and again with pauses, until the client gives up."""

    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            time.sleep(pause_s)

    return script


@contextmanager
def _listeners() -> Iterator[tuple[int, list[socket.socket]]]:
    four = socket.create_server(("0.0.0.0", 0), backlog=128)
    port = four.getsockname()[1]
    sockets = [four]
    with suppress(OSError):
        six = socket.socket(socket.AF_INET6)
        sockets.append(six)
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind(("::", port))
        six.listen(128)
    try:
        yield port, sockets
    finally:
        for listener in sockets:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def _accept(listener: socket.socket, script: Script, server: Server, context: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_run, args=(connection, script, server, context), daemon=True).start()


def _run(connection: socket.socket, script: Script, server: Server, context: ssl.SSLContext | None) -> None:
    connection.settimeout(120)
    head = b""
    server.seen.append(head)
    place = len(server.seen) - 1
    with suppress(OSError):
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        while b"\r\n\r\n" not in head and (piece := connection.recv(65536)):
            head += piece
        server.seen[place] = head
        script(connection, head)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    with suppress(OSError):
        connection.close()


def dns_answer(query: bytes, addresses: list[str], alias: str | None = None) -> bytes:
    """A DNS response with TTL 0: the A or AAAA records among `addresses` that fit the question."""
    question, kind = _question(query)
    family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
    fitting = [a for a in addresses if family == (socket.AF_INET6 if ":" in a else socket.AF_INET)]
    records = b""
    owner = b"\xc0\x0c"
    if alias:
        target = _name(alias)
        records += owner + struct.pack(">HHIH", 5, 1, 0, len(target)) + target
        owner = target
    for address in fitting:
        packed = socket.inet_pton(family, address)  # type: ignore[arg-type]
        records += owner + struct.pack(">HHIH", kind, 1, 0, len(packed)) + packed
    count = len(fitting) + bool(alias)
    return query[:2] + struct.pack(">HHHHH", 0x8180, 1, count, 0, 0) + question + records


def asked_name(query: bytes) -> str:
    """The name a DNS query asks for."""
    labels, position = [], 12
    while query[position]:
        labels.append(query[position + 1 : position + 1 + query[position]].decode())
        position += 1 + query[position]
    return ".".join(labels).lower()


def _question(query: bytes) -> tuple[bytes, int]:
    end = query.index(b"\0", 12) + 5
    return query[12:end], struct.unpack(">H", query[end - 4 : end - 2])[0]


def _name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"
