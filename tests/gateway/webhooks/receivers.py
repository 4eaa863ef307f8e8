"""Receivers of webhooks over real sockets, good and bad; what they got is kept."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.support.worker import wait_for


@dataclass(frozen=True)
class Call:
    """One request a receiver got. at: monotonic seconds."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


Behaviour = Callable[["Handler", int], None]
"""Answers a request; the number says how many of its path came before."""


@dataclass
class Receiver:
    """A server whose paths behave as `behaviours` says."""

    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    url: str = ""
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, path: str) -> list[Call]:
        with self.lock:
            return [call for call in self.calls if call.path == path]

    def wait_for(self, path: str, count: int, timeout_s: float = 60) -> list[Call]:
        wait_for(lambda: len(self.of(path)) >= count, timeout_s, f"{count} calls of {path}")
        return self.of(path)


class Handler(BaseHTTPRequestHandler):
    """One connection. The server carries its Receiver."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        receiver: Receiver = self.server.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body, time.monotonic())
        with receiver.lock:
            before = sum(known.path == self.path for known in receiver.calls)
            receiver.calls.append(call)
        receiver.behaviours.get(urlsplit(self.path).path, answering(200))(self, before)

    do_GET = do_POST

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def answering(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    return lambda handler, before: handler.answer(status, body, **headers)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """The first for the first request, …, the last for all that follow."""
    return lambda handler, before: behaviours[min(before, len(behaviours) - 1)](handler, before)


def hang(handler: Handler, before: int) -> None:
    handler.server.receiver.stopping.wait(120)
    handler.close_connection = True


def reset(handler: Handler, before: int) -> None:
    """RST in place of an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def cut(handler: Handler, before: int) -> None:
    """The connection ends in the status line."""
    handler.wfile.write(b"HTTP/1.1 20")
    handler.close_connection = True


def dribble(handler: Handler, before: int) -> None:
    """200 at once, then one byte of body every 50 ms."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    with suppress(OSError):
        while not handler.server.receiver.stopping.wait(0.05):
            handler.wfile.write(b".")
    handler.close_connection = True


def flood(handler: Handler, before: int) -> None:
    """200 and a body without end, as fast as it is read; how much was taken is kept in `flooded`."""
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    handler.server.receiver.flooded = 0
    with suppress(OSError):
        while not handler.server.receiver.stopping.is_set():
            handler.wfile.write(b"x" * 16384)
            handler.server.receiver.flooded += 16384


@contextmanager
def receiving(tls: ssl.SSLContext | None = None, **behaviours: Behaviour) -> Iterator[Receiver]:
    """Serve on a free port; `behaviours` by path without its slash, others answer 200."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver = Receiver({f"/{name}": behaviour for name, behaviour in behaviours.items()})
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    server.receiver = receiver  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
